use host_types::{DeploymentNumber, NodeId};

use super::*;
use crate::{ArgumentHash, Header, Seed};

/// A history being written, in the words of a guest.
struct Told(Vec<Entry>);

impl Told {
    fn new() -> Self {
        let header = Header {
            component: ComponentId::from("order"),
            function: "nexus:http/handler.handle".into(),
            deployment: DeploymentNumber(1),
            input: Payload::new(),
            seed: Seed::new([7; 32]),
            subject: String::new(),
            trace_parent: String::new(),
            memory_limit_bytes: 0,
            started_ms: 0,
            workflow: None,
            deadline_ms: None,
        };
        Self(Vec::new()).with(Body::Started(Box::new(header)))
    }

    fn with(mut self, body: Body) -> Self {
        let index = self.0.len() as u32;
        self.0.push(Entry { index, body });
        self
    }

    fn command(self, at: (&Scope, u32), kind: CommandKind, target: &str, answer: Option<Vec<u8>>) -> Self {
        self.with(Body::Command {
            position: position(at),
            kind,
            target: target.into(),
            arguments: ArgumentHash([0; 16]),
            answer: answer.map(Payload::from),
        })
    }

    fn push(self, at: (&Scope, u32), name: &str) -> Self {
        let pushed = Pushed {
            name: name.into(),
            argument: vec![1, 2],
        };
        let answer = minicbor::to_vec(pushed).unwrap();
        self.command(at, CommandKind::Observation, target::PUSH, Some(answer))
    }

    fn undone(self, at: (&Scope, u32)) -> Self {
        self.command(at, CommandKind::Observation, target::UNDONE, Some(Vec::new()))
    }

    fn settle(self, at: (&Scope, u32), count: u32) -> Self {
        let answer = minicbor::to_vec(Settled { count }).unwrap();
        self.command(at, CommandKind::Observation, target::SETTLE, Some(answer))
    }

    fn call(self, at: (&Scope, u32), target: &str) -> Self {
        self.command(at, CommandKind::Call, target, None)
    }

    fn transaction(self, at: (&Scope, u32)) -> Self {
        self.command(at, CommandKind::Transaction, "nexus:sql/sql.transaction", Some(vec![0]))
    }

    fn cancel(self) -> Self {
        self.with(Body::Fence {
            attempt: 1,
            node: NodeId::new(1, [3; 10]),
            reason: FenceReason::Cancel("no longer wanted".into()),
        })
    }

    /// The host has run this many compensations.
    fn ran(self, count: u32) -> Self {
        let scope = compensating_scope();
        (0..count).fold(self, |told, number| {
            told.call((&scope, number), "order:nexus:durable/compensate.run")
                .with(Body::Completion {
                    position: position((&scope, number)),
                    answer: Payload::new(),
                })
        })
    }

    fn to_undo(&self) -> Vec<String> {
        let open = compensations(&self.0).unwrap();
        open.iter()
            .map(|it| format!("{}:{}@{}", it.component, it.pushed.name, it.position))
            .collect()
    }

    fn standing(&self) -> Vec<String> {
        self.standing_when(Undone::AsRecorded)
    }

    fn standing_when(&self, undone: Undone) -> Vec<String> {
        let effects = standing_effects(&self.0, |record| record.as_ref() == [0], undone).unwrap();
        effects.iter().map(|effect| effect.position.to_string()).collect()
    }
}

fn position((scope, number): (&Scope, u32)) -> Position {
    Position {
        scope: scope.clone(),
        number,
    }
}

fn root() -> Scope {
    Scope::root()
}

#[test]
fn what_was_pushed_last_in_the_whole_call_tree_is_undone_first() {
    let stock = root().child(2);
    let told = Told::new()
        .push((&root(), 0), "close")
        .push((&root(), 1), "release")
        .call((&root(), 2), "inventory:shop:inventory/reservations.reserve")
        .push((&stock, 0), "unpick")
        .push((&root(), 3), "refund")
        .cancel();
    assert_eq!(
        told.to_undo(),
        [
            "order:refund@/#3",
            "inventory:unpick@/2#0",
            "order:release@/#1",
            "order:close@/#0"
        ]
    );
}

#[test]
fn what_was_undone_or_settled_is_not_undone_again() {
    let stock = root().child(2);
    let told = Told::new()
        .push((&root(), 0), "outer")
        .push((&root(), 1), "release")
        .call((&root(), 2), "inventory:shop:inventory/reservations.reserve")
        .push((&stock, 0), "unpick")
        .push((&stock, 1), "unmark")
        .settle((&stock, 2), 2)
        .undone((&root(), 3))
        .cancel();
    assert_eq!(told.to_undo(), ["order:outer@/#0"]);
    let settled = Told::new().push((&root(), 0), "a").settle((&root(), 1), 9).cancel();
    assert_eq!(settled.to_undo(), [""; 0], "no more than there are");
}

#[test]
fn what_a_compensation_itself_pushes_changes_nothing() {
    let inner = compensating_scope().child(0);
    let told = Told::new()
        .push((&root(), 0), "release")
        .cancel()
        .push((&inner, 0), "again");
    assert_eq!(told.to_undo(), ["order:release@/#0"]);
}

#[test]
fn no_guest_can_be_in_the_scope_of_the_compensations() {
    let call = compensating_scope().opened_by().unwrap();
    assert_eq!((call.scope, call.number), (root(), u32::MAX));
    assert!(
        u32::MAX.checked_add(1).is_none(),
        "the machine gives out a number only when there is a next one"
    );
}

#[test]
fn an_effect_stands_unless_a_compensation_that_was_open_has_run() {
    let stock = root().child(2);
    let begun = || {
        Told::new()
            .transaction((&root(), 0))
            .push((&root(), 1), "release")
            .call((&root(), 2), "inventory:shop:inventory/reservations.reserve")
            .transaction((&stock, 0))
            .command(
                (&root(), 3),
                CommandKind::External,
                "wasi:http/outgoing-handler.handle",
                None,
            )
    };
    assert_eq!(begun().standing(), ["/#0", "/2#0", "/#3"]);
    assert_eq!(begun().undone((&root(), 4)).standing(), ["/#0"]);
    assert_eq!(begun().settle((&root(), 4), 1).standing(), ["/#0", "/2#0", "/#3"]);
    assert_eq!(begun().cancel().standing(), ["/#0", "/2#0", "/#3"]);
    assert_eq!(begun().cancel().ran(1).standing(), ["/#0"]);
    assert_eq!(begun().standing_when(Undone::All), ["/#0"], "were it cancelled");
}

#[test]
fn a_compensation_undoes_what_came_before_the_next_one_and_no_more() {
    let begun = || {
        Told::new()
            .push((&root(), 0), "close")
            .transaction((&root(), 1))
            .push((&root(), 2), "release")
            .transaction((&root(), 3))
    };
    assert_eq!(begun().undone((&root(), 4)).standing(), ["/#1"]);
    assert_eq!(begun().undone((&root(), 4)).undone((&root(), 5)).standing(), [""; 0]);
    // What was settled is to stay, and what was pushed before it does not undo it.
    let settled = begun().settle((&root(), 4), 1).undone((&root(), 5));
    assert_eq!(settled.standing(), ["/#3"]);
    // What the guest does to undo something is no effect that stands.
    let undoing = begun()
        .transaction((&root(), 4))
        .undone((&root(), 5))
        .transaction((&root(), 6))
        .undone((&root(), 7));
    assert_eq!(undoing.standing(), [""; 0]);
}

#[test]
fn what_was_rolled_back_or_only_read_is_no_effect() {
    let told = Told::new()
        .command(
            (&root(), 0),
            CommandKind::Transaction,
            "nexus:sql/sql.transaction",
            Some(vec![1]),
        )
        .command(
            (&root(), 1),
            CommandKind::Observation,
            "wasi:config/store.get",
            Some(vec![]),
        )
        .call((&root(), 2), "catalog:shop:catalog/products.get");
    assert_eq!(told.standing(), [""; 0]);
}

#[test]
fn a_scope_nobody_opened_is_an_error_and_not_a_panic() {
    let told = Told::new().push((&root().child(5), 0), "release");
    assert!(compensations(&told.0).is_err());
}
