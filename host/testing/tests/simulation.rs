//! Thousands of worlds, each from its seed, and each planted bug found among them.

use host_testing::simulation::{Sabotage, play};

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
    let played: Vec<_> = (0..20).filter_map(|seed| play(seed, None).ok()).collect();
    let entries: usize = played.iter().map(|played| played.entries).sum();
    let fences: usize = played.iter().map(|played| played.fences).sum();
    assert!(entries > 20 * 100, "{entries} entries in 20 worlds");
    assert!(fences > 20 * 10, "{fences} fences in 20 worlds");
}

/// The first of CI's seeds that finds it.
fn found_by(bug: Sabotage) -> u64 {
    let found = (0..SEEDS).find(|seed| play(*seed, Some(bug)).is_err());
    found.unwrap_or_else(|| panic!("{bug:?} was planted, and none of {SEEDS} seeds finds it"))
}

macro_rules! finds {
    ($($test:ident: $bug:ident,)*) => {
        $(
            #[test]
            fn $test() {
                found_by(Sabotage::$bug);
            }
        )*

        #[test]
        fn every_bug_has_its_test() {
            assert_eq!(Sabotage::ALL, [$(Sabotage::$bug),*]);
        }
    };
}

finds! {
    a_missing_fence_is_found: NoFence,
    an_acknowledgement_before_the_commit_is_found: AcknowledgeBeforeCommit,
    a_key_that_is_claimed_after_the_rows_is_found: ClaimAfterRows,
    a_message_that_is_sent_again_on_takeover_is_found: SendAgainOnTakeover,
    forgotten_compensations_are_found: ForgetCompensations,
    rows_that_commit_before_their_entries_are_found: RowsBeforeEntries,
    an_effect_key_of_each_attempt_is_found: KeyPerAttempt,
    a_workflow_that_is_started_twice_is_found: WorkflowStartedTwice,
    an_exclusive_key_that_is_free_before_the_commit_is_found: ReleaseBeforeCommit,
    a_tick_without_a_fence_is_found: TickWithoutFence,
    events_of_a_key_in_another_order_are_found: LaneWithoutOrder,
    an_event_that_is_there_before_its_commit_is_found: PublishBeforeCommit,
}
