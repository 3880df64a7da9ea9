//! A dry run: what is asked, and what came of it.

use bytes::Bytes;
use host_types::{ComponentId, DeploymentNumber, InvocationId};
use serde::{Deserialize, Serialize};

use crate::journal::PositionView;
use crate::problem::Refusal;
use crate::query;
use crate::view::RevisionDigest;

/// On which revisions an invocation is run once more: the parameters of `POST /v1/invocations/{id}/replay` and its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaying {
    /// The revisions it began with, instead of today's.
    pub pinned: bool,
    /// Which component the bytes are for; the one it began in when none is named.
    pub component: Option<ComponentId>,
    /// Other bytes for one component; empty: no others.
    pub wasm: Bytes,
}

impl Replaying {
    /// Reads the parameters.
    pub(crate) fn new(query: &str) -> Result<Self, Refusal> {
        let mut replaying = Self::default();
        for (name, value) in query::pairs(query)? {
            match (name.as_str(), value.as_str()) {
                (_, "") => {}
                ("component", value) => replaying.component = Some(value.into()),
                ("pinned", value) => replaying.pinned = query::flag(&name, value)?,
                _ => {
                    let detail = "is unknown; there are component and pinned".to_owned();
                    return Err(Refusal::Parameter { name, detail });
                }
            }
        }
        Ok(replaying)
    }

    /// The query string, without the question mark.
    pub(crate) fn query(&self) -> String {
        let mut pairs = vec![("pinned", self.pinned.to_string())];
        if let Some(component) = &self.component {
            pairs.push(("component", component.to_string()));
        }
        serde_urlencoded::to_string(pairs).expect("pairs of texts have a form encoding")
    }
}

/// What a dry run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayView {
    /// Of which invocation.
    pub invocation: InvocationId,
    /// The deployment whose revisions ran.
    pub deployment: DeploymentNumber,
    /// What stood in for one of them.
    pub replaced: Option<ReplacedView>,
    /// Entries of the journal.
    pub entries: u32,
    /// Commands that were the recorded ones, those of callees included.
    pub compared: u32,
    /// Nothing is different.
    pub same: bool,
    /// How it ended.
    pub outcome: ReplayOutcome,
}

/// The revision that stood in for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedView {
    /// Of this component.
    pub component: ComponentId,
    /// Its bytes.
    pub revision: RevisionDigest,
}

/// How a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReplayOutcome {
    /// The same commands and the same output, all of them.
    Same,
    /// The same commands, and it returned; no output is recorded to compare with.
    Returned,
    /// The same commands up to the end of the record.
    GoesOn {
        /// Where it goes on.
        position: PositionView,
        /// With which command.
        command: String,
        /// It is the last of the record, which has no answer yet.
        begun: bool,
    },
    /// Something else than is recorded.
    Differs {
        /// Where; none for the output.
        position: Option<PositionView>,
        /// One side.
        recorded: String,
        /// The other.
        asked: String,
    },
    /// The guest fails before anything differs.
    Fails {
        /// The last command it had issued.
        position: Option<PositionView>,
        /// How.
        fault: String,
    },
    /// No evidence either way: a secret was changed after it was read.
    OtherSecret {
        /// How it ended all the same.
        found: Box<Self>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_understood_or_refused() {
        let replaying = Replaying {
            pinned: true,
            component: Some("a&b".into()),
            wasm: Bytes::new(),
        };
        assert_eq!(Replaying::new(&replaying.query()).ok(), Some(replaying));
        assert_eq!(Replaying::new("").ok(), Some(Replaying::default()));
        for wrong in ["pinned=perhaps", "with=file", "revision=1"] {
            assert!(Replaying::new(wrong).is_err(), "{wrong}");
        }
    }
}
