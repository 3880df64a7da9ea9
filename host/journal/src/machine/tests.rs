//! What a guest may do, what a replay gives it, and what must be written before what.

use host_types::{ComponentId, DeploymentNumber};

use super::*;
use crate::{Cause, FenceReason, Seed, compensating_scope};

mod derived;
mod limits;
mod secrets;

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

/// Drives a machine the way a guest does; `world` counts what really happened.
struct Guest {
    machine: Machine,
    world: u32,
}

impl Guest {
    fn new(machine: Machine) -> Self {
        Self { machine, world: 0 }
    }

    fn hash(&self, arguments: &str) -> ArgumentHash {
        self.machine.header().seed.hash(arguments.as_bytes())
    }

    fn ask(&mut self, scope: &Scope, kind: CommandKind, target: &str, arguments: &str) -> Result<Payload, Fault> {
        let arguments = self.hash(arguments);
        match self.machine.command(scope, kind, target, arguments)? {
            Step::Recorded(answer) => Ok(answer),
            Step::Perform(position) => {
                self.world += 1;
                let answer = Payload::from(format!("answer {}", position));
                self.machine
                    .complete(&position, kind, target, arguments, answer.clone())?;
                Ok(answer)
            }
            Step::InDoubt(position) => Ok(Payload::from(format!("in doubt {position}"))),
        }
    }

    fn observe(&mut self, target: &str) -> Result<Payload, Fault> {
        self.ask(&Scope::root(), CommandKind::Observation, target, "")
    }
}

fn history(guest: &Guest) -> Vec<Entry> {
    guest.machine.log.clone()
}

#[test]
fn an_invocation_without_an_effect_leaves_nothing() {
    let mut guest = Guest::new(Machine::start(header()));
    guest.observe("sql.query").unwrap();
    assert_eq!(
        guest.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Nothing)
    );
}

#[test]
fn a_replay_answers_from_the_record_and_touches_nothing() {
    let mut first = Guest::new(Machine::start(header()));
    let answers = [first.observe("a").unwrap(), first.observe("b").unwrap()];
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    assert_eq!([second.observe("a").unwrap(), second.observe("b").unwrap()], answers);
    assert_eq!(second.world, 0);
    second.observe("c").unwrap();
    assert_eq!(second.world, 1);
}

#[test]
fn another_question_at_a_recorded_position_names_both_sides() {
    let mut first = Guest::new(Machine::start(header()));
    first.observe("a").unwrap();
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    let Err(Fault::Mismatch { recorded, asked, .. }) = second.observe("b") else {
        panic!("no mismatch")
    };
    assert!(
        recorded.contains("observation a") && asked.contains("observation b"),
        "{recorded} / {asked}"
    );

    let mut third = Guest::new(Machine::replay(history(&first)).unwrap());
    let other_arguments = third.ask(&Scope::root(), CommandKind::Observation, "a", "changed");
    assert!(matches!(other_arguments, Err(Fault::Mismatch { .. })));
}

#[test]
fn an_unfinished_call_is_entered_again_and_its_inner_effects_are_not() {
    let mut first = Guest::new(Machine::start(header()));
    let call = first.hash("cart-7");
    let Step::Perform(position) = first
        .machine
        .command(&Scope::root(), CommandKind::Call, "inventory.reserve", call)
        .unwrap()
    else {
        panic!("nothing is recorded yet")
    };
    let inner = position.scope.child(position.number);
    let held = first.ask(&inner, CommandKind::Transaction, "sql", "insert").unwrap();

    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    let again = second
        .machine
        .command(&Scope::root(), CommandKind::Call, "inventory.reserve", call)
        .unwrap();
    assert_eq!(again, Step::Perform(position.clone()));
    assert_eq!(
        second.ask(&inner, CommandKind::Transaction, "sql", "insert").unwrap(),
        held
    );
    assert_eq!(second.world, 0);
    second
        .machine
        .complete(&position, CommandKind::Call, "", call, Payload::from_static(b"held"))
        .unwrap();

    let mut third = Guest::new(Machine::replay(history(&second)).unwrap());
    let answered = third
        .machine
        .command(&Scope::root(), CommandKind::Call, "inventory.reserve", call)
        .unwrap();
    assert_eq!(answered, Step::Recorded(Payload::from_static(b"held")));
}

#[test]
fn an_intent_without_outcome_is_in_doubt() {
    let mut first = Guest::new(Machine::start(header()));
    let arguments = first.hash("charge");
    first
        .machine
        .command(&Scope::root(), CommandKind::External, "http.post", arguments)
        .unwrap();
    let mut second = Machine::replay(history(&first)).unwrap();
    let step = second
        .command(&Scope::root(), CommandKind::External, "http.post", arguments)
        .unwrap();
    assert!(matches!(step, Step::InDoubt(_)));
}

#[test]
fn an_open_transaction_forbids_everything_but_itself() {
    let mut guest = Guest::new(Machine::start(header()));
    let arguments = guest.hash("begin");
    let Step::Perform(position) = guest
        .machine
        .command(&Scope::root(), CommandKind::Transaction, "sql.transaction", arguments)
        .unwrap()
    else {
        panic!("nothing is recorded yet")
    };
    guest.machine.open_transaction(&position);
    let Err(Fault::Guest(text)) = guest.observe("http.get") else {
        panic!("allowed")
    };
    assert!(text.contains("http.get") && text.contains("/#0"), "{text}");
    guest.machine.now(&Scope::root(), 2_000).unwrap();
    guest.machine.derive(&Scope::root(), &mut [0; 4]).unwrap();
    guest
        .ask(&Scope::root(), CommandKind::Message, "timer.schedule", "later")
        .unwrap();
    assert!(matches!(
        guest.machine.finish(Payload::new(), false),
        Err(Fault::Guest(_))
    ));
    guest.machine.close_transaction(&position);
    guest.observe("http.get").unwrap();
}

#[test]
fn the_output_may_follow_the_answer_only_when_replay_gives_it_again() {
    let durable = || {
        let mut guest = Guest::new(Machine::start(header()));
        guest
            .ask(&Scope::root(), CommandKind::Transaction, "sql", "insert")
            .unwrap();
        guest.machine.appended(2);
        guest
    };
    let mut quiet = durable();
    quiet.machine.derive(&Scope::root(), &mut [0; 4]).unwrap();
    assert_eq!(
        quiet.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Lazily)
    );
    let mut curious = durable();
    curious.observe("now").unwrap();
    assert_eq!(
        curious.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Eagerly)
    );
}

#[test]
fn a_message_makes_the_invocation_durable() {
    let mut guest = Guest::new(Machine::start(header()));
    guest
        .ask(&Scope::root(), CommandKind::Message, "timer.schedule", "later")
        .unwrap();
    assert_eq!(
        guest.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Eagerly)
    );
}

#[test]
fn a_second_attempt_in_the_same_process_gets_what_was_noted() {
    let mut guest = Guest::new(Machine::start(header()));
    let before = guest.observe("a").unwrap();
    guest.machine.rewind();
    assert_eq!(guest.observe("a").unwrap(), before);
    assert_eq!(guest.world, 1);
}

#[test]
fn a_forgotten_transaction_can_be_done_again() {
    let mut guest = Guest::new(Machine::start(header()));
    guest
        .ask(&Scope::root(), CommandKind::Transaction, "sql", "insert")
        .unwrap();
    let position = guest.machine.last_position().cloned().unwrap();
    guest.machine.refuse_transaction(&position);
    guest.machine.rewind();
    guest
        .ask(&Scope::root(), CommandKind::Transaction, "sql", "insert")
        .unwrap();
    assert_eq!(guest.world, 2);
    assert_eq!(guest.machine.pending().len(), 2, "start, and the transaction once");
}

#[test]
fn an_abandoned_transaction_leaves_nothing_of_what_was_noted_within_it() {
    let mut guest = Guest::new(Machine::start(header()));
    guest.observe("before").unwrap();
    for name in ["first", "another"] {
        let arguments = guest.hash("begin");
        let step = guest
            .machine
            .command(&Scope::root(), CommandKind::Transaction, "sql.transaction", arguments);
        let Ok(Step::Perform(position)) = step else {
            panic!("recorded: {step:?}")
        };
        guest.machine.open_transaction(&position);
        guest.machine.now(&Scope::root(), 2_000).unwrap();
        guest
            .ask(&Scope::root(), CommandKind::Message, "timer.schedule", name)
            .unwrap();
        guest.machine.abandon_transaction(&position);
        assert_eq!(guest.machine.pending().len(), 2, "start, and what was observed before");
        // The next attempt observes nothing anew, and finds its own way through the transaction.
        guest.machine.rewind();
        guest.observe("before").unwrap();
    }
}

#[test]
fn a_scope_is_replayed_until_its_own_record_ends() {
    let mut first = Guest::new(Machine::start(header()));
    assert!(!first.machine.is_replaying(&Scope::root()));
    first.observe("a").unwrap();
    first.machine.derive(&Scope::root(), &mut [0; 4]).unwrap();
    first.observe("b").unwrap();
    assert!(!first.machine.is_replaying(&Scope::root()));

    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    assert!(second.machine.is_replaying(&Scope::root()));
    assert!(!second.machine.is_replaying(&Scope::root().child(2)));
    second.observe("a").unwrap();
    assert!(second.machine.is_replaying(&Scope::root()));
    second.machine.derive(&Scope::root(), &mut [0; 4]).unwrap();
    assert!(second.machine.is_replaying(&Scope::root()));
    second.observe("b").unwrap();
    assert!(!second.machine.is_replaying(&Scope::root()));
    second.machine.rewind();
    assert!(second.machine.is_replaying(&Scope::root()));
}

#[test]
fn a_recorded_output_must_come_again() {
    let mut first = Guest::new(Machine::start(header()));
    first.machine.finish(Payload::from_static(b"out"), true).unwrap();
    let replay = || Machine::replay(history(&first)).unwrap();
    assert_eq!(replay().finish(Payload::from_static(b"out"), true), Ok(Finish::Nothing));
    assert!(matches!(
        replay().finish(Payload::from_static(b"tuo"), true),
        Err(Fault::Mismatch { .. })
    ));
}

#[test]
fn a_history_with_a_gap_is_refused() {
    let mut guest = Guest::new(Machine::start(header()));
    guest.observe("a").unwrap();
    guest.observe("b").unwrap();
    let mut entries = history(&guest);
    entries.remove(1);
    assert!(Machine::replay(entries).is_err());
}

#[test]
fn fences_do_not_disturb_a_replay() {
    let mut first = Guest::new(Machine::start(header()));
    first.observe("a").unwrap();
    let mut entries = history(&first);
    let cause = Cause {
        position: None,
        text: "boom".into(),
        trap: true,
    };
    let node = NodeId::new(1, [0; 10]);
    entries.push(Entry {
        index: 2,
        body: Body::Fence {
            attempt: 1,
            node,
            reason: FenceReason::Retry(cause),
        },
    });
    let mut second = Guest::new(Machine::replay(entries).unwrap());
    second.observe("a").unwrap();
    assert_eq!(second.world, 0);
    second.observe("b").unwrap();
    assert_eq!(second.machine.pending()[0].index, 3);
}

#[test]
fn a_wait_leaves_nothing_until_its_answer_or_its_suspension() {
    let node = NodeId::new(1, [4; 10]);
    let mut first = Guest::new(Machine::start(header()));
    let until = first.hash("until noon");
    let wait = |guest: &mut Guest| {
        guest
            .machine
            .command(&Scope::root(), CommandKind::Wait, "sleep", until)
            .unwrap()
    };
    let Step::Perform(position) = wait(&mut first) else {
        panic!("nothing is recorded")
    };
    assert_eq!(first.machine.pending().len(), 1, "the start alone");
    first.machine.suspend(&position, "sleep", until, node).unwrap();
    assert_eq!(first.machine.pending().len(), 2, "the start and the wait");

    // Woken for nothing: it waits on, and the append that says so has an entry to be fenced by.
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    assert_eq!(wait(&mut second), Step::Perform(position.clone()));
    second.machine.suspend(&position, "sleep", until, node).unwrap();
    let reason = FenceReason::Suspend;
    let pending: Vec<_> = second.machine.pending().iter().map(|entry| &entry.body).collect();
    assert_eq!(
        pending,
        [&Body::Fence {
            attempt: 0,
            node,
            reason
        }]
    );

    let mut third = Guest::new(Machine::replay(history(&second)).unwrap());
    third
        .ask(&Scope::root(), CommandKind::Wait, "sleep", "until noon")
        .unwrap();
    let mut fourth = Guest::new(Machine::replay(history(&third)).unwrap());
    let told = fourth
        .ask(&Scope::root(), CommandKind::Wait, "sleep", "until noon")
        .unwrap();
    assert_eq!((told, fourth.world), (Payload::from(format!("answer {position}")), 0));
}

fn begin_transaction(guest: &mut Guest, scope: &Scope) -> Position {
    let arguments = guest.hash("begin");
    let kind = CommandKind::Transaction;
    let step = guest.machine.command(scope, kind, "sql.transaction", arguments);
    let Ok(Step::Perform(position)) = step else {
        panic!("recorded: {step:?}")
    };
    guest.machine.open_transaction(&position);
    position
}

#[test]
fn a_transaction_binds_the_scope_that_opened_it_alone() {
    let mut guest = Guest::new(Machine::start(header()));
    let (one, other) = (Scope::root().child(0), Scope::root().child(1));
    let position = begin_transaction(&mut guest, &one);
    guest
        .ask(&one, CommandKind::Message, "timer.schedule", "later")
        .unwrap();
    guest.ask(&other, CommandKind::Observation, "http.get", "").unwrap();
    assert!(guest.ask(&one, CommandKind::Observation, "http.get", "").is_err());
    assert_eq!(
        guest.machine.pending().len(),
        2,
        "the start, and what the other has seen"
    );
    assert!(guest.machine.check_closed(&one.opened_by().unwrap()).is_err());
    assert!(guest.machine.check_closed(&other.opened_by().unwrap()).is_ok());
    let begin = guest.hash("begin");
    guest
        .machine
        .note_transaction(&position, "sql.transaction", begin, Payload::new())
        .unwrap();
    guest.machine.close_transaction(&position);
    assert_eq!(guest.machine.pending().len(), 4, "and the message, and the transaction");
}

#[test]
fn what_is_noted_during_an_append_is_not_made_durable_by_it() {
    let mut guest = Guest::new(Machine::start(header()));
    guest.observe("before").unwrap();
    let until = guest.machine.entries().len() as u32;
    guest.observe("meanwhile").unwrap();
    guest.machine.appended(until);
    let pending: Vec<_> = guest.machine.pending().iter().map(|entry| entry.index).collect();
    assert_eq!(pending, [2]);
    assert_eq!(
        guest.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Eagerly),
        "it may be seen otherwise by a replay"
    );
}

#[test]
fn what_was_begun_leaves_no_gap_when_what_follows_it_is_durable_first() {
    let mut first = Guest::new(Machine::start(header()));
    let arguments = first.hash("slow");
    let step = first
        .machine
        .begin(&Scope::root(), CommandKind::Observation, "sql.query", arguments);
    let Ok(Step::Perform(slow)) = step else {
        panic!("recorded: {step:?}")
    };
    assert_eq!(
        first.machine.pending().len(),
        1,
        "waited for at once, it would be one entry"
    );
    first.observe("fast").unwrap();
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    let again = second
        .machine
        .begin(&Scope::root(), CommandKind::Observation, "sql.query", arguments);
    assert_eq!(again, Ok(Step::Perform(slow.clone())));
    second.observe("fast").unwrap();
    assert_eq!(second.world, 0);
    let answer = Payload::from_static(b"rows");
    second
        .machine
        .complete(&slow, CommandKind::Observation, "sql.query", arguments, answer.clone())
        .unwrap();
    let mut third = Guest::new(Machine::replay(history(&second)).unwrap());
    let told = third.ask(&Scope::root(), CommandKind::Observation, "sql.query", "slow");
    assert_eq!(told, Ok(answer), "waited for at once or later, it is the same command");
}

#[test]
fn an_answer_that_came_after_a_suspension_is_durable_before_the_output() {
    let node = NodeId::new(1, [4; 10]);
    let mut first = Guest::new(Machine::start(header()));
    let until = first.hash("until noon");
    let wait = first.machine.command(&Scope::root(), CommandKind::Wait, "wait", until);
    let Ok(Step::Perform(position)) = wait else {
        panic!("recorded: {wait:?}")
    };
    first.machine.suspend(&position, "wait", until, node).unwrap();
    let mut second = Guest::new(Machine::replay(history(&first)).unwrap());
    second
        .ask(&Scope::root(), CommandKind::Wait, "wait", "until noon")
        .unwrap();
    assert_eq!(
        second.machine.finish(Payload::from_static(b"out"), false),
        Ok(Finish::Eagerly),
        "what timed out once may be answered by now"
    );
}

#[test]
fn an_intent_nobody_acted_upon_is_not_in_doubt_for_the_next_attempt() {
    let mut guest = Guest::new(Machine::start(header()));
    let arguments = guest.hash("charge");
    let ask = |guest: &mut Guest| {
        guest
            .machine
            .command(&Scope::root(), CommandKind::External, "http.post", arguments)
    };
    ask(&mut guest).unwrap();
    guest.machine.rewind();
    assert!(matches!(ask(&mut guest), Ok(Step::Perform(_))));
    guest.machine.appended(2);
    guest.machine.rewind();
    assert!(matches!(ask(&mut guest), Ok(Step::InDoubt(_))));
}
