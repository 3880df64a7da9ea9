use super::*;
use crate::{Likeness, RequestHashes};

const SEND: &str = "http.send";

/// Sends a request that is signed with this, and returns what the record makes of it.
fn sends(machine: &mut Machine, peer: &str, signature: &str) -> Result<Step, Fault> {
    let seed = machine.header().seed.clone();
    let hashes = RequestHashes {
        whole: seed.hash(format!("{peer} {signature}").as_bytes()),
        peer: seed.hash(peer.as_bytes()),
    };
    let (Likeness::Told(hash) | Likeness::OtherSecret(hash)) = machine.request(&Scope::root(), hashes);
    machine.command(&Scope::root(), CommandKind::External, SEND, hash)
}

/// A machine on what this one has recorded.
fn again(machine: &Machine) -> Machine {
    Machine::replay(machine.entries().to_vec()).expect("it is a history")
}

/// A request that was answered, signed with the first secret; one that was not follows it.
fn recorded() -> Machine {
    let mut machine = Machine::start(header());
    let step = sends(&mut machine, "bank", "first").expect("nothing is recorded");
    let Step::Perform(position) = step else {
        panic!("{step:?}")
    };
    let hash = machine.header().seed.hash(b"bank first");
    let answer = Payload::from_static(b"paid");
    let noted = machine.complete(&position, CommandKind::External, SEND, hash, answer);
    noted.expect("it is asked for");
    sends(&mut machine, "bank", "first").expect("nothing is recorded");
    machine
}

#[test]
fn who_has_another_secret_is_answered_as_recorded_and_in_doubt_where_it_was() {
    let mut machine = again(&recorded());
    machine.give_other_secret(&Scope::root());
    let answered = sends(&mut machine, "bank", "second").expect("it is no mismatch");
    assert_eq!(answered, Step::Recorded(Payload::from_static(b"paid")));
    let begun = sends(&mut machine, "bank", "second").expect("it is no mismatch");
    assert!(matches!(begun, Step::InDoubt(position) if position.number == 1));
}

#[test]
fn who_has_the_same_secret_asks_the_same() {
    let mut machine = again(&recorded());
    // Another component's.
    machine.give_other_secret(&Scope::root().child(7));
    let asked = sends(&mut machine, "bank", "second");
    assert!(matches!(asked, Err(Fault::Mismatch { .. })), "{asked:?}");
    let mut machine = again(&recorded());
    machine.give_other_secret(&Scope::root());
    machine.rewind();
    let asked = sends(&mut machine, "bank", "second");
    assert!(matches!(asked, Err(Fault::Mismatch { .. })), "{asked:?}");
}

#[test]
fn another_secret_is_no_reason_for_another_kind_of_command() {
    let mut machine = again(&recorded());
    machine.give_other_secret(&Scope::root());
    let whole = machine.header().seed.hash(b"bank second");
    let Likeness::OtherSecret(hash) = machine.request(&Scope::root(), RequestHashes { whole, peer: whole }) else {
        panic!("it differs");
    };
    let asked = machine.command(&Scope::root(), CommandKind::Observation, SEND, hash);
    assert!(matches!(asked, Err(Fault::Mismatch { .. })), "{asked:?}");
}

#[test]
fn what_was_sent_under_another_secret_is_held_to_its_peer_whatever_the_secret_is_then() {
    let mut second = again(&recorded());
    second.give_other_secret(&Scope::root());
    for _ in 0..3 {
        sends(&mut second, "bank", "second").expect("it is no mismatch");
    }
    // The first secret again, which is the one that is recorded as read.
    for (peer, is_like) in [("bank", true), ("exchange", false)] {
        let mut third = again(&second);
        for _ in 0..2 {
            sends(&mut third, "bank", "first").expect("it is what was recorded");
        }
        let asked = sends(&mut third, peer, "first");
        assert_eq!(matches!(asked, Ok(Step::InDoubt(_))), is_like, "{peer}: {asked:?}");
        assert_eq!(
            matches!(asked, Err(Fault::Mismatch { .. })),
            !is_like,
            "{peer}: {asked:?}"
        );
    }
}

#[test]
fn a_dry_run_says_when_it_took_another_request_for_the_recorded_one() {
    let dry_run = || Machine::dry_run(recorded().entries().to_vec()).expect("it is a history");
    let mut same = dry_run();
    same.give_other_secret(&Scope::root());
    sends(&mut same, "bank", "first").expect("it is what was recorded");
    assert!(
        same.has_other_secret() && !same.has_assumed(),
        "nothing was made with the secret"
    );

    let mut other = dry_run();
    assert!(!other.has_other_secret());
    other.give_other_secret(&Scope::root());
    let answered = sends(&mut other, "exchange", "second").expect("nobody can tell it from the recorded one");
    assert_eq!(answered, Step::Recorded(Payload::from_static(b"paid")));
    assert!(other.has_assumed());

    // Recorded by its peer alone.
    let mut begun = Machine::start(header());
    begun.give_other_secret(&Scope::root());
    sends(&mut begun, "bank", "second").expect("nothing is recorded");
    let mut by_peer = Machine::dry_run(begun.entries().to_vec()).expect("it is a history");
    let ended = sends(&mut by_peer, "bank", "third");
    assert_eq!(ended, Err(Fault::Suspended));
    assert!(by_peer.has_assumed(), "only whom it asks is compared");
}
