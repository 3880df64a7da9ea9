//! Concurrent siblings share one machine: whatever the order in which they come to it, and whatever of their record is durable when
//! the process ends, a replay in any other order gives the same outcome and does nothing twice.

use std::collections::BTreeSet;

use host_journal::{Body, CommandKind, Entry, Header, Machine, Payload, Seed, Step};
use host_types::{ComponentId, DeploymentNumber, Position, Scope};

use Op::{Begin, Commit, Effect, Id, Now, Refused, RollBack, See, Send};

/// What a sibling does. Those that append take two steps and more, between which others go on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    See,
    Now,
    Id,
    Send,
    /// Reaches a foreign system: its intent is appended, then its outcome.
    Effect,
    Begin,
    Commit,
    /// A commit that a constraint refuses.
    Refused,
    RollBack,
}

struct Sibling {
    scope: Scope,
    ops: &'static [Op],
    at: usize,
    /// The transaction that is open, and its record when it is answered from there.
    transaction: Option<(Position, Option<Payload>)>,
    /// One past the last entry of its append that is under way, and the intent in it.
    appending: Option<(u32, Option<Position>)>,
    outcome: Vec<String>,
}

struct Run {
    machine: Machine,
    siblings: Vec<Sibling>,
    calls: Vec<Position>,
    /// What was done in the world.
    performed: Vec<Position>,
    /// How much was durable after each append.
    boundaries: Vec<usize>,
    /// Each sibling has a clock of its own, so that what depends on whose was read first shows.
    clocks_differ: bool,
}

fn header() -> Header {
    Header {
        component: ComponentId::from("order"),
        function: "nexus:http/handler.handle".into(),
        deployment: DeploymentNumber(1),
        input: Payload::from_static(b"cart-7"),
        seed: Seed::new([1; 32]),
        subject: String::new(),
        trace_parent: String::new(),
        memory_limit_bytes: 64 << 20,
        started_ms: 1_000,
        workflow: None,
        deadline_ms: None,
    }
}

impl Run {
    /// A parent that begins one call for each script, and then waits for all of them.
    fn new(mut machine: Machine, scripts: &[&'static [Op]], clocks_differ: bool) -> Self {
        let (mut siblings, mut calls) = (Vec::new(), Vec::new());
        let arguments = machine.header().seed.hash(b"");
        for (number, ops) in (0..).zip(scripts) {
            let step = machine.command(&Scope::root(), CommandKind::Call, "stock:a.b", arguments);
            let scope = Scope::root().child(number);
            let sibling = match step.unwrap() {
                Step::Recorded(answer) => Sibling::new(scope, &[], vec![text(&answer)]),
                Step::Perform(_) => Sibling::new(scope, ops, Vec::new()),
                Step::InDoubt(_) => panic!("a call is not in doubt"),
            };
            siblings.push(sibling);
            calls.push(Position {
                scope: Scope::root(),
                number,
            });
        }
        Self {
            machine,
            siblings,
            calls,
            performed: Vec::new(),
            boundaries: Vec::new(),
            clocks_differ,
        }
    }

    /// Lets the siblings take steps in this order; one that has to wait leaves its step to the next that need not.
    fn drive(mut self, order: &[usize]) -> Self {
        let mut order = order.iter().copied();
        let count = self.siblings.len();
        loop {
            let wanted = order.next().unwrap_or(0);
            let mut from_wanted = (0..count).map(|n| (wanted + n) % count);
            match from_wanted.find(|n| self.may_step(*n)) {
                Some(next) => self.step(next),
                None => break,
            }
        }
        let arguments = self.machine.header().seed.hash(b"");
        for (sibling, call) in self.siblings.iter().zip(&self.calls) {
            assert_eq!(sibling.at, sibling.ops.len(), "everybody comes to an end");
            if !sibling.ops.is_empty() {
                let answer = Payload::from(sibling.outcome.join(","));
                let noted = self
                    .machine
                    .complete(call, CommandKind::Call, "stock:a.b", arguments, answer);
                noted.unwrap();
            }
        }
        let output = Payload::from(self.outcome());
        self.machine.finish(output, true).unwrap();
        self
    }

    fn may_step(&self, n: usize) -> bool {
        let sibling = &self.siblings[n];
        let somebody_appends = self.siblings.iter().any(|sibling| sibling.appending.is_some());
        match sibling.ops.get(sibling.at) {
            None => false,
            Some(_) if sibling.appending.is_some() => true,
            Some(Effect | Commit | Refused) => !somebody_appends,
            Some(_) => true,
        }
    }

    fn step(&mut self, n: usize) {
        match self.siblings[n].appending.take() {
            Some((until, intent)) => self.appended(n, until, intent),
            None => self.ask(n),
        }
    }

    /// The append of this sibling has come to its end.
    fn appended(&mut self, n: usize, until: u32, intent: Option<Position>) {
        let Self { machine, siblings, .. } = self;
        let sibling = &mut siblings[n];
        let arguments = machine.header().seed.hash(b"");
        if sibling.ops[sibling.at] == Refused {
            let (begun, _) = sibling.transaction.take().unwrap();
            machine.refuse_transaction(&begun);
            let noted = machine.note_transaction(&begun, "sql", arguments, "refused".into());
            noted.unwrap();
            machine.close_transaction(&begun);
            sibling.at += 1;
            return;
        }
        machine.appended(until);
        self.boundaries.push(until as usize);
        if let Some(intent) = intent {
            let answer = answer(&intent);
            sibling.outcome.push(text(&answer));
            let noted = machine.complete(&intent, CommandKind::External, "http.post", arguments, answer);
            noted.unwrap();
            self.performed.push(intent);
            sibling.appending = Some((machine.entries().len() as u32, None));
            return;
        }
        if let Some((begun, _)) = sibling.transaction.take() {
            machine.close_transaction(&begun);
            self.performed.push(begun);
        }
        sibling.at += 1;
    }

    fn ask(&mut self, n: usize) {
        let clock_ms = 5_000 + if self.clocks_differ { 1_000 * n as u64 } else { 0 };
        let Self { machine, siblings, .. } = self;
        let sibling = &mut siblings[n];
        let scope = sibling.scope.clone();
        let arguments = machine.header().seed.hash(b"");
        let op = sibling.ops[sibling.at];
        match op {
            See | Send => {
                let kind = if op == See {
                    CommandKind::Observation
                } else {
                    CommandKind::Message
                };
                let told = match machine.command(&scope, kind, "x", arguments).unwrap() {
                    Step::Recorded(told) => told,
                    Step::Perform(position) | Step::InDoubt(position) => {
                        let told = answer(&position);
                        let noted = machine.complete(&position, kind, "x", arguments, told.clone());
                        noted.unwrap();
                        told
                    }
                };
                sibling.outcome.push(text(&told));
            }
            Now => sibling.outcome.push(machine.now(&scope, clock_ms).unwrap().to_string()),
            Id => sibling.outcome.push(machine.derive_uuid(&scope).unwrap().to_string()),
            Effect => {
                let step = machine.command(&scope, CommandKind::External, "http.post", arguments);
                match step.unwrap() {
                    Step::Recorded(told) => sibling.outcome.push(text(&told)),
                    // In doubt, it is repeated.
                    Step::Perform(position) | Step::InDoubt(position) => {
                        sibling.appending = Some((machine.entries().len() as u32, Some(position)));
                        return;
                    }
                }
            }
            Begin => {
                let step = machine.command(&scope, CommandKind::Transaction, "sql", arguments);
                sibling.transaction = Some(match step.unwrap() {
                    Step::Recorded(record) => (machine.last_position_in(&scope).unwrap(), Some(record)),
                    Step::Perform(position) | Step::InDoubt(position) => {
                        machine.open_transaction(&position);
                        (position, None)
                    }
                });
            }
            Commit | Refused | RollBack => {
                let record = Payload::from_static(match op {
                    Commit => b"committed",
                    Refused => b"refused",
                    _ => b"rolled back",
                });
                sibling.outcome.push(text(&record));
                let (begun, recorded) = sibling.transaction.clone().unwrap();
                match recorded {
                    Some(recorded) => {
                        assert_eq!(recorded, record);
                        sibling.transaction = None;
                    }
                    None if op == RollBack => {
                        sibling.transaction = None;
                        let noted = machine.note_transaction(&begun, "sql", arguments, record);
                        noted.unwrap();
                        machine.close_transaction(&begun);
                    }
                    None => {
                        let noted = machine.note_transaction(&begun, "sql", arguments, "committed".into());
                        noted.unwrap();
                        sibling.appending = Some((machine.entries().len() as u32, None));
                        return;
                    }
                }
            }
        }
        sibling.at += 1;
    }

    fn outcome(&self) -> String {
        let outcomes = self.siblings.iter().map(|sibling| sibling.outcome.join(","));
        outcomes.collect::<Vec<_>>().join(";")
    }
}

impl Sibling {
    fn new(scope: Scope, ops: &'static [Op], outcome: Vec<String>) -> Self {
        Self {
            scope,
            ops,
            at: 0,
            transaction: None,
            appending: None,
            outcome,
        }
    }
}

/// What the world answers depends on the position alone, so that what is lost and done again comes out alike.
fn answer(position: &Position) -> Payload {
    Payload::from(format!("<{position}>"))
}

fn text(payload: &Payload) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

/// Every order of this many steps of each.
fn orders(steps: &[usize]) -> Vec<Vec<usize>> {
    if steps.iter().all(|left| *left == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (who, left) in steps.iter().enumerate().filter(|(_, left)| **left > 0) {
        let mut rest = steps.to_vec();
        rest[who] = left - 1;
        for mut order in orders(&rest) {
            order.insert(0, who);
            all.push(order);
        }
    }
    all
}

/// Steps a script takes when nothing of it is recorded.
fn steps(ops: &[Op]) -> usize {
    let steps = ops.iter().map(|op| match op {
        Effect => 3,
        Commit | Refused => 2,
        _ => 1,
    });
    steps.sum()
}

/// Runs in every order; replays what is durable after each append, and everything, in some others.
fn holds_in_every_order(scripts: &[&'static [Op]], sampled: usize, clocks_differ: bool) {
    let orders = orders(&scripts.iter().map(|ops| steps(ops)).collect::<Vec<_>>());
    let others: Vec<_> = orders.iter().step_by((orders.len() / sampled).max(1)).collect();
    let mut outcomes = BTreeSet::new();
    for order in &orders {
        let first = Run::new(Machine::start(header()), scripts, clocks_differ).drive(order);
        let log: Vec<Entry> = first.machine.entries().to_vec();
        let indices = log.iter().map(|entry| entry.index as usize);
        assert!(indices.eq(0..log.len()), "no gaps");
        outcomes.insert(first.outcome());
        let cuts = match clocks_differ {
            // What is lost is seen anew: only the whole record comes out alike.
            true => vec![log.len()],
            false => first.boundaries.iter().copied().chain([log.len()]).collect(),
        };
        for cut in cuts {
            let history = &log[..cut];
            let answered: BTreeSet<_> = history.iter().filter_map(|entry| answered(&entry.body)).collect();
            for other in &others {
                let machine = Machine::replay(history.to_vec()).unwrap();
                let again = Run::new(machine, scripts, clocks_differ).drive(other);
                assert_eq!(
                    again.outcome(),
                    first.outcome(),
                    "{order:?} cut at {cut}, then {other:?}"
                );
                let twice = again.performed.iter().find(|position| answered.contains(position));
                assert_eq!(twice, None, "{order:?} cut at {cut}, then {other:?}");
            }
        }
    }
    assert_eq!(outcomes.len() == 1, !clocks_differ, "{outcomes:?}");
}

fn answered(body: &Body) -> Option<&Position> {
    match body {
        Body::Command {
            position,
            answer: Some(_),
            ..
        }
        | Body::Completion { position, .. } => Some(position),
        _ => None,
    }
}

#[test]
fn two_transactions_and_what_is_noted_around_them() {
    holds_in_every_order(&[&[See, Begin, Now, Commit, Id], &[Begin, Send, Commit, See]], 6, false);
}

#[test]
fn a_transaction_that_ends_badly_beside_one_that_does_not() {
    holds_in_every_order(&[&[Begin, Send, Refused, See], &[Begin, Commit, See]], 6, false);
    holds_in_every_order(&[&[Begin, Now, Send, RollBack], &[See, Begin, Commit]], 6, false);
}

#[test]
fn an_effect_beside_a_transaction() {
    holds_in_every_order(&[&[See, Effect, Id], &[Begin, Send, Now, Commit]], 6, false);
}

#[test]
fn three_at_once() {
    holds_in_every_order(&[&[Begin, Commit], &[See, Id], &[Send, Now]], 5, false);
}

#[test]
fn the_time_of_one_does_not_show_in_the_ids_of_another() {
    holds_in_every_order(&[&[Now, Id, See, Id], &[Now, Id, Now, Id]], 70, true);
}
