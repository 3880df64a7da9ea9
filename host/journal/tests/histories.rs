//! Journals that were recorded once, read by today's code: the stored format is for good, and what it says must lead the machine the same
//! way for ever. Each file is a journal, a line an entry, as it is stored but for the seal; what begins with `#` says where it is from.
//!
//! When one of these fails, the stored format has changed, and every journal in production with it: what is written differently gets a
//! kind or a format number of its own, and what was written before is read as before. A file is never recorded again, changed or removed;
//! a new kind of entry gets a new file (`components/tests/tests/entries/histories.rs` records them), which `KINDS` asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use host_journal::{
    ArgumentHash, Body, CommandKind, Entry, FenceReason, Machine, Payload, Seal, SealError, Step, decode, encode,
};
use host_types::{Digest, Position, Scope};

struct Plain;

impl Seal for Plain {
    fn seal(&self, _: u32, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
    }

    fn open(&self, _: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(sealed.to_vec())
    }
}

fn histories() -> Vec<(PathBuf, Vec<Vec<u8>>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let mut histories = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            histories.push((path, lines.map(unhex).collect()));
        }
    }
    histories.sort();
    histories
}

#[test]
fn every_history_is_the_one_that_was_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let sums: BTreeSet<_> = sums.lines().collect();
    let found = histories().into_iter().map(|(path, _)| {
        let digest = Digest::of(&std::fs::read(&path).unwrap());
        format!("{digest}  {}", path.file_name().unwrap().to_str().unwrap())
    });
    let found: BTreeSet<_> = found.collect();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let changed: Vec<_> = sums.symmetric_difference(&found).collect();
    assert!(
        changed.is_empty(),
        "a recorded history may be neither changed nor removed; a new one is put down in SHA256SUMS: {changed:#?}"
    );
}

fn unhex(line: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    line.as_bytes().chunks(2).map(byte).collect()
}

fn entries(bodies: &[Vec<u8>]) -> Vec<Entry> {
    let decoded = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| decode(index as u32, body, &Plain).unwrap());
    decoded.collect()
}

/// What of the format an entry shows.
fn kind(entry: &Entry) -> &'static str {
    match &entry.body {
        Body::Started(_) => "started",
        Body::Fence { reason, .. } => match reason {
            FenceReason::TakeOver => "fence: take over",
            FenceReason::Retry(_) => "fence: retry",
            FenceReason::Pause(_) => "fence: pause",
            FenceReason::Resume => "fence: resume",
            FenceReason::Cancel(_) => "fence: cancel",
            FenceReason::Answer { .. } => "fence: answer",
            FenceReason::Suspend => "fence: suspend",
            FenceReason::Wake => "fence: wake",
        },
        Body::Command { kind, answer, .. } => match (kind, answer) {
            (CommandKind::Observation, _) => "observation",
            (CommandKind::Transaction, _) => "transaction",
            (CommandKind::Call, _) => "call",
            (CommandKind::External, _) => "external effect",
            (CommandKind::Message, _) => "message",
            (CommandKind::Wait, None) => "wait",
            (CommandKind::Wait, Some(_)) => "wait that did not suspend",
        },
        Body::Completion { .. } => "completion",
        Body::Output(_) => "output",
    }
}

/// Each must be shown by some history.
const KINDS: [&str; 18] = [
    "started",
    "fence: take over",
    "fence: retry",
    "fence: pause",
    "fence: resume",
    "fence: cancel",
    "fence: answer",
    "fence: suspend",
    "fence: wake",
    "observation",
    "transaction",
    "call",
    "external effect",
    "message",
    "wait",
    "wait that did not suspend",
    "completion",
    "output",
];

#[test]
fn every_kind_of_entry_has_a_recorded_journal() {
    let shown: BTreeSet<_> = histories()
        .iter()
        .flat_map(|(_, bodies)| entries(bodies))
        .map(|entry| kind(&entry))
        .collect();
    let missing: Vec<_> = KINDS.into_iter().filter(|kind| !shown.contains(kind)).collect();
    assert!(missing.is_empty(), "no journal shows {missing:?}");
}

#[test]
fn what_was_recorded_is_written_the_same_today() {
    for (path, bodies) in histories() {
        for (entry, body) in entries(&bodies).iter().zip(&bodies) {
            assert_eq!(&encode(entry, &Plain), body, "{} entry {}", path.display(), entry.index);
        }
    }
}

/// A command as it was asked, and its answer when it has one.
type Asked = (CommandKind, String, ArgumentHash, Option<Payload>);

fn commands(entries: &[Entry]) -> BTreeMap<Scope, BTreeMap<u32, Asked>> {
    let mut commands: BTreeMap<Scope, BTreeMap<u32, Asked>> = BTreeMap::new();
    for entry in entries {
        match &entry.body {
            Body::Command {
                position: Position { scope, number },
                kind,
                target,
                arguments,
                answer,
            } => {
                let asked = (*kind, target.clone(), *arguments, answer.clone());
                commands.entry(scope.clone()).or_default().insert(*number, asked);
            }
            Body::Completion { position, answer } => {
                let scope = commands.get_mut(&position.scope).unwrap();
                scope.get_mut(&position.number).unwrap().3 = Some(answer.clone());
            }
            Body::Started(_) | Body::Fence { .. } | Body::Output(_) => {}
        }
    }
    commands
}

#[test]
fn whoever_asks_as_recorded_is_answered_as_recorded() {
    for (path, bodies) in histories() {
        let entries = entries(&bodies);
        let mut machine = Machine::replay(entries.clone()).unwrap();
        for (scope, commands) in commands(&entries) {
            let mut next = 0;
            for (number, (kind, target, arguments, answer)) in commands {
                // Numbers without a record went to derived values.
                for _ in next..number {
                    machine.derive(&scope, &mut [0; 16]).unwrap();
                }
                next = number + 1;
                let step = machine.command(&scope, kind, &target, arguments).unwrap();
                let position = Position {
                    scope: scope.clone(),
                    number,
                };
                let expected = match (answer, kind) {
                    (Some(answer), _) => Step::Recorded(answer),
                    (None, CommandKind::External) => Step::InDoubt(position),
                    (None, _) => Step::Perform(position),
                };
                assert_eq!(step, expected, "{}: {kind} {target}", path.display());
            }
        }
    }
}
