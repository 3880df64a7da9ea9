//! Route patterns, as Spin writes them: `/exact`, `/with/:parameter`, `/prefix/...`.

use std::fmt;

use percent_encoding::percent_decode_str;

/// One path segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text, after percent-decoding.
    Literal(String),
    /// Any one segment; the name is for the reader.
    Parameter(String),
}

/// A pattern over the segments of a path. A trailing slash makes no difference, and `/a/...` also stands for `/a` itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutePattern {
    segments: Vec<Segment>,
    is_prefix: bool,
}

impl RoutePattern {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("does not begin with `/`");
        };
        if text.contains(['?', '#', '%', '*']) || text.contains(char::is_whitespace) {
            return Err("holds a character that a route may not hold (`?`, `#`, `%`, `*`, a space)");
        }
        let (path, is_prefix) = match path.strip_suffix("...") {
            Some("") => ("", true),
            Some(rest) => (rest.strip_suffix('/').ok_or("needs a `/` before `...`")?, true),
            None => (path.strip_suffix('/').unwrap_or(path), false),
        };
        let mut segments = Vec::new();
        if !path.is_empty() {
            for segment in path.split('/') {
                segments.push(match segment.strip_prefix(':') {
                    Some("") => return Err("has a parameter without a name"),
                    Some(name) => Segment::Parameter(name.to_owned()),
                    None if segment.is_empty() => return Err("has an empty segment"),
                    None if segment.contains("...") => return Err("may have `...` only as its last segment"),
                    None => Segment::Literal(segment.to_owned()),
                });
            }
        }
        Ok(Self { segments, is_prefix })
    }

    /// The segments before `...`, or all of them.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern ends in `...` and stands for every path below.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether the path of a request (percent-encoded, without its query) is one of those the pattern stands for.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut given = path.split('/').filter(|_| !path.is_empty());
        // Decoded before it is compared, so that `log%69n` does not slip past what is written for `login`.
        let all = self.segments.iter().all(|segment| match (segment, given.next()) {
            (Segment::Literal(literal), Some(given)) => percent_decode_str(given).eq(literal.bytes()),
            (Segment::Parameter(_), Some(given)) => !given.is_empty(),
            (_, None) => false,
        });
        all && (self.is_prefix || given.next().is_none())
    }

    /// Of two patterns that match one path, the one that compares greater is the more specific and wins: more segments,
    /// then an exact one over a prefix, then literals over parameters from the left.
    pub fn specificity(&self) -> (usize, bool, Vec<bool>) {
        let literals = self
            .segments
            .iter()
            .map(|segment| matches!(segment, Segment::Literal(_)))
            .collect();
        (self.segments.len(), !self.is_prefix, literals)
    }

    /// Whether every path of `other` is also one of this pattern.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let longer = other.segments.len() > self.segments.len() || other.is_prefix;
        self.segments.len() <= other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Parameter(_), _) => true,
                (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
                (Segment::Literal(_), Segment::Parameter(_)) => false,
            })
            && (self.is_prefix || !longer)
    }

    /// Whether both stand for the same paths: the names of parameters do not matter.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/:{name}")?,
            }
        }
        match (self.is_prefix, self.segments.is_empty()) {
            (true, _) => f.write_str("/..."),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RoutePattern;

    fn route(text: &str) -> RoutePattern {
        RoutePattern::parse(text).unwrap_or_else(|reason| panic!("{text} {reason}"))
    }

    #[test]
    fn a_prefix_stands_for_itself_and_everything_below() {
        let prefix = route("/api/v1/account/...");
        for path in [
            "/api/v1/account",
            "/api/v1/account/",
            "/api/v1/account/me",
            "/api/v1/account/contact/7",
        ] {
            assert!(prefix.matches(path), "{path}");
        }
        for path in ["/api/v1", "/api/v1/accounts", "/", "/x/api/v1/account"] {
            assert!(!prefix.matches(path), "{path}");
        }
        assert!(route("/...").matches("/") && route("/...").matches("/any/thing"));
    }

    #[test]
    fn a_parameter_stands_for_one_segment() {
        let pattern = route("/order/:id/confirm");
        assert!(pattern.matches("/order/7/confirm"));
        assert!(!pattern.matches("/order//confirm"));
        assert!(!pattern.matches("/order/7/8/confirm"));
    }

    #[test]
    fn an_encoded_path_is_the_same_path() {
        assert!(route("/auth/login").matches("/auth/log%69n"));
        assert!(
            !route("/auth/login").matches("/auth%2Flogin"),
            "an encoded slash separates nothing"
        );
    }

    #[test]
    fn the_more_specific_of_two_is_greater() {
        let order = ["/...", "/a/...", "/a", "/:x/...", "/:x", "/a/:x", "/a/b"];
        assert!(route("/a/...").specificity() > route("/...").specificity());
        assert!(route("/a").specificity() > route("/a/...").specificity());
        assert!(route("/a").specificity() > route("/:x").specificity());
        assert!(route("/a/b").specificity() > route("/a/:x").specificity());
        assert!(order.iter().all(|text| route(text).to_string() == *text));
    }

    #[test]
    fn a_pattern_covers_the_patterns_inside_it() {
        assert!(route("/a/...").covers(&route("/a/b/:x")));
        assert!(route("/a/...").covers(&route("/a")));
        assert!(!route("/a").covers(&route("/a/...")));
        assert!(!route("/a/...").covers(&route("/b/c")));
        assert!(route("/a/:x").is_same(&route("/a/:y/")));
    }

    #[test]
    fn malformed_patterns_are_refused_with_the_reason() {
        for text in ["", "a", "/a//b", "/a...", "/.../a", "/a/:", "/a?b", "/a b", "/*"] {
            assert!(RoutePattern::parse(text).is_err(), "{text}");
        }
    }
}
