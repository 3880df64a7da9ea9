//! Tags as they are stored and compared: trimmed, in lower case, each once.

/// More tags than this do not describe a product any better.
pub(crate) const MAX_TAGS: usize = 50;
const MAX_CHARS: usize = 100;

/// Why a list of tags is refused; the text is shown to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TagError {
    #[error("a tag must have 1 to 100 characters")]
    Length,
    #[error("at most 50 tags are allowed")]
    TooMany,
}

/// The stored form of one tag.
pub(crate) fn normalise(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// The stored form of a listing's tags, duplicates dropped, in the order given.
pub(crate) fn normalise_all(tags: &[String]) -> Result<Vec<String>, TagError> {
    let mut kept: Vec<String> = Vec::with_capacity(tags.len().min(MAX_TAGS));
    for tag in tags.iter().map(|tag| normalise(tag)) {
        if tag.is_empty() || tag.chars().count() > MAX_CHARS {
            return Err(TagError::Length);
        }
        if kept.contains(&tag) {
            continue;
        }
        if kept.len() == MAX_TAGS {
            return Err(TagError::TooMany);
        }
        kept.push(tag);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(tags: &[&str]) -> Result<Vec<String>, TagError> {
        normalise_all(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn tags_are_trimmed_lower_cased_and_kept_once() {
        assert_eq!(
            normalised(&[" Summer ", "summer", "SALE"]),
            Ok(vec!["summer".into(), "sale".into()])
        );
    }

    #[test]
    fn a_blank_or_overlong_tag_is_refused() {
        assert_eq!(normalised(&["  "]), Err(TagError::Length));
        assert_eq!(normalised(&["x".repeat(101).as_str()]), Err(TagError::Length));
        assert!(
            normalised(&["ế".repeat(100).as_str()]).is_ok(),
            "counted in characters, not bytes"
        );
    }

    #[test]
    fn fifty_different_tags_are_the_limit() {
        let tags: Vec<String> = (0..MAX_TAGS).map(|number| number.to_string()).collect();
        assert_eq!(normalise_all(&tags).map(|kept| kept.len()), Ok(MAX_TAGS));
        let repeated: Vec<String> = tags.iter().chain(&tags).cloned().collect();
        assert_eq!(normalise_all(&repeated).map(|kept| kept.len()), Ok(MAX_TAGS));
        let more: Vec<String> = (0..=MAX_TAGS).map(|number| number.to_string()).collect();
        assert_eq!(normalise_all(&more), Err(TagError::TooMany));
    }
}
