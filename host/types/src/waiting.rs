//! What a suspended invocation waits for, as an operator asks for it.

use std::fmt;
use std::str::FromStr;

use crate::PromiseId;

/// Which suspended invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// Those that wait for some promise.
    Promise,
    /// Those that wait for a moment and nothing else.
    Time,
    /// Those that wait for this promise.
    This(PromiseId),
}

/// A text that says nothing one could wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing to wait for; it is promise, time, or a promise's id")]
pub struct ParseWaitingForError(String);

impl FromStr for WaitingFor {
    type Err = ParseWaitingForError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "promise" => Ok(Self::Promise),
            "time" => Ok(Self::Time),
            id => {
                let id = id.parse().map_err(|_| ParseWaitingForError(text.to_owned()));
                id.map(Self::This)
            }
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promise => f.write_str("promise"),
            Self::Time => f.write_str("time"),
            Self::This(promise) => promise.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_an_id_survives_its_text() {
        let this = WaitingFor::This(PromiseId::new(1, [7; 10]));
        for waiting_for in [WaitingFor::Promise, WaitingFor::Time, this] {
            assert_eq!(waiting_for.to_string().parse(), Ok(waiting_for));
        }
        assert!("timer".parse::<WaitingFor>().is_err());
    }
}
