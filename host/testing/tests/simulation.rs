//! Thousands of worlds, each from its seed, and each planted bug found among them.

use host_testing::simulation::{Played, Sabotage, play};

/// Seeds of CI, in four tests, so that all cores have some.
const SEEDS: u64 = 2_000;
const PARTS: u64 = 4;

fn play_part(part: u64) {
    let first = SEEDS / PARTS * part;
    for seed in first..first + SEEDS / PARTS {
        if let Err(violation) = play(seed, None) {
            panic!("{violation}");
        }
    }
}

#[test]
fn no_world_of_the_first_quarter_violates_an_invariant() {
    play_part(0);
}

#[test]
fn no_world_of_the_second_quarter_violates_an_invariant() {
    play_part(1);
}

#[test]
fn no_world_of_the_third_quarter_violates_an_invariant() {
    play_part(2);
}

#[test]
fn no_world_of_the_fourth_quarter_violates_an_invariant() {
    play_part(3);
}

#[test]
fn a_seed_means_the_same_every_time() {
    for seed in 0..20 {
        assert_eq!(play(seed, None), play(seed, None));
    }
}

#[test]
fn the_worlds_are_no_idle_ones() {
    const WORLDS: u64 = 60;
    let played: Vec<_> = (0..WORLDS).filter_map(|seed| play(seed, None).ok()).collect();
    let sum = |count: fn(&Played) -> usize| played.iter().map(count).sum::<usize>();
    for (what, count, least) in [
        ("entries", sum(|played| played.entries), 60 * 100),
        ("fences", sum(|played| played.fences), 60 * 10),
        ("workflows", sum(|played| played.workflows), 60),
        ("waits for a key", sum(|played| played.queued), 30),
        ("ticks that were met", sum(|played| played.ticks), 60),
        ("events", sum(|played| played.events), 60),
        (
            "dead letters that were delivered anew",
            sum(|played| played.renewed),
            10,
        ),
        ("orders that the seller confirmed", sum(|played| played.confirmed), 60),
        ("orders that he rejected", sum(|played| played.rejected), 30),
        ("effects that an operator answered", sum(|played| played.answered), 1),
        ("promises that an operator completed", sum(|played| played.brought), 5),
        ("nodes that were asked to stop", sum(|played| played.stopped), 30),
        ("nodes whose clock was far off", sum(|played| played.far_off), 15),
    ] {
        assert!(count >= least, "{count} {what} in {WORLDS} worlds, and not {least}");
    }
}

/// One of CI's seeds finds it by what it is bound to break; it may break more, and that first.
fn is_found_by(bug: Sabotage, invariant: &str) {
    let breaks = |seed| {
        let found = play(seed, Some(bug)).err();
        found.is_some_and(|found| found.findings.iter().any(|finding| finding.starts_with(invariant)))
    };
    assert!(
        (0..SEEDS).any(breaks),
        "{bug:?} was planted, and none of {SEEDS} seeds finds that it breaks {invariant}"
    );
}

macro_rules! finds {
    ($($test:ident: $bug:ident breaks $invariant:literal,)*) => {
        $(
            #[test]
            fn $test() {
                is_found_by(Sabotage::$bug, $invariant);
            }
        )*

        #[test]
        fn every_bug_has_its_test() {
            assert_eq!(Sabotage::ALL, [$(Sabotage::$bug),*]);
        }
    };
}

finds! {
    a_missing_fence_is_found: NoFence breaks "M4",
    an_acknowledgement_before_the_commit_is_found: AcknowledgeBeforeCommit breaks "W1",
    a_key_that_is_claimed_after_the_rows_is_found: ClaimAfterRows breaks "W1",
    a_message_that_is_sent_again_on_takeover_is_found: SendAgainOnTakeover breaks "E1",
    forgotten_compensations_are_found: ForgetCompensations breaks "W1",
    rows_that_commit_before_their_entries_are_found: RowsBeforeEntries breaks "K1",
    an_effect_key_of_each_attempt_is_found: KeyPerAttempt breaks "M4",
    a_workflow_that_is_started_twice_is_found: WorkflowStartedTwice breaks "W2",
    an_exclusive_key_that_is_free_before_the_commit_is_found: ReleaseBeforeCommit breaks "K1",
    a_tick_without_a_fence_is_found: TickWithoutFence breaks "C1",
    events_of_a_key_in_another_order_are_found: LaneWithoutOrder breaks "E1",
    an_event_that_is_there_before_its_commit_is_found: PublishBeforeCommit breaks "E1",
    a_row_that_is_older_than_its_entries_is_found: RowBeforeEntries breaks "O1",
}
