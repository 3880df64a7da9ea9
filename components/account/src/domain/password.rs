//! Which passwords nobody may choose.

/// The best-known of leaked lists, those that are long enough to be chosen: lower case, sorted, one a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// True for what whoever guesses tries first, in any case.
pub(crate) fn is_common(password: &str) -> bool {
    COMMON.lines().any(|known| known.eq_ignore_ascii_case(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_known_are_common_in_any_case_and_as_a_whole() {
        for password in [
            "password",
            "PassWord1",
            "12345678",
            "QWERTYUIOP",
            "p@ssw0rd",
            "anhyeuem",
        ] {
            assert!(is_common(password), "{password}");
        }
        for password in [
            "",
            "correct-horse",
            "password of mine",
            " password",
            "12345678\n123456789",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_holds_what_the_other_rules_let_pass() {
        let known: Vec<&str> = COMMON.lines().collect();
        assert!(known.len() > 500, "{}", known.len());
        assert!(known.is_sorted_by(|one, next| one < next), "sorted, each once");
        for password in known {
            let length = password.chars().count();
            assert!((8..=72).contains(&length), "{password}: its length is refused anyway");
            assert_eq!(password, password.to_lowercase());
            assert!(password.is_ascii(), "{password}");
        }
    }
}
