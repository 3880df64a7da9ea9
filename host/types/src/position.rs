//! Where in an invocation a command stands. Commands are matched, and randomness, ids and effect keys derived, by position;
//! never by order of arrival, so that concurrent siblings replay alike.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};

/// The path of calls from the root: the root's scope is empty, and a call at number `n` opens the scope `parent / n`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Scope(#[n(0)] Vec<u32>);

impl Scope {
    /// The scope of the handler the invocation began with.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The scope opened by the call at `number` of this one.
    pub fn child(&self, number: u32) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1);
        path.extend_from_slice(&self.0);
        path.push(number);
        Self(path)
    }

    /// The call that opened this scope; none for the root.
    pub fn opened_by(&self) -> Option<Position> {
        let (number, parent) = self.0.split_last()?;
        Some(Position {
            scope: Self(parent.to_vec()),
            number: *number,
        })
    }

    /// Whether this is `other`, or was opened from within it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// How many calls deep this is; 0 for the root.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// Unambiguous bytes, for deriving values.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|number| number.to_be_bytes()).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        for (i, number) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            write!(f, "{number}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A command's place: its scope, and its number within it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Position {
    /// The scope it was issued in.
    #[n(0)]
    pub scope: Scope,
    /// Its number there, from 0.
    #[n(1)]
    pub number: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.scope, self.number)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; it looks like `/`, `/3` or `/3/0`")]
pub struct ParseScopeError(String);

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseScopeError(text.to_owned());
        let path = text.strip_prefix('/').ok_or_else(invalid)?;
        if path.is_empty() {
            return Ok(Self::root());
        }
        let numbers = path.split('/').map(|number| number.parse().map_err(|_| invalid()));
        numbers.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_it_is_shown() {
        for scope in [
            Scope::root(),
            Scope::root().child(0),
            Scope::root().child(7).child(u32::MAX),
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in ["", "3", "//", "/3/", "/-1", "/4294967296", "/a"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_knows_the_call_that_opened_it_and_what_it_is_within() {
        let inner = Scope::root().child(3).child(1);
        let call = inner.opened_by().expect("it is not the root");
        assert_eq!((call.scope.clone(), call.number), (Scope::root().child(3), 1));
        assert_eq!(Scope::root().opened_by(), None);
        assert!(inner.is_within(&call.scope) && inner.is_within(&inner) && inner.is_within(&Scope::root()));
        assert!(!call.scope.is_within(&inner) && !inner.is_within(&Scope::root().child(1)));
    }
}
