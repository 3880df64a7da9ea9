//! The readable part of a product's address.

/// Letters of the Latin script with marks, by the ASCII letters they are written as without.
const FOLDED: &[(&str, &str)] = &[
    ("a", "àáâãäåāăąạảấầẩẫậắằẳẵặǎ"),
    ("ae", "æ"),
    ("c", "çćĉċč"),
    ("d", "ďđð"),
    ("e", "èéêëēĕėęěẹẻẽếềểễệ"),
    ("g", "ĝğġģ"),
    ("h", "ĥħ"),
    ("i", "ìíîïĩīĭįıỉịǐ"),
    ("j", "ĵ"),
    ("k", "ķ"),
    ("l", "ĺļľŀł"),
    ("n", "ñńņňŉŋ"),
    ("o", "òóôõöøōŏőơọỏốồổỗộớờởỡợǒ"),
    ("oe", "œ"),
    ("r", "ŕŗř"),
    ("s", "śŝşšș"),
    ("ss", "ß"),
    ("t", "ţťŧț"),
    ("th", "þ"),
    ("u", "ùúûüũūŭůűųưụủứừửữựǔ"),
    ("w", "ŵ"),
    ("y", "ýÿŷỳỵỷỹ"),
    ("z", "źżž"),
];

/// The name in lower-case ASCII with single dashes, then a dot and a UUID that makes it unique. A name without a single Latin
/// letter or digit leaves only the UUID.
pub(crate) fn slug(name: &str, unique: &str) -> String {
    let mut slug = String::with_capacity(name.len() + 1 + unique.len());
    let mut gap = false;
    for letter in name.chars().flat_map(char::to_lowercase) {
        // Marks written as characters of their own (decomposed text) vanish without separating words.
        if ('\u{300}'..='\u{36f}').contains(&letter) {
            continue;
        }
        let Some(ascii) = fold(letter) else {
            gap = true;
            continue;
        };
        if gap && !slug.is_empty() {
            slug.push('-');
        }
        gap = false;
        match ascii {
            Ascii::Letter(letter) => slug.push(letter),
            Ascii::Letters(letters) => slug.push_str(letters),
        }
    }
    if !slug.is_empty() {
        slug.push('.');
    }
    slug.push_str(unique);
    slug
}

enum Ascii {
    Letter(char),
    Letters(&'static str),
}

fn fold(letter: char) -> Option<Ascii> {
    if letter.is_ascii_alphanumeric() {
        return Some(Ascii::Letter(letter));
    }
    FOLDED
        .iter()
        .find(|(_, marked)| marked.contains(letter))
        .map(|(ascii, _)| Ascii::Letters(ascii))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_dropped_and_words_joined_by_single_dashes() {
        assert_eq!(slug("Áo thun  Đà Nẵng — (Size XL)", "id"), "ao-thun-da-nang-size-xl.id");
        assert_eq!(slug("Straße & Œuvre", "id"), "strasse-oeuvre.id");
    }

    #[test]
    fn decomposed_letters_fold_like_composed_ones() {
        assert_eq!(slug("cafe\u{301} au lait", "id"), "cafe-au-lait.id");
    }

    #[test]
    fn a_name_without_latin_letters_leaves_the_unique_part() {
        assert_eq!(slug("商品", "id"), "id");
        assert_eq!(slug("--", "id"), "id");
    }
}
