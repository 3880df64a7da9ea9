//! Who waits is woken, whatever the snapshot of whoever brings it; and what becomes of a workflow's promises when it is restarted.

use host_journal::{
    Append, AppendError, AppendJournal, ExclusiveKey, InvocationStatus, Message, OUTPUT_PROMISE, Suspension,
    WorkflowKey, WorkflowStart, encode, workflow_promise,
};
use host_store::{Fence, KeyPlace, Left, Store, Word};
use host_types::{InvocationId, PromiseId};
use sqlx::PgConnection;

use crate::support::{
    Fixture, begun, execute, first_append, fixture, new_id, next_append, refusal, run, start, started,
};

fn suspended(store: &Store, invocation: InvocationId, index: u32, suspension: Suspension) -> Append {
    Append {
        status: Some(InvocationStatus::Suspended),
        suspension: Some(suspension),
        ..next_append(store, invocation, index)
    }
}

fn waiting_for(promise: PromiseId) -> Suspension {
    Suspension {
        promises: vec![promise],
        ..Suspension::default()
    }
}

fn key(value: u8) -> ExclusiveKey {
    ExclusiveKey::new("desk".into(), "a:b/c", "serve", &[value])
}

fn taking(store: &Store, invocation: InvocationId, index: u32, value: u8) -> Append {
    Append {
        acquires: vec![key(value)],
        ..next_append(store, invocation, index)
    }
}

/// A transaction of a module that has its snapshot.
async fn begin_serializable(session: &mut PgConnection) {
    for statement in ["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM item"] {
        execute(session, statement).await.unwrap();
    }
}

async fn ride(store: &Store, session: &mut PgConnection, append: &Append) -> Result<(), sqlx::Error> {
    for statement in store.append_statements(append) {
        run(session, &statement).await?;
    }
    Ok(())
}

async fn causes(fixture: &Fixture) -> i64 {
    fixture.value("SELECT count(*) FROM host.wakeup_cause").await
}

#[tokio::test]
async fn who_began_to_wait_after_the_snapshot_of_who_completes_is_woken() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let (waiting, completing) = (begun(store).await, begun(store).await);
    for (index, isolation) in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
        .into_iter()
        .enumerate()
    {
        let promise = PromiseId::new(1, [index as u8; 10]);
        let index = 1 + index as u32;
        let made = Append {
            promises: vec![promise],
            ..first_append(store, new_id())
        };
        store.append(made).await.unwrap();
        execute(&mut session, &format!("BEGIN ISOLATION LEVEL {isolation}"))
            .await
            .unwrap();
        execute(&mut session, "SELECT count(*) FROM item").await.unwrap();
        store
            .append(suspended(store, waiting, index, waiting_for(promise)))
            .await
            .unwrap();
        let completed = Append {
            completions: vec![host_journal::Completion {
                promise,
                value: b"paid".to_vec(),
            }],
            ..next_append(store, completing, index)
        };
        ride(store, &mut session, &completed).await.unwrap();
        assert_eq!(store.woken(9).await.unwrap(), [], "nothing is committed");
        execute(&mut session, "COMMIT").await.unwrap();
        assert_eq!(store.woken(9).await.unwrap(), [waiting], "{isolation}");
        assert_eq!(store.woken(9).await.unwrap(), []);
        assert_eq!(causes(&fixture).await, 0);
    }
}

#[tokio::test]
async fn who_came_to_stand_behind_a_holder_after_its_snapshot_is_woken() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let (holder, second) = (begun(store).await, begun(store).await);
    store.append(taking(store, holder, 1, 7)).await.unwrap();
    begin_serializable(&mut session).await;
    store.append(taking(store, second, 1, 7)).await.unwrap();
    let keys = vec![key(7).id];
    let waits = Suspension {
        keys: keys.clone(),
        ..Suspension::default()
    };
    store.append(suspended(store, second, 2, waits)).await.unwrap();
    let gives_up = Append {
        releases: keys,
        ..next_append(store, holder, 2)
    };
    ride(store, &mut session, &gives_up).await.unwrap();
    execute(&mut session, "COMMIT").await.unwrap();
    assert_eq!(store.woken(9).await.unwrap(), [second]);
    assert_eq!(store.key_place(key(7).id, second).await.unwrap(), KeyPlace::Holds);
    assert_eq!(causes(&fixture).await, 0);
}

#[tokio::test]
async fn a_place_that_a_sibling_took_after_the_snapshot_is_given_up_at_the_second_try() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let holder = begun(store).await;
    begin_serializable(&mut session).await;
    store.append(taking(store, holder, 1, 7)).await.unwrap();
    let gives_up = Append {
        releases: vec![key(7).id],
        ..next_append(store, holder, 2)
    };
    assert_eq!(refusal(ride(store, &mut session, &gives_up).await), "40001");
    execute(&mut session, "ROLLBACK").await.unwrap();
    assert_eq!(store.key_place(key(7).id, holder).await.unwrap(), KeyPlace::Holds);

    begin_serializable(&mut session).await;
    ride(store, &mut session, &gives_up).await.unwrap();
    execute(&mut session, "COMMIT").await.unwrap();
    assert_eq!(store.key_place(key(7).id, holder).await.unwrap(), KeyPlace::None);
}

#[tokio::test]
async fn a_circle_that_a_snapshot_hides_is_found_by_who_waits() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let (left, right) = (begun(store).await, begun(store).await);
    store.append(taking(store, left, 1, 1)).await.unwrap();
    store.append(taking(store, right, 1, 2)).await.unwrap();
    begin_serializable(&mut session).await;
    store.append(taking(store, left, 2, 2)).await.unwrap();
    ride(store, &mut session, &taking(store, right, 2, 1)).await.unwrap();
    execute(&mut session, "COMMIT").await.unwrap();
    assert_eq!(store.key_place(key(1).id, right).await.unwrap(), KeyPlace::Waits);
    let waits = Suspension {
        keys: vec![key(1).id],
        ..Suspension::default()
    };
    store.append(suspended(store, right, 3, waits)).await.unwrap();
    assert_eq!(store.key_place(key(1).id, right).await.unwrap(), KeyPlace::Refused);
    assert_eq!(store.due(9, &Left::default()).await.unwrap(), [(right, true)]);
    assert_eq!(store.key_place(key(2).id, left).await.unwrap(), KeyPlace::Waits);
}

fn workflow() -> WorkflowKey {
    WorkflowKey::new("order".into(), "shop:order/purchases@0.1.0", "checkout", "7".into())
}

/// Begins the workflow; returns the invocation that it is.
async fn start_workflow(store: &Store) -> InvocationId {
    let invocation = new_id();
    let message = Message {
        invocation,
        started: encode(&started(0), &*store.seal(invocation, None)),
        start: start(),
        due_ms: u64::MAX,
        workflow: Some(WorkflowStart {
            key: workflow(),
            promise_key: [1; 32],
            retention_ms: 60_000,
        }),
    };
    let append = Append {
        messages: vec![message],
        ..first_append(store, new_id())
    };
    store.append(append).await.unwrap();
    invocation
}

/// A restart of the workflow; its new run has this promise key.
async fn restart(store: &Store, old: InvocationId, promise_key: u8) -> Result<InvocationId, AppendError> {
    let successor = new_id();
    let fence = Fence {
        invocation: successor,
        next_index: 0,
        bodies: vec![encode(&started(0), &*store.seal(successor, None))],
        start: Some(start()),
        status: InvocationStatus::Running,
        owner: Some(store.node()),
        attempt: 0,
        failures: 0,
        due_ms: None,
        cause: None,
    };
    let word = Word {
        operator: "ann".into(),
        verb: "restart",
        invocation: old,
        successor: Some(successor),
        promise_key: Some([promise_key; 32]),
        deployment: None,
        gives_up: Vec::new(),
        reason: String::new(),
        outcome: "running".into(),
    };
    store.fence_with_word(&fence, &word).await.map(|()| successor)
}

#[tokio::test]
async fn a_restart_wakes_who_waits_for_the_earlier_run_and_its_promises_are_the_new_ones() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let old = start_workflow(store).await;
    let paid = store.workflow_promise(&workflow(), "paid").await.unwrap().unwrap();
    let kept = store.workflow_promise(&workflow(), "kept").await.unwrap().unwrap();
    fixture
        .superuser_executes(&format!(
            "UPDATE host.promise SET completed_at = now(), value = '' WHERE id = '{kept}'"
        ))
        .await;
    let output = workflow_promise(&[1; 32], OUTPUT_PROMISE);
    let (payee, attached, late) = (begun(store).await, begun(store).await, begun(store).await);
    for (waiting, promise) in [(payee, paid), (attached, output)] {
        let append = suspended(store, waiting, 1, waiting_for(promise));
        store.append(append).await.unwrap();
    }
    let successor = restart(store, old, 2).await.unwrap();
    let mut woken = store.woken(9).await.unwrap();
    woken.sort_unstable();
    let mut both = [payee, attached];
    both.sort_unstable();
    assert_eq!(woken, both);

    assert_eq!(store.workflow(&workflow()).await.unwrap(), Some(successor));
    let again = store.workflow_promise(&workflow(), "paid").await.unwrap();
    assert_eq!(again, Some(workflow_promise(&[2; 32], "paid")));
    let is_there = |promise| format!("SELECT count(*) FROM host.promise WHERE id = '{promise}'");
    assert_eq!(fixture.value(&is_there(paid)).await, 0);
    assert_eq!(fixture.value(&is_there(kept)).await, 1, "what came stays what it is");
    // Somebody who had asked for the promise before, and suspends now: it is to look again, soon.
    store
        .append(suspended(store, late, 1, waiting_for(paid)))
        .await
        .unwrap();
    assert!(store.row(late).await.unwrap().unwrap().due_ms.is_some());
}

#[tokio::test]
async fn a_workflow_that_nobody_would_find_is_not_restarted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let old = start_workflow(store).await;
    fixture.superuser_executes("DELETE FROM host.workflow").await;
    let refused = restart(store, old, 2).await;
    assert!(
        matches!(&refused, Err(AppendError::Refused(text)) if text.contains("is forgotten")),
        "{refused:?}"
    );
    assert_eq!(fixture.value("SELECT count(*) FROM host.audit").await, 0);
}
