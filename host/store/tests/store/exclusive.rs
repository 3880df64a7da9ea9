//! The queues of exclusive keys: one holder each, in order, and no circle, whatever happens at the same moment.

use std::time::Duration;

use host_journal::{Append, AppendJournal, ExclusiveKey, InvocationStatus, Suspension};
use host_store::{KeyPlace, Left, Store};
use host_types::{InvocationId, PromiseId};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::task::JoinSet;

use crate::support::{Fixture, begun, fixture, new_id, next_append};

fn key(value: u8) -> ExclusiveKey {
    ExclusiveKey::new("desk".into(), "a:b/c", "serve", &[value])
}

async fn take(store: &Store, invocation: InvocationId, index: u32, value: u8) {
    let append = Append {
        acquires: vec![key(value)],
        ..next_append(store, invocation, index)
    };
    store.append(append).await.unwrap();
}

async fn give_up(store: &Store, invocation: InvocationId, index: u32, value: u8) {
    let append = Append {
        releases: vec![key(value).id],
        ..next_append(store, invocation, index)
    };
    store.append(append).await.unwrap();
}

async fn place(store: &Store, invocation: InvocationId, value: u8) -> KeyPlace {
    store.key_place(key(value).id, invocation).await.unwrap()
}

async fn wait_for(store: &Store, invocation: InvocationId, index: u32, value: u8) {
    let append = Append {
        status: Some(InvocationStatus::Suspended),
        suspension: Some(Suspension {
            keys: vec![key(value).id],
            ..Suspension::default()
        }),
        ..next_append(store, invocation, index)
    };
    store.append(append).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_holds_the_key_and_the_others_follow_one_by_one() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut invocations = Vec::new();
    for _ in 0..8 {
        invocations.push(begun(store).await);
    }
    let mut taking = JoinSet::new();
    for invocation in invocations.clone() {
        let store = store.clone();
        taking.spawn(async move { take(&store, invocation, 1, 7).await });
    }
    taking.join_all().await;
    while !invocations.is_empty() {
        let mut holders = Vec::new();
        for invocation in &invocations {
            if place(store, *invocation, 7).await == KeyPlace::Holds {
                holders.push(*invocation);
            }
        }
        assert_eq!(holders.len(), 1, "{} are left", invocations.len());
        give_up(store, holders[0], 2, 7).await;
        assert_eq!(place(store, holders[0], 7).await, KeyPlace::None);
        invocations.retain(|invocation| *invocation != holders[0]);
    }
    assert_eq!(fixture.value("SELECT count(*) FROM host.exclusive_place").await, 0);
}

#[tokio::test]
async fn who_is_suspended_is_woken_when_it_is_the_first() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (holder, second, third) = (begun(store).await, begun(store).await, begun(store).await);
    for invocation in [holder, second, third] {
        take(store, invocation, 1, 7).await;
    }
    wait_for(store, second, 2, 7).await;
    wait_for(store, third, 2, 7).await;
    assert_eq!(store.woken(9).await.unwrap(), []);
    assert_eq!(store.due(9, &Left::default()).await.unwrap(), []);
    give_up(store, holder, 2, 7).await;
    assert_eq!(store.woken(9).await.unwrap(), [second]);
    // Given up between the look and the suspension: it is due at once.
    give_up(store, second, 3, 7).await;
    store.woken(9).await.unwrap();
    let late = begun(store).await;
    take(store, late, 1, 8).await;
    wait_for(store, late, 2, 8).await;
    assert_eq!(store.due(9, &Left::default()).await.unwrap(), [(late, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_waits_that_close_a_circle_at_the_same_moment_one_is_refused() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for round in 0..20 {
        let (left, right) = (begun(store).await, begun(store).await);
        take(store, left, 1, 1).await;
        take(store, right, 1, 2).await;
        tokio::join!(take(store, left, 2, 2), take(store, right, 2, 1));
        let places = [place(store, left, 2).await, place(store, right, 1).await];
        assert!(
            places.contains(&KeyPlace::Refused) && places.contains(&KeyPlace::Waits),
            "round {round}: {places:?}"
        );
        for invocation in [left, right] {
            let append = Append {
                releases_all: true,
                ..next_append(store, invocation, 3)
            };
            store.append(append).await.unwrap();
        }
    }
    // What was refused can be asked for again.
    let (left, right) = (begun(store).await, begun(store).await);
    take(store, left, 1, 1).await;
    take(store, right, 1, 2).await;
    take(store, left, 2, 2).await;
    take(store, right, 2, 1).await;
    assert_eq!(place(store, right, 1).await, KeyPlace::Refused);
    give_up(store, left, 3, 2).await;
    take(store, right, 3, 1).await;
    assert_eq!(place(store, right, 1).await, KeyPlace::Waits);
    give_up(store, left, 4, 1).await;
    assert_eq!(place(store, right, 1).await, KeyPlace::Holds);
}

/// An invocation with the promise of its output, as a workflow has it.
async fn workflow(fixture: &Fixture) -> (InvocationId, PromiseId) {
    let invocation = begun(&fixture.store).await;
    let output = PromiseId(new_id().0);
    let promise = format!("INSERT INTO host.promise (id, invocation_id, name) VALUES ('{output}', '{invocation}', '')");
    fixture.superuser_executes(&promise).await;
    (invocation, output)
}

async fn attach(store: &Store, invocation: InvocationId, index: u32, output: PromiseId) {
    let append = Append {
        status: Some(InvocationStatus::Suspended),
        suspension: Some(Suspension {
            promises: vec![output],
            ..Suspension::default()
        }),
        ..next_append(store, invocation, index)
    };
    store.append(append).await.unwrap();
}

#[tokio::test]
async fn a_circle_through_an_output_is_refused_whichever_of_its_waits_is_the_last() {
    let fixture = fixture().await;
    let store = &fixture.store;
    // The wait for a key is the last.
    let (holder, (awaited, output)) = (begun(store).await, workflow(&fixture).await);
    take(store, holder, 1, 1).await;
    attach(store, holder, 2, output).await;
    take(store, awaited, 1, 1).await;
    assert_eq!(place(store, awaited, 1).await, KeyPlace::Refused);

    // That for the output is: who waits for the key is woken to be told, and who comes after it is not held up.
    let (holder, (awaited, output)) = (begun(store).await, workflow(&fixture).await);
    let (between, far) = (begun(store).await, begun(store).await);
    take(store, holder, 1, 2).await;
    take(store, between, 1, 3).await;
    take(store, awaited, 1, 3).await;
    take(store, far, 1, 2).await;
    wait_for(store, awaited, 2, 3).await;
    take(store, between, 2, 2).await;
    wait_for(store, between, 3, 2).await;
    assert_eq!(store.woken(9).await.unwrap(), []);
    attach(store, holder, 2, output).await;
    assert_eq!(place(store, between, 2).await, KeyPlace::Refused, "it came last");
    assert_eq!(store.woken(9).await.unwrap(), [between]);
    assert_eq!(place(store, awaited, 3).await, KeyPlace::Waits, "one is enough");
    assert_eq!(place(store, far, 2).await, KeyPlace::Waits);

    // What is no circle is none: the workflow waits for nobody, or has ended.
    let (holder, (awaited, output)) = (begun(store).await, workflow(&fixture).await);
    take(store, holder, 1, 4).await;
    take(store, far, 2, 4).await;
    attach(store, holder, 2, output).await;
    assert_eq!(place(store, far, 4).await, KeyPlace::Waits);
    let ended = format!("UPDATE host.promise SET completed_at = now(), value = '' WHERE id = '{output}'");
    fixture.superuser_executes(&ended).await;
    take(store, awaited, 1, 4).await;
    assert_eq!(place(store, awaited, 4).await, KeyPlace::Waits);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_waits_that_close_a_circle_through_outputs_at_the_same_moment_one_sees_the_other() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for round in 0..20 {
        // One waits for a workflow that waits for a key; who holds that waits for the first one's output.
        let ((left, left_output), (middle, middle_output)) = (workflow(&fixture).await, workflow(&fixture).await);
        let right = begun(store).await;
        take(store, right, 1, round).await;
        take(store, middle, 1, round).await;
        wait_for(store, middle, 2, round).await;
        tokio::join!(
            attach(store, left, 1, middle_output),
            attach(store, right, 2, left_output)
        );
        assert_eq!(place(store, middle, round).await, KeyPlace::Refused, "round {round}");
    }
}

/// What a workflow waits for, of those whose outputs these are.
async fn awaits(fixture: &Fixture, invocation: InvocationId) -> i64 {
    let waits = format!("SELECT count(*) FROM host.promise_waiter WHERE invocation_id = '{invocation}'");
    fixture.value(&waits).await
}

#[tokio::test]
async fn a_circle_through_outputs_alone_is_found_before_the_wait_and_not_begun_with_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let all = [
        workflow(&fixture).await,
        workflow(&fixture).await,
        workflow(&fixture).await,
    ];
    let [(first, first_output), (second, second_output), (third, third_output)] = all;
    let closes = async |invocation, output| store.closes_circle(invocation, output).await.unwrap();
    assert!(closes(first, first_output).await, "nobody ends before it has ended");
    assert!(!closes(first, second_output).await);
    attach(store, first, 1, second_output).await;
    attach(store, second, 1, third_output).await;
    assert!(
        closes(third, first_output).await && closes(third, second_output).await && closes(third, third_output).await
    );
    assert!(
        !closes(begun(store).await, first_output).await,
        "nobody can wait for its output"
    );
    // One that did not ask is not suspended for good, and leaves the others alone.
    attach(store, third, 1, first_output).await;
    assert_eq!(
        [
            awaits(&fixture, first).await,
            awaits(&fixture, second).await,
            awaits(&fixture, third).await
        ],
        [1, 1, 0]
    );
    let due =
        format!("SELECT count(*) FROM host.invocation WHERE id = '{third}' AND due_at < now() + interval '2 seconds'");
    assert_eq!(fixture.value(&due).await, 1);

    // Who was set going meanwhile does not wait, and then waits for what it says.
    let status = async |status: &str| {
        let due = if status == "running" { "now()" } else { "NULL" };
        let set = format!("UPDATE host.invocation SET status = '{status}', due_at = {due} WHERE id = '{second}'");
        fixture.superuser_executes(&set).await;
    };
    status("running").await;
    assert!(!closes(third, first_output).await);
    status("paused").await;
    assert!(closes(third, first_output).await, "it will wait again");
    attach(store, second, 2, PromiseId(new_id().0)).await;
    assert!(!closes(third, first_output).await);
    attach(store, second, 3, third_output).await;

    // A wait that ends by itself is no part of one.
    let until = async |due: &str| {
        let set = format!("UPDATE host.invocation SET due_at = {due} WHERE id = '{second}'");
        fixture.superuser_executes(&set).await;
    };
    until("now() + interval '1 hour'").await;
    assert!(!closes(third, first_output).await);
    until("NULL").await;
    assert!(closes(third, first_output).await);

    // An end breaks it, as what others wait for does not make one.
    let ended = format!("UPDATE host.promise SET completed_at = now(), value = '' WHERE id = '{second_output}'");
    fixture.superuser_executes(&ended).await;
    assert!(!closes(third, first_output).await && closes(third, third_output).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_workflows_that_wait_for_each_other_at_the_same_moment_one_comes_back() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for round in 0..20 {
        let ((left, left_output), (right, right_output)) = (workflow(&fixture).await, workflow(&fixture).await);
        tokio::join!(
            attach(store, left, 1, right_output),
            attach(store, right, 1, left_output)
        );
        let waits = [awaits(&fixture, left).await, awaits(&fixture, right).await];
        assert!([[0, 1], [1, 0]].contains(&waits), "round {round}: {waits:?}");
        let who = if waits == [0, 1] {
            (left, right_output)
        } else {
            (right, left_output)
        };
        assert!(
            store.closes_circle(who.0, who.1).await.unwrap(),
            "it is told when it asks"
        );
    }
}

#[tokio::test]
async fn a_circle_that_has_a_key_in_it_is_refused_there_and_leaves_the_wait_for_the_output() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ((holder, holder_output), (awaited, output)) = (workflow(&fixture).await, workflow(&fixture).await);
    take(store, holder, 1, 1).await;
    take(store, awaited, 1, 1).await;
    wait_for(store, awaited, 2, 1).await;
    assert!(
        !store.closes_circle(holder, output).await.unwrap(),
        "that is the key's matter"
    );
    attach(store, holder, 2, output).await;
    assert_eq!(place(store, awaited, 1).await, KeyPlace::Refused);
    assert_eq!(awaits(&fixture, holder).await, 1);
    assert!(store.closes_circle(awaited, holder_output).await.unwrap());
}

/// Of one the wait for an output is there, and not yet to be seen, while the other takes its place and is suspended for the key.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_for_a_key_waits_for_whom_it_cannot_see_yet() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (holder, (awaited, output)) = (begun(store).await, workflow(&fixture).await);
    take(store, holder, 1, 1).await;
    let mut session = fixture.superuser().await;
    let mut unseen = session.begin().await.unwrap();
    let suspended = format!(
        "SELECT host.lock_waits(ARRAY['{output}']::uuid[], '{{}}');
         INSERT INTO host.promise_waiter (promise_id, invocation_id) VALUES ('{output}', '{holder}')"
    );
    unseen.execute(AssertSqlSafe(suspended)).await.unwrap();
    take(store, awaited, 1, 1).await;
    assert_eq!(place(store, awaited, 1).await, KeyPlace::Waits);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { wait_for(&store, awaited, 2, 1).await }
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1852139641 AND NOT granted";
    while fixture.value(waits).await == 0 && !waiting.is_finished() {}
    unseen.commit().await.unwrap();
    waiting.await.unwrap();
    assert_eq!(place(store, awaited, 1).await, KeyPlace::Refused);
    assert_eq!(store.due(9, &Left::default()).await.unwrap(), [(awaited, true)]);
}

#[tokio::test]
async fn a_long_queue_costs_a_look_for_circles_next_to_nothing() {
    const QUEUE: u32 = 1_000;
    /// A hundred times of what it takes; the cube of the queue takes minutes.
    const PATIENCE: Duration = Duration::from_secs(3);
    let fixture = fixture().await;
    let store = &fixture.store;
    let (first, (last, output)) = (begun(store).await, workflow(&fixture).await);
    take(store, first, 1, 1).await;
    let queue = format!(
        "INSERT INTO host.exclusive_place (key, invocation_id, component, function)
             SELECT '{}', gen_random_uuid(), 'desk', 'serve' FROM generate_series(3, {QUEUE})",
        key(1).id.0
    );
    fixture.superuser_executes(&queue).await;
    take(store, last, 1, 1).await;
    let aside = begun(store).await;
    let attached = tokio::time::timeout(PATIENCE, attach(store, aside, 1, output));
    attached.await.expect("nobody else's queue is walked");
    assert_eq!(place(store, last, 1).await, KeyPlace::Waits);
    let attached = tokio::time::timeout(PATIENCE, attach(store, first, 2, output));
    attached.await.expect("the circle is found at once");
    assert_eq!(place(store, last, 1).await, KeyPlace::Refused);
}

#[tokio::test]
async fn what_has_ended_holds_nothing_for_long() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (gone, waiting) = (begun(store).await, begun(store).await);
    take(store, gone, 1, 7).await;
    take(store, waiting, 1, 7).await;
    assert_eq!(store.give_up_strays().await.unwrap(), 0);
    let ended =
        format!("UPDATE host.invocation SET status = 'failed', node_id = NULL, ended_at = now() WHERE id = '{gone}'");
    fixture.superuser_executes(&ended).await;
    assert_eq!(store.give_up_strays().await.unwrap(), 1);
    assert_eq!(place(store, waiting, 7).await, KeyPlace::Holds);
}
