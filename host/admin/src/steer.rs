//! What an operator says to do: the words, and the bodies that come with them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use host_types::{ComponentId, Digest, InvocationId, Position};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{self, PositionView};
use crate::operate::{Filter, OperateError};
use crate::problem::Refusal;
use crate::query;
use crate::view::{RevisionDigest, Status};

/// Who speaks when no name is given.
pub(crate) const NAMELESS: &str = "admin token";
const MAX_NAME: usize = 100;
const MAX_REASON: usize = 1000;

/// What can be done to an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Stop it until it is resumed.
    Pause,
    /// Set it going again.
    Resume,
    /// End it, and undo what it did as far as that was foreseen.
    Cancel,
    /// Begin it again as a new invocation.
    Restart,
    /// Let it go on with another revision of its component.
    Move,
}

impl Verb {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Restart => "restart",
            Self::Move => "move",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Pause, Self::Resume, Self::Cancel, Self::Restart, Self::Move];
        all.into_iter().find(|verb| verb.as_str() == text).ok_or(())
    }
}

/// Who says it, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name of `x-operator`, or what stands for none.
    pub by: String,
    /// In that person's words; may be empty.
    pub reason: String,
}

impl Asked {
    /// Checked, since it is kept for longer than anything else.
    pub(crate) fn new(name: Option<&str>, reason: String) -> Result<Self, Refusal> {
        let by = name.unwrap_or(NAMELESS).trim();
        let refused = |name: &str, detail: String| Refusal::Parameter {
            name: name.to_owned(),
            detail,
        };
        if by.is_empty() || by.chars().count() > MAX_NAME || by.chars().any(char::is_control) {
            return Err(refused(
                "x-operator",
                format!("is not a name of 1 to {MAX_NAME} characters"),
            ));
        }
        if reason.chars().count() > MAX_REASON {
            return Err(refused("reason", format!("is longer than {MAX_REASON} characters")));
        }
        query::stored("reason", Some(&reason))?;
        Ok(Self {
            by: by.to_owned(),
            reason,
        })
    }
}

/// How it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// Of a restart: also when something it did stands and would be done twice.
    pub force: bool,
    /// Of a move, which has one: the revision that it goes on with.
    pub to: Option<Digest>,
}

impl Manner {
    /// Checked for the verb it belongs to.
    pub(crate) fn new(verb: Verb, force: bool, to: Option<RevisionDigest>) -> Result<Self, Refusal> {
        let refused = |detail: &str| Refusal::Parameter {
            name: "to".to_owned(),
            detail: detail.to_owned(),
        };
        match (verb, to) {
            (Verb::Move, None) => Err(refused(
                "is missing: name the revision to go on with, 64 hexadecimal digits",
            )),
            (Verb::Move, Some(_)) | (_, None) => Ok(Self {
                force,
                to: to.map(|to| to.0),
            }),
            (_, Some(_)) => Err(refused("is a move's alone")),
        }
    }
}

/// The body of `POST /v1/invocations/{id}/pause|resume|cancel|restart|move`; all of it may be left out but the revision of a move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steering {
    /// Why, for the audit log.
    pub reason: String,
    /// Of a restart: also when something it did stands and would be done twice.
    pub force: bool,
    /// Of a move: the revision that it goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RevisionDigest>,
}

/// The body of `POST /v1/invocations/{id}/complete-entry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completing {
    /// The command, as `GET /v1/invocations/{id}` shows it.
    pub position: PositionView,
    /// Its answer.
    pub answer: Answer,
    /// Why, for the audit log and the journal.
    pub reason: String,
}

/// What a person answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The recorded bytes themselves.
    Base64(String),
    /// As the journal is shown: of a call its result, of an HTTP request its response, of a write to a store null.
    Json(Value),
}

impl Completing {
    pub(crate) fn at(&self) -> Result<Position, Refusal> {
        self.position.parsed().map_err(|error| Refusal::Parameter {
            name: "position".to_owned(),
            detail: error.to_string(),
        })
    }
}

/// The body of `POST /v1/invocations/complete-entry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletingAll {
    /// Which invocations, and why. Only paused ones, also when no status is given.
    pub chosen: Bulk,
    /// What was asked for, as `GET /v1/invocations/{id}` shows it; the component that is called, and the version of its interface, may be left
    /// out. Who has not exactly one such command without an answer is left alone. The target of HTTP requests, and that of compensations, is
    /// refused: it is the same whatever was asked for.
    pub target: String,
    /// Its answer.
    pub answer: Answer,
}

impl CompletingAll {
    /// Which invocations, and how many of them at most: paused ones alone, so that the journal of no other is read for it.
    pub(crate) fn filter(&self) -> Result<(Filter, u32), Refusal> {
        let refused = |name: &str, detail: String| Refusal::Parameter {
            name: name.to_owned(),
            detail,
        };
        if self.chosen.force || self.chosen.to.is_some() {
            let detail = "has a word that is a restart's or a move's alone";
            return Err(refused("chosen", detail.to_owned()));
        }
        if let Some(status) = self.chosen.status.filter(|status| *status != Status::Paused) {
            let detail = format!("is {status}, and only paused ones are answered for; leave it out, or say paused");
            return Err(refused("status", detail));
        }
        if let Some(kind) = journal::everything_of(&self.target) {
            let target = &self.target;
            let detail = format!(
                "{target} is what {kind} is recorded as, and does not say which one is meant; answer one by one, by position"
            );
            return Err(refused("target", detail));
        }
        let (filter, limit) = self.chosen.filter()?;
        let status = Some(Status::Paused);
        Ok((Filter { status, ..filter }, limit))
    }
}

/// The body of `POST /v1/invocations/pause|resume|cancel|restart|move`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bulk {
    /// Only those that stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only those that began in this component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Only those that began with this function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Only those that began longer ago than this: `30s`, `10m`, `2h`, `7d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// Only those whose cause holds this text, whatever its case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only suspended ones that wait for this: `promise`, `time`, or a promise's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Only the one that answers this idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Whose key that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How many at most, the newest first; 100 when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those after this one: where the answer to the word before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<InvocationId>,
    /// Only count them.
    pub dry_run: bool,
    /// Of a restart: also when something it did stands and would be done twice.
    pub force: bool,
    /// Of a move: the revision that they go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RevisionDigest>,
    /// Why, for the audit log.
    pub reason: String,
}

const DEFAULT_BULK: u32 = 100;
/// The most one word is said to.
pub(crate) const MAX_BULK: u32 = 10_000;

impl Bulk {
    /// Which invocations, and how many of them at most. A word to everything is nobody's intention.
    pub(crate) fn filter(&self) -> Result<(Filter, u32), Refusal> {
        let refused = |name: &str, detail: &str| Refusal::Parameter {
            name: name.to_owned(),
            detail: detail.to_owned(),
        };
        if !self.chooses() {
            return Err(refused(
                "status",
                "is missing: give at least one of status, component, function, cause, waiting_for and idempotency_key",
            ));
        }
        let limit = self.limit.unwrap_or(DEFAULT_BULK);
        if !(1..=MAX_BULK).contains(&limit) {
            return Err(refused("limit", &format!("is not from 1 to {MAX_BULK}")));
        }
        let older_than_ms = self.older_than.as_deref().map(query::duration_ms).transpose();
        let waiting_for = self.waiting_for.as_deref().map(str::parse).transpose();
        let filter = Filter {
            status: self.status,
            component: self.component.clone(),
            function: self.function.clone(),
            older_than_ms: older_than_ms.map_err(|detail| refused("older_than", &detail))?,
            cause: self.cause.clone(),
            waiting_for: waiting_for
                .map_err(|error: host_types::ParseWaitingForError| refused("waiting_for", &error.to_string()))?,
            idempotency_key: self.idempotency_key.clone(),
            subject: self.subject.clone(),
            limit: None,
            cursor: self.cursor,
        };
        query::check(&filter)?;
        Ok((filter, limit))
    }

    /// Something narrows it down. Age alone does not: everything gets old.
    pub fn chooses(&self) -> bool {
        self.status.is_some()
            || self.component.is_some()
            || [&self.function, &self.cause, &self.waiting_for, &self.idempotency_key]
                .iter()
                .any(|given| given.is_some())
    }
}

/// What came of a word said to many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkView {
    /// How many there were.
    pub matched: u32,
    /// To how many of them it was done; 0 when they were only counted.
    pub done: u32,
    /// The others, with why not.
    pub failed: Vec<BulkFailure>,
    /// Of an answer: how many have not exactly one command that it is for, and were left alone, or would be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without: u64,
    /// Of an answer that is only counted: why those whom it would be given to are paused, the most frequent causes first and 10 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<BulkCause>,
    /// There are more than the limit, or than it came to: say it again, to those after the cursor.
    pub more: bool,
    /// Why it ended before its time. What was done until then stands, and is counted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The last of these, when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<InvocationId>,
    /// Events that waited for retired subscriptions, and were dropped or counted besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// The retired subscriptions whose events still wait, with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired_failed: Vec<RetiredFailure>,
}

impl BulkView {
    /// This is as far as it came; the cursor is that of the last one that it was said to.
    pub(crate) fn stopped_by(self, error: &OperateError, cursor: Option<InvocationId>) -> Self {
        Self {
            more: true,
            next_cursor: cursor,
            stopped: Some(error.to_string()),
            ..self
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The most causes that are told apart.
const MAX_CAUSES: usize = 10;

/// Why some of those that were counted are paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkCause {
    /// The cause; empty of those that have none.
    pub cause: String,
    /// How many of them have it.
    pub count: u64,
}

impl BulkCause {
    /// The most frequent ones, each once.
    pub fn most_frequent(counted: impl IntoIterator<Item = (String, u64)>) -> Vec<Self> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (cause, count) in counted {
            *counts.entry(cause).or_default() += count;
        }
        let causes = counts.into_iter().map(|(cause, count)| Self { cause, count });
        let mut causes: Vec<Self> = causes.collect();
        causes.sort_by_key(|cause| Reverse(cause.count));
        causes.truncate(MAX_CAUSES);
        causes
    }
}

/// An invocation a word had no effect on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkFailure {
    /// Which.
    pub id: InvocationId,
    /// Why not.
    pub error: String,
}

/// A retired subscription of the name asked for a word had no effect on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredFailure {
    /// Whose; none when it is not known which there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Why not.
    pub error: String,
}

/// Reads a body; an empty one is that of `{}`.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Refusal::Parameter {
        name: "body".to_owned(),
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_to_everything_is_refused() {
        assert!(Bulk::default().filter().is_err());
        let older = Bulk {
            older_than: Some("1h".into()),
            ..Bulk::default()
        };
        assert!(older.filter().is_err(), "age alone is no choice");
        let paused = Bulk {
            status: Some(Status::Paused),
            older_than: Some("90s".into()),
            ..Bulk::default()
        };
        let (filter, limit) = paused.filter().expect("it chooses");
        assert_eq!((filter.older_than_ms, limit), (Some(90_000), 100));
        for wrong in [
            Bulk {
                limit: Some(0),
                ..paused.clone()
            },
            Bulk {
                limit: Some(MAX_BULK + 1),
                ..paused.clone()
            },
            Bulk {
                older_than: Some("soon".into()),
                ..paused.clone()
            },
            Bulk {
                waiting_for: Some("godot".into()),
                ..paused.clone()
            },
            Bulk {
                subject: Some("ann".into()),
                ..paused.clone()
            },
        ] {
            assert!(wrong.filter().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_causes_that_are_told_are_the_most_frequent_ones() {
        let rare = (0..MAX_CAUSES).map(|number| (format!("rare {number}"), 1));
        let often = [
            ("often".to_owned(), 2),
            ("twice".to_owned(), 2),
            ("often".to_owned(), 3),
        ];
        let causes = BulkCause::most_frequent(rare.chain(often));
        let told: Vec<_> = causes.iter().map(|told| (told.cause.as_str(), told.count)).collect();
        assert_eq!(told[..3], [("often", 5), ("twice", 2), ("rare 0", 1)]);
        assert_eq!(told.len(), MAX_CAUSES);
    }

    #[test]
    fn a_misspelt_word_is_refused() {
        assert!(body::<Bulk>(br#"{"state": "paused"}"#).is_err());
        assert!(body::<Steering>(br#"{"forced": true}"#).is_err());
        assert_eq!(
            body::<Steering>(b"").expect("nothing has to be said"),
            Steering::default()
        );
    }

    #[test]
    fn a_move_names_a_revision_and_nothing_else_does() {
        let to = RevisionDigest(Digest([7; 32]));
        let manner = Manner::new(Verb::Move, false, Some(to)).expect("it is named");
        assert_eq!(manner.to, Some(to.0));
        assert!(Manner::new(Verb::Move, false, None).is_err());
        assert!(Manner::new(Verb::Resume, false, Some(to)).is_err());
        assert!(body::<Steering>(br#"{"to": "latest"}"#).is_err(), "no digest");
    }

    #[test]
    fn a_name_is_short_and_on_one_line() {
        assert_eq!(Asked::new(None, String::new()).expect("no name").by, NAMELESS);
        assert_eq!(Asked::new(Some(" ann "), String::new()).expect("a name").by, "ann");
        for name in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(Asked::new(Some(name), String::new()).is_err(), "{name:?}");
        }
        assert!(Asked::new(None, "x".repeat(1001)).is_err());
    }
}
