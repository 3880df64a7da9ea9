//! A journal as JSON, and the tree of calls that is in it.

use std::collections::{BTreeMap, HashSet};

use host_types::{ComponentId, NodeId, ParseScopeError, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::promise::WaitView;
use crate::view::InvocationView;

/// An invocation with everything recorded of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InvocationDetail {
    /// The invocation.
    pub invocation: InvocationView,
    /// The calls to other components, nested.
    pub tree: Vec<CallView>,
    /// Every entry, in order of arrival.
    pub journal: Vec<EntryView>,
    /// What a cancellation undoes, or has to undo, newest first.
    #[serde(default)]
    pub compensations: Vec<CompensationView>,
    /// Of a cancelled one: the scope of the calls that undo it. Outside of it nothing runs any more, whatever has no answer there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<String>,
    /// Of a workflow: its function, and the id it was started under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<(String, String)>,
    /// What it waits for; when it sleeps, that is not among it: `due_at` says until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<WaitView>,
}

/// Something to undo, as its component named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompensationView {
    /// Where it was pushed.
    pub position: PositionView,
    /// By whom.
    pub component: ComponentId,
    /// What it is.
    pub name: String,
    /// The host has run it.
    pub has_run: bool,
}

/// What kind of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// What the invocation is.
    Started,
    /// A new owner, or an operator's word.
    Fence,
    /// A command that reads.
    Observation,
    /// A command that commits in the module's own schema.
    Transaction,
    /// A command that calls another component.
    Call,
    /// A command that reaches a foreign system.
    ExternalEffect,
    /// A command that sends, schedules or publishes.
    Message,
    /// A command that sleeps or waits for a promise.
    Wait,
    /// The answer to an earlier command.
    Completion,
    /// The handler returned.
    Output,
}

/// Where in the invocation a command stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PositionView {
    /// The path of calls from the root: `/`, `/0`, `/0/2`.
    pub scope: String,
    /// The number within it.
    pub n: u32,
}

impl From<&Position> for PositionView {
    fn from(position: &Position) -> Self {
        Self {
            scope: position.scope.to_string(),
            n: position.number,
        }
    }
}

impl PositionView {
    /// As the host has it.
    pub(crate) fn parsed(&self) -> Result<Position, ParseScopeError> {
        Ok(Position {
            scope: self.scope.parse()?,
            number: self.n,
        })
    }

    /// The scope that a call here opens.
    fn opened_scope(&self) -> String {
        format!("{}/{}", self.scope.trim_end_matches('/'), self.n)
    }

    /// Whether what is there was asked for within the call here.
    fn encloses(&self, other: &Self) -> bool {
        other.is_within(&self.opened_scope())
    }

    /// Whether what is here was asked for in this scope, which a call has opened, or in one within it.
    fn is_within(&self, scope: &str) -> bool {
        let rest = self.scope.strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A recorded payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PayloadView {
    /// Not shown: it may hold what an operator should not read, or cannot be decoded.
    Redacted {
        /// Its size, bytes.
        redacted: u64,
    },
    /// Decoded.
    Value(Value),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// Order of arrival, from 0.
    pub index: u32,
    /// What kind.
    pub kind: EntryKind,
    /// Of commands and completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionView>,
    /// What was asked for: interface and function, for a call with the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of a fence: the attempt that begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Of a fence: the new owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Of a fence: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The answer, the output; null when there is none, or when a completion brings it.
    pub answer: Option<PayloadView>,
}

impl EntryView {
    /// An entry of which only its place and kind are known.
    pub fn new(index: u32, kind: EntryKind) -> Self {
        Self {
            index,
            kind,
            position: None,
            target: None,
            attempt: None,
            node: None,
            reason: None,
            answer: None,
        }
    }
}

/// A call to another component, with the calls made within it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Where it was made.
    pub position: PositionView,
    /// What was called.
    pub target: String,
    /// Its answer is recorded.
    pub is_answered: bool,
    /// The calls made within it.
    pub calls: Vec<Self>,
}

impl InvocationDetail {
    /// Finds the tree of calls in the journal.
    pub fn new(invocation: InvocationView, journal: Vec<EntryView>, compensations: Vec<CompensationView>) -> Self {
        Self {
            invocation,
            tree: tree(&journal),
            journal,
            compensations,
            undoing: None,
            workflow: None,
            waits_for: Vec::new(),
        }
    }
}

/// The call, or the effect, of this target that has no answer, and that a guest comes to again. `None`: there is none, or more than one.
/// `undoing`: the scope of what undoes the invocation, if that is what it does.
pub(crate) fn unanswered<'a>(
    journal: &'a [EntryView],
    undoing: Option<&str>,
    target: &str,
) -> Option<&'a PositionView> {
    let completed = completed(journal);
    let is_meant = |entry: &&EntryView| {
        matches!(entry.kind, EntryKind::Call | EntryKind::ExternalEffect)
            && entry.answer.is_none()
            && entry
                .target
                .as_deref()
                .is_some_and(|recorded| is_target(recorded, target))
    };
    // Of a call that was answered, what it had asked for before is not asked for again.
    let is_over = |position: &PositionView| {
        completed.contains(position) || completed.iter().any(|answered| answered.encloses(position))
    };
    let positions = journal
        .iter()
        .filter(is_meant)
        .filter_map(|entry| entry.position.as_ref());
    // Of one that is being undone, the handler is not called again.
    let is_live = |position: &PositionView| undoing.is_none_or(|scope| position.is_within(scope));
    let mut open = positions.filter(|position| is_live(position) && !is_over(position));
    let first = open.next()?;
    open.next().is_none().then_some(first)
}

/// Whether a target as it is recorded is the one that is meant, of which the component that is called and the version of its interface may be
/// left out: `payment:shop:payment/provider@0.1.0.charge` is `shop:payment/provider.charge`.
fn is_target(recorded: &str, meant: &str) -> bool {
    let function = recorded.split_once(':').map(|(_, function)| function);
    let mut spelt = [Some(recorded), function].into_iter().flatten();
    spelt.any(|spelt| spelt == meant || unversioned(spelt) == meant)
}

fn unversioned(target: &str) -> String {
    match (target.find('@'), target.rfind('.')) {
        (Some(version), Some(name)) if version < name => format!("{}{}", &target[..version], &target[name..]),
        _ => target.to_owned(),
    }
}

/// Of which kind everything is recorded under this target, which then does not say what was asked for.
pub(crate) fn everything_of(target: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 2] = [
        ("http/outgoing-handler.handle", "every HTTP request"),
        ("nexus:durable/compensate.run", "every compensation"),
    ];
    let target = unversioned(target);
    let is = |name: &str| {
        let before = target.strip_suffix(name);
        before.is_some_and(|before| before.is_empty() || before.ends_with(':'))
    };
    KINDS.into_iter().find_map(|(name, kind)| is(name).then_some(kind))
}

/// Where a completion has brought the answer.
fn completed(journal: &[EntryView]) -> HashSet<&PositionView> {
    let completions = journal.iter().filter(|entry| entry.kind == EntryKind::Completion);
    completions.filter_map(|entry| entry.position.as_ref()).collect()
}

fn tree(journal: &[EntryView]) -> Vec<CallView> {
    let completed = completed(journal);
    let mut by_scope: BTreeMap<&str, Vec<CallView>> = BTreeMap::new();
    for entry in journal.iter().filter(|entry| entry.kind == EntryKind::Call) {
        let Some(position) = &entry.position else {
            continue;
        };
        by_scope.entry(&position.scope).or_default().push(CallView {
            position: position.clone(),
            target: entry.target.clone().unwrap_or_default(),
            is_answered: entry.answer.is_some() || completed.contains(position),
            calls: Vec::new(),
        });
    }
    take(&mut by_scope, "/")
}

/// The calls of a scope. Recursion is as deep as calls nest, which the host bounds.
fn take(by_scope: &mut BTreeMap<&str, Vec<CallView>>, scope: &str) -> Vec<CallView> {
    let mut calls = by_scope.remove(scope).unwrap_or_default();
    calls.sort_by_key(|call| call.position.n);
    for call in &mut calls {
        call.calls = take(by_scope, &call.position.opened_scope());
    }
    calls
}

#[cfg(test)]
mod tests {
    use host_types::Scope;
    use serde_json::json;

    use super::*;

    fn command(index: u32, kind: EntryKind, scope: &Scope, number: u32) -> EntryView {
        let position = Position {
            scope: scope.clone(),
            number,
        };
        EntryView {
            position: Some((&position).into()),
            target: Some(format!("{position}")),
            ..EntryView::new(index, kind)
        }
    }

    #[test]
    fn calls_nest_by_scope_and_sort_by_number_whatever_the_order_of_arrival() {
        let root = Scope::root();
        let journal = [
            EntryView::new(0, EntryKind::Started),
            command(1, EntryKind::Call, &root, 11),
            command(2, EntryKind::Call, &root, 2),
            command(3, EntryKind::Observation, &root.child(2), 0),
            command(4, EntryKind::Call, &root.child(2), 1),
            command(5, EntryKind::Call, &root.child(2).child(1), 0),
            command(6, EntryKind::Completion, &root.child(2), 1),
        ];
        let tree = serde_json::to_value(tree(&journal)).unwrap();
        let expected = json!([
            { "position": { "scope": "/", "n": 2 }, "target": "/#2", "is_answered": false, "calls": [
                { "position": { "scope": "/2", "n": 1 }, "target": "/2#1", "is_answered": true, "calls": [
                    { "position": { "scope": "/2/1", "n": 0 }, "target": "/2/1#0", "is_answered": false, "calls": [] },
                ] },
            ] },
            { "position": { "scope": "/", "n": 11 }, "target": "/#11", "is_answered": false, "calls": [] },
        ]);
        assert_eq!(tree, expected);
    }

    #[test]
    fn what_is_to_be_answered_is_the_only_one_of_its_target_that_the_guest_comes_to_again() {
        const CHARGE: &str = "shop:payment/provider.charge";
        const SET: &str = "wasi:keyvalue/store.bucket.set";
        let root = Scope::root();
        let of = |target: &str, entry| EntryView {
            target: Some(target.to_owned()),
            ..entry
        };
        let charge = |index, number| {
            let call = command(index, EntryKind::Call, &root, number);
            of("sandbox:shop:payment/provider@0.1.0.charge", call)
        };
        let completion = |index, number| command(index, EntryKind::Completion, &root, number);
        let within = |index, number| {
            let effect = command(index, EntryKind::ExternalEffect, &root.child(number), 0);
            of(SET, effect)
        };
        let found = |journal: &[EntryView], target| unanswered(journal, None, target).map(|position| position.n);
        let stuck = [charge(1, 0), completion(2, 0), charge(3, 1), within(4, 1)];
        for target in [
            CHARGE,
            "shop:payment/provider@0.1.0.charge",
            "sandbox:shop:payment/provider.charge",
            "sandbox:shop:payment/provider@0.1.0.charge",
        ] {
            assert_eq!(found(&stuck, target), Some(1), "{target}");
        }
        assert_eq!(found(&stuck, SET), Some(0));
        for target in [
            "",
            "charge",
            "shop:payment/provider.refund",
            "shop:payment/provider@0.2.0.charge",
            "other:shop:payment/provider.charge",
        ] {
            assert_eq!(found(&stuck, target), None, "{target}");
        }
        assert_eq!(found(&[charge(1, 0), charge(2, 1)], CHARGE), None, "which of the two?");
        let answered = [charge(1, 1), within(2, 1), completion(3, 1)];
        assert_eq!(found(&answered, CHARGE), None);
        assert_eq!(
            found(&answered, SET),
            None,
            "what the call had asked for is not asked for again"
        );
        let beside = [charge(1, 1), within(2, 11), completion(3, 1)];
        assert_eq!(found(&beside, SET), Some(0));
    }

    #[test]
    fn under_some_targets_everything_of_a_kind_is_recorded() {
        for (target, kind) in [
            ("wasi:http/outgoing-handler.handle", Some("every HTTP request")),
            ("wasi:http/outgoing-handler@0.2.12.handle", Some("every HTTP request")),
            ("http/outgoing-handler.handle", Some("every HTTP request")),
            ("order:nexus:durable/compensate.run", Some("every compensation")),
            ("order:nexus:durable/compensate@0.1.0.run", Some("every compensation")),
            ("nexus:durable/compensate.run", Some("every compensation")),
            ("sandbox:shop:payment/provider@0.1.0.charge", None),
            ("shop:my-http/outgoing-handler.handle", None),
            ("wasi:keyvalue/store.bucket.set", None),
            ("", None),
        ] {
            assert_eq!(everything_of(target), kind, "{target}");
        }
    }

    #[test]
    fn of_what_is_undone_only_what_undoes_it_is_to_be_answered() {
        const REFUND: &str = "shop:payment/provider.refund";
        let (root, undoing) = (Scope::root(), Scope::root().child(u32::MAX));
        let of = |target: &str, entry| EntryView {
            target: Some(target.to_owned()),
            ..entry
        };
        let refund = |index, scope: &Scope, number| {
            let call = command(index, EntryKind::Call, scope, number);
            of("sandbox:shop:payment/provider@0.1.0.refund", call)
        };
        let compensation = of(
            "order:nexus:durable/compensate.run",
            command(2, EntryKind::Call, &undoing, 0),
        );
        let journal = [refund(1, &root, 4), compensation, refund(3, &undoing.child(0), 1)];
        let scope = undoing.to_string();
        let found = |journal: &[EntryView], undoing| unanswered(journal, undoing, REFUND).map(|position| position.n);
        assert_eq!(found(&journal[..1], None), Some(4));
        assert_eq!(
            found(&journal[..1], Some(scope.as_str())),
            None,
            "the handler does not come to it again"
        );
        assert_eq!(found(&journal, Some(scope.as_str())), Some(1));
        let beside = [refund(1, &root.child(u32::MAX - 1), 2)];
        assert_eq!(found(&beside, Some(scope.as_str())), None);
    }

    #[test]
    fn an_answer_is_a_value_a_size_or_null() {
        let shown = |answer| {
            serde_json::to_value(EntryView {
                answer,
                ..EntryView::new(3, EntryKind::Output)
            })
            .unwrap()
        };
        assert_eq!(shown(None), json!({ "index": 3, "kind": "output", "answer": null }));
        assert_eq!(
            shown(Some(PayloadView::Redacted { redacted: 12 }))["answer"],
            json!({ "redacted": 12 })
        );
        assert_eq!(
            shown(Some(PayloadView::Value(json!(["held"]))))["answer"],
            json!(["held"])
        );
    }
}
