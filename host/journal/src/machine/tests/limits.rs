//! How much one invocation may hold.

use super::*;

#[test]
fn an_answer_over_the_limit_is_refused() {
    let mut guest = Guest::new(Machine::start(header()));
    let arguments = guest.hash("");
    let Step::Perform(position) = guest
        .machine
        .command(&Scope::root(), CommandKind::Observation, "sql.query", arguments)
        .unwrap()
    else {
        panic!("nothing is recorded yet")
    };
    let answer = Payload::from(vec![0; MAX_ENTRY_BYTES + 1]);
    let refused = guest
        .machine
        .complete(&position, CommandKind::Observation, "sql.query", arguments, answer);
    assert!(matches!(refused, Err(Fault::LimitExceeded(_))));
}

fn header_with_input(size: usize) -> Header {
    Header {
        input: Payload::from(vec![0; size]),
        ..header()
    }
}

/// The first refusal, after how many answers of this size it came.
fn fills_up(input: usize, size: usize) -> (usize, Fault) {
    let mut machine = Machine::start(header_with_input(input));
    for answers in 0.. {
        let arguments = machine.header().seed.hash(b"");
        let step = machine
            .command(&Scope::root(), CommandKind::Observation, "sql.query", arguments)
            .unwrap();
        let Step::Perform(position) = step else {
            panic!("nothing is recorded yet")
        };
        let answer = Payload::from(vec![0; size]);
        let noted = machine.complete(&position, CommandKind::Observation, "sql.query", arguments, answer);
        if let Err(refused) = noted {
            return (answers, refused);
        }
    }
    unreachable!("nothing is without an end")
}

#[test]
fn an_invocation_over_its_limits_is_refused_and_told_what_to_do_instead() {
    for (input, size, most) in [
        (0, MAX_ENTRY_BYTES, 16),
        // What it was begun with counts as well.
        (1, MAX_ENTRY_BYTES, 15),
        (MAX_ENTRY_BYTES, MAX_ENTRY_BYTES, 15),
        (0, 0, MAX_ENTRIES - 1),
    ] {
        let (answers, refused) = fills_up(input, size);
        assert_eq!(answers, most, "of {size} bytes, with an input of {input}");
        let Fault::LimitExceeded(text) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            text,
            "the invocation holds more than 16777216 bytes or 50000 entries: end it with the rest of its work sent to a new one"
        );
    }
}

/// A record of this many answers of this size.
fn recorded(input: usize, count: usize, size: usize) -> Vec<Entry> {
    let noted = |number: usize| Body::Command {
        position: Position {
            scope: Scope::root(),
            number: number as u32,
        },
        kind: CommandKind::Observation,
        target: "sql.query".into(),
        arguments: ArgumentHash([0; 16]),
        answer: Some(Payload::from(vec![0; size])),
    };
    let started = Body::Started(Box::new(header_with_input(input)));
    let bodies = std::iter::once(started).chain((0..count).map(noted));
    let entries = (0..).zip(bodies).map(|(index, body)| Entry { index, body });
    entries.collect()
}

/// Inputs were not counted once: there are records that hold as much more.
#[test]
fn what_was_recorded_beyond_the_limit_is_replayed_and_nothing_is_added() {
    let mut machine = Machine::replay(recorded(MAX_ENTRY_BYTES, 16, MAX_ENTRY_BYTES)).unwrap();
    let arguments = ArgumentHash([0; 16]);
    let mut ask = || machine.command(&Scope::root(), CommandKind::Observation, "sql.query", arguments);
    for _ in 0..16 {
        assert!(matches!(ask(), Ok(Step::Recorded(_))));
    }
    let Ok(Step::Perform(position)) = ask() else {
        panic!("no more is recorded")
    };
    let answer = Payload::from_static(b"more");
    let added = machine.complete(&position, CommandKind::Observation, "sql.query", arguments, answer);
    assert!(matches!(added, Err(Fault::LimitExceeded(_))), "{added:?}");
}

#[test]
fn one_that_is_full_is_undone_all_the_same_within_a_bound_of_its_own() {
    for (size, count, room) in [(MAX_ENTRY_BYTES, 16, 2), (0, MAX_ENTRIES - 1, UNDOING_ENTRIES - 1)] {
        let mut full = recorded(0, count, size);
        full.push(Entry {
            index: full.len() as u32,
            body: Body::Fence {
                attempt: 1,
                node: NodeId::new(1, [0; 10]),
                reason: FenceReason::Cancel("it is full".into()),
            },
        });
        let mut machine = Machine::replay(full).unwrap();
        machine.compensate().unwrap();
        let scope = compensating_scope().child(0);
        for undone in 0.. {
            let arguments = ArgumentHash([1; 16]);
            let step = machine.command(&scope, CommandKind::Observation, "sql.query", arguments);
            let Ok(Step::Perform(position)) = step else {
                panic!("{step:?}")
            };
            let answer = Payload::from(vec![0; size]);
            match machine.complete(&position, CommandKind::Observation, "sql.query", arguments, answer) {
                Ok(()) => {}
                Err(Fault::LimitExceeded(text)) => {
                    assert_eq!(undone, room, "of {size} bytes");
                    assert!(text.ends_with("what is left to be undone is for a person"), "{text}");
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
