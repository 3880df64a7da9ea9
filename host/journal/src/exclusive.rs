//! Functions that run one at a time for each key.
//!
//! An invocation takes a place in the key's queue with an append, before the function starts; whoever stands first holds the key. The place
//! is the whole invocation's: what it calls meanwhile may come back to the key. It is given up in the append that carries the call's
//! completion, or the invocation's end.
//!
//! The command that takes the place stands in a scope that no guest can be in ([`exclusive_scope`]): whether a function is exclusive is
//! for the manifest to say, and must not move the guest's own commands.

use host_types::{ComponentId, Position, Scope};
use minicbor::{Decode, Encode};
use ring::digest::{Context, SHA256};
use uuid::Uuid;

use crate::{ArgumentHash, Body, Entry, Payload};

/// The target under which taking a place is recorded. Stored for years.
pub const ACQUIRE: &str = "nexus:durable/exclusive.acquire";

/// A key: a function, and a value of the parameter that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusiveKey {
    /// What it is known by.
    pub id: KeyId,
    /// The component that exports the function.
    pub component: ComponentId,
    /// The interface, without its version, and the function.
    pub function: String,
}

/// A digest of function and value.
///
/// It is not keyed: a secret that changes would let two hold the same key. What is stored tells whether a value that somebody guesses is
/// in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Uuid);

/// What asking for a key came to. Stored for years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Acquired {
    /// The invocation holds it.
    #[n(0)]
    Held,
    /// It would wait for somebody who waits for it: it has no place in the queue.
    #[n(1)]
    Refused,
    /// The deadline came before its turn.
    #[n(2)]
    TimedOut,
}

impl ExclusiveKey {
    /// `value` is the parameter's, encoded.
    pub fn new(component: ComponentId, interface: &str, function: &str, value: &[u8]) -> Self {
        let interface = interface.split('@').next().unwrap_or_default();
        let function = format!("{interface}.{function}");
        let mut context = Context::new(&SHA256);
        for part in [component.as_str().as_bytes(), function.as_bytes(), value] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&context.finish().as_ref()[..16]);
        Self {
            id: KeyId(uuid::Builder::from_custom_bytes(id).into_uuid()),
            component,
            function,
        }
    }
}

/// Where a call takes its place before it runs in `scope`. The scopes of compensations lie beside it: they are opened by commands, and
/// this one would be by a command of a number that none has.
pub fn exclusive_scope(scope: &Scope) -> Scope {
    scope.child(u32::MAX).child(u32::MAX)
}

/// What asking for a key before running in this scope came to, as far as it is recorded.
pub fn recorded_place<'e>(entries: &'e [Entry], scope: &Scope) -> Option<&'e Payload> {
    let asked = Position {
        scope: exclusive_scope(scope),
        number: 0,
    };
    entries.iter().find_map(|entry| match &entry.body {
        Body::Command { position, answer, .. } if *position == asked => answer.as_ref(),
        Body::Completion { position, answer } if *position == asked => Some(answer),
        _ => None,
    })
}

/// The scopes of calls that have asked for a key and have not returned, as far as it is recorded, each with the hash under which the key
/// is. A replay enters them once more, one after the other, and all of them are to find what they had. A call that a person has answered is
/// not entered, and neither is what it called.
pub fn open_places(entries: &[Entry]) -> Vec<(Scope, ArgumentHash)> {
    let mut open: Vec<(Scope, ArgumentHash)> = Vec::new();
    for entry in entries {
        match &entry.body {
            Body::Command {
                position,
                target,
                arguments,
                ..
            } if target == ACQUIRE => {
                let beside = position.scope.opened_by().and_then(|command| command.scope.opened_by());
                open.extend(beside.map(|command| (command.scope, *arguments)));
            }
            Body::Completion { position, .. } => {
                let called = opened_by(position);
                open.retain(|(scope, _)| !scope.is_within(&called));
            }
            _ => {}
        }
    }
    open
}

/// The hashes of the keys for which there are places only on behalf of this call and what it has called: given up with its answer.
pub fn places_within(entries: &[Entry], call: &Position) -> Vec<ArgumentHash> {
    let called = opened_by(call);
    let (within, beside): (Vec<_>, Vec<_>) = open_places(entries)
        .into_iter()
        .partition(|(scope, _)| scope.is_within(&called));
    let mut hashes: Vec<_> = within.into_iter().map(|(_, hash)| hash).collect();
    hashes.retain(|hash| !beside.iter().any(|(_, held)| held == hash));
    hashes
}

fn opened_by(call: &Position) -> Scope {
    call.scope.child(call.number)
}

/// The invocation has taken places: none may be left when it ends.
pub fn has_acquired(entries: &[Entry]) -> bool {
    let mut commands = entries.iter();
    commands.any(|entry| matches!(&entry.body, Body::Command { target, .. } if target == ACQUIRE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_value_of_one_function() {
        let of = |component: &str, interface: &str, value: &[u8]| {
            ExclusiveKey::new(component.into(), interface, "serve", value).id
        };
        let key = of("desk", "a:b/c@0.1.0", b"7");
        assert_eq!(
            key,
            of("desk", "a:b/c@0.1.9", b"7"),
            "a later version is the same function"
        );
        for other in [
            of("desk", "a:b/c", b"8"),
            of("desk", "a:b/d", b"7"),
            of("till", "a:b/c", b"7"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn an_answered_call_leaves_the_places_of_its_tree_but_for_those_that_others_have() {
        let hash = |number| ArgumentHash([number; 16]);
        let asks = |scope: &Scope, number| Body::Command {
            position: Position {
                scope: exclusive_scope(scope),
                number: 0,
            },
            kind: crate::CommandKind::Wait,
            target: ACQUIRE.into(),
            arguments: hash(number),
            answer: None,
        };
        let call = Position {
            scope: Scope::root(),
            number: 4,
        };
        let (called, beside) = (Scope::root().child(4), Scope::root().child(5));
        let mut entries: Vec<Entry> = [
            asks(&called, 1),
            asks(&called.child(0), 2),
            asks(&called.child(1), 3),
            asks(&beside, 2),
        ]
        .into_iter()
        .zip(0..)
        .map(|(body, index)| Entry { index, body })
        .collect();
        assert_eq!(places_within(&entries, &call), [hash(1), hash(3)]);
        entries.push(Entry {
            index: 4,
            body: Body::Completion {
                position: call,
                answer: Payload::new(),
            },
        });
        assert_eq!(open_places(&entries), [(beside, hash(2))]);
    }

    #[test]
    fn no_compensation_runs_where_a_place_is_taken() {
        let taken = exclusive_scope(&Scope::root());
        assert!(taken.is_within(&crate::compensating_scope()));
        assert_eq!(taken.opened_by().map(|position| position.number), Some(u32::MAX));
    }
}
