//! The schema `catalog`: one file per aggregate, one function per statement.

pub(crate) mod browse;
pub(crate) mod category;
pub(crate) mod search_sync;
pub(crate) mod sku;
pub(crate) mod spu;
pub(crate) mod tag;

/// A pattern that matches texts containing this one, whatever characters it has.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_stand_for_themselves() {
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }
}
