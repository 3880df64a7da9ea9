//! Where in an invocation a command stands. Commands are matched, and randomness, ids and effect keys derived, by position;
//! never by order of arrival, so that concurrent siblings replay alike.

use std::fmt;

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
