//! A dry run performs nothing, compares everything, callees included, and says where the record ends.

use host_types::{ComponentId, DeploymentNumber, Fault, NodeId, Position, Scope};

use super::{Beyond, Returned};
use crate::{ArgumentHash, Body, CommandKind, Entry, FenceReason, Header, Machine, Payload, Seed, Step};

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

const HASH: ArgumentHash = ArgumentHash([0; 16]);

/// What a guest does: `order` looks, has the callee look, looks again.
struct Guest {
    callee: &'static [&'static str],
    answer: &'static str,
    last: Option<&'static str>,
}

const BUILT: Guest = Guest {
    callee: &["stock"],
    answer: "held",
    last: Some("price"),
};

fn observe(machine: &mut Machine, scope: &Scope, target: &str) -> Result<(), Fault> {
    match machine.command(scope, CommandKind::Observation, target, HASH)? {
        Step::Recorded(_) => Ok(()),
        Step::Perform(at) | Step::InDoubt(at) => {
            assert!(!machine.is_dry_run(), "{target} at {at} would be performed");
            machine.complete(
                &at,
                CommandKind::Observation,
                target,
                HASH,
                Payload::from_static(b"seen"),
            )
        }
    }
}

fn run(machine: &mut Machine, guest: &Guest) -> Result<(), Fault> {
    let root = Scope::root();
    observe(machine, &root, "cart")?;
    match machine.command(&root, CommandKind::Call, "inventory:reserve", HASH)? {
        Step::Recorded(_) => {}
        Step::Perform(at) | Step::InDoubt(at) => {
            let scope = at.scope.child(at.number);
            for target in guest.callee {
                observe(machine, &scope, target)?;
            }
            let answer = Payload::from_static(guest.answer.as_bytes());
            machine.complete(&at, CommandKind::Call, "inventory:reserve", HASH, answer)?;
        }
    }
    guest.last.map_or(Ok(()), |target| observe(machine, &root, target))
}

/// The record of the guest as it was built, with its output.
fn recorded() -> Vec<Entry> {
    let mut machine = Machine::start(header());
    run(&mut machine, &BUILT).expect("nothing is in its way");
    machine.finish(Payload::from_static(b"out"), true).expect("it returned");
    machine.entries().to_vec()
}

fn tried(history: Vec<Entry>, guest: &Guest) -> (Machine, Result<Returned, Fault>) {
    let mut machine = Machine::dry_run(history).expect("a history");
    let ran = run(&mut machine, guest);
    let finished = ran.and_then(|()| machine.finish_dry_run(&Payload::from_static(b"out")));
    (machine, finished)
}

/// Position, recorded, asked.
fn sides(fault: Result<Returned, Fault>) -> (String, String, String) {
    match fault {
        Err(Fault::Mismatch {
            position,
            recorded,
            asked,
        }) => (position.to_string(), recorded, asked),
        other => panic!("no difference: {other:?}"),
    }
}

#[test]
fn the_same_guest_is_the_same_down_to_its_callees() {
    let (machine, finished) = tried(recorded(), &BUILT);
    assert_eq!(finished, Ok(Returned::Same));
    assert_eq!(machine.compared(), 4);
    assert_eq!(machine.beyond(), None);
}

#[test]
fn another_callee_is_found_by_what_it_asks_for_and_by_what_it_returns() {
    let asks = Guest {
        callee: &["rows"],
        ..BUILT
    };
    let (position, recorded_side, asked) = sides(tried(recorded(), &asks).1);
    assert_eq!(position, "/1#0");
    assert!(recorded_side.starts_with("observation stock"), "{recorded_side}");
    assert!(asked.starts_with("observation rows"), "{asked}");

    let returns = Guest {
        answer: "gone",
        ..BUILT
    };
    let (position, recorded_side, asked) = sides(tried(recorded(), &returns).1);
    assert_eq!(position, "/#1");
    assert!(recorded_side.starts_with("an answer of 4 bytes") && asked.starts_with("an answer of 4 bytes"));
    assert_ne!(recorded_side, asked);

    let more = Guest {
        callee: &["stock", "more"],
        ..BUILT
    };
    let more = sides(tried(recorded(), &more).1);
    assert_eq!(
        more,
        (
            "/1#1".into(),
            "that the call at /#1 returned".into(),
            "observation more".into()
        )
    );

    let less = Guest { callee: &[], ..BUILT };
    let less = sides(tried(recorded(), &less).1);
    assert_eq!(
        less,
        ("/1#0".into(), "observation stock".into(), "nothing: it returned".into())
    );
}

#[test]
fn a_guest_that_asks_for_less_or_returns_something_else_is_found() {
    let less = Guest { last: None, ..BUILT };
    let less = sides(tried(recorded(), &less).1);
    assert_eq!(
        less,
        ("/#2".into(), "observation price".into(), "nothing: it returned".into())
    );

    let mut machine = Machine::dry_run(recorded()).expect("a history");
    run(&mut machine, &BUILT).expect("the same commands");
    let other = machine.finish_dry_run(&Payload::from_static(b"other"));
    assert_eq!(other, Ok(Returned::Other));
}

#[test]
fn the_first_command_past_the_record_is_named_and_not_performed() {
    let history = recorded();
    for entries in 1..history.len() - 1 {
        let (machine, finished) = tried(history[..entries].to_vec(), &BUILT);
        assert_eq!(finished, Err(Fault::Suspended), "{entries} entries");
        let beyond = machine.beyond().expect("it goes on");
        let expected = [
            ("/#0", "cart"),
            ("/#1", "inventory:reserve"),
            ("/1#0", "stock"),
            ("/#2", "price"),
            ("/#2", "price"),
        ];
        let found = (beyond.position.to_string(), beyond.target.clone());
        let (position, target) = expected[entries - 1];
        assert_eq!(found, (position.to_owned(), target.to_owned()), "{entries} entries");
        assert!(!beyond.begun);
    }
    // Everything but the output: it returns, and there is nothing to compare that with.
    assert_eq!(
        tried(history[..history.len() - 1].to_vec(), &BUILT).1,
        Ok(Returned::Unrecorded)
    );
}

#[test]
fn an_effect_without_an_outcome_ends_it() {
    let mut machine = Machine::start(header());
    machine
        .command(&Scope::root(), CommandKind::External, "http", HASH)
        .expect("an intent");
    let mut machine = Machine::dry_run(machine.entries().to_vec()).expect("a history");
    let asked = machine.command(&Scope::root(), CommandKind::External, "http", HASH);
    assert_eq!(asked, Err(Fault::Suspended));
    let position = Position {
        scope: Scope::root(),
        number: 0,
    };
    let begun = Beyond {
        position,
        kind: CommandKind::External,
        target: "http".into(),
        begun: true,
    };
    assert_eq!(machine.beyond(), Some(&begun));
}

#[test]
fn a_call_that_a_person_answered_is_not_entered() {
    let mut history = recorded();
    history.truncate(4);
    let at = Position {
        scope: Scope::root(),
        number: 1,
    };
    let fence = Body::Fence {
        attempt: 1,
        node: NodeId::new(1, [3; 10]),
        reason: FenceReason::Answer {
            position: at.clone(),
            text: "they said so".into(),
        },
    };
    let answer = Body::Completion {
        position: at,
        answer: Payload::from_static(b"by hand"),
    };
    for body in [fence, answer] {
        let index = history.len() as u32;
        history.push(Entry { index, body });
    }
    let (machine, finished) = tried(history, &BUILT);
    assert_eq!(finished, Err(Fault::Suspended));
    assert_eq!(machine.beyond().map(|beyond| beyond.target.as_str()), Some("price"));
}
