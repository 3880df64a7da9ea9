//! Fences.

use host_journal::{Append, AppendError, AppendJournal, Body, Cause, Entry, FenceReason, InvocationStatus, encode};
use host_store::{Fence, Left, Store};
use host_types::{DeploymentNumber, InvocationId};

use crate::support::{begun, execute, first_append, fixture, new_id, next_append, start, started};

fn fence(store: &Store, invocation: InvocationId, next_index: u32, reason: FenceReason) -> Fence {
    let body = Body::Fence {
        attempt: 1,
        node: store.node(),
        reason,
    };
    Fence {
        invocation,
        next_index,
        bodies: vec![encode(
            &Entry {
                index: next_index,
                body,
            },
            &*store.seal(invocation, None),
        )],
        start: None,
        status: InvocationStatus::Running,
        owner: Some(store.node()),
        attempt: 1,
        failures: 0,
        due_ms: None,
        cause: None,
    }
}

#[tokio::test]
async fn after_a_fence_the_old_owner_cannot_append() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    store
        .fence(fence(store, invocation, 1, FenceReason::TakeOver))
        .await
        .unwrap();
    assert_eq!(
        store.append(next_append(store, invocation, 1)).await,
        Err(AppendError::Fenced)
    );
    assert_eq!(
        store.fence(fence(store, invocation, 1, FenceReason::TakeOver)).await,
        Err(AppendError::Fenced)
    );
    store.append(next_append(store, invocation, 2)).await.unwrap();
}

#[tokio::test]
async fn a_pause_keeps_its_reason() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    let cause = Cause {
        position: None,
        text: "boom".into(),
        trap: true,
    };
    let pause = Fence {
        status: InvocationStatus::Paused,
        owner: None,
        failures: 3,
        cause: Some("boom".into()),
        ..fence(store, invocation, 1, FenceReason::Pause(cause.clone()))
    };
    store.fence(pause).await.unwrap();
    let loaded = store.load(invocation).await.unwrap().unwrap();
    assert_eq!((loaded.row.status, loaded.row.node), (InvocationStatus::Paused, None));
    assert_eq!((loaded.row.cause.as_deref(), loaded.row.failures), (Some("boom"), 3));
    assert!(matches!(&loaded.entries[1].body, Body::Fence { reason: FenceReason::Pause(kept), .. } if *kept == cause));
    assert_eq!(store.due(10, &Left::default()).await.unwrap(), []);
}

#[tokio::test]
async fn an_invocation_without_a_row_is_fenced_by_its_id() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = new_id();
    let mut fence = fence(store, invocation, 1, FenceReason::TakeOver);
    fence.next_index = 0;
    fence
        .bodies
        .insert(0, encode(&started(0), &*store.seal(invocation, None)));
    fence.start = Some(start());
    store.fence(fence.clone()).await.unwrap();
    assert_eq!(
        store.append(first_append(store, invocation)).await,
        Err(AppendError::Fenced)
    );
    let loaded = store.load(invocation).await.unwrap().unwrap();
    assert_eq!((loaded.entries.len(), loaded.row.attempt), (2, 1));

    // The other way round: what was committed first stays.
    let other = begun(store).await;
    assert_eq!(
        store
            .fence(Fence {
                invocation: other,
                ..fence
            })
            .await,
        Err(AppendError::Fenced)
    );
    assert_eq!(store.load(other).await.unwrap().unwrap().entries, [started(0)]);
}

#[tokio::test]
async fn what_has_ended_is_not_fenced_and_the_others_are() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (ended, open, late) = (begun(store).await, begun(store).await, begun(store).await);
    store
        .append(Append {
            status: Some(InvocationStatus::Completed),
            ..next_append(store, ended, 1)
        })
        .await
        .unwrap();
    store.append(next_append(store, late, 1)).await.unwrap();
    let fences = [
        fence(store, ended, 2, FenceReason::Resume),
        fence(store, open, 1, FenceReason::Resume),
        fence(store, late, 1, FenceReason::Resume),
    ];
    let outcomes = store.fence_all(&fences).await;
    assert_eq!(outcomes, [Err(AppendError::Fenced), Ok(()), Err(AppendError::Fenced)]);
    assert_eq!(store.bodies(ended).await.unwrap().len(), 2);
    assert_eq!(
        store.row(ended).await.unwrap().unwrap().status,
        InvocationStatus::Completed
    );
    assert_eq!(store.row(open).await.unwrap().unwrap().attempt, 1);
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_goes_to_one_node() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let other = crate::support::node(&fixture.database, "two").await;
    let mut retried = Vec::new();
    for _ in 0..20 {
        let invocation = begun(store).await;
        store
            .fence(Fence {
                owner: None,
                ..fence(store, invocation, 1, FenceReason::Resume)
            })
            .await
            .unwrap();
        retried.push(invocation);
    }
    let later = begun(store).await;
    let due_ms = host_types::Clock::unix_ms(&host_types::SystemClock) + 60_000;
    store
        .fence(Fence {
            owner: None,
            due_ms: Some(due_ms),
            ..fence(store, later, 1, FenceReason::Resume)
        })
        .await
        .unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(0));

    let nothing = Left::default();
    let (one, two) = tokio::join!(store.due(15, &nothing), other.due(15, &nothing));
    let taken = [
        one.unwrap(),
        two.unwrap(),
        store.due(15, &Left::default()).await.unwrap(),
    ]
    .concat();
    let mut taken: Vec<_> = taken.into_iter().map(|(invocation, _)| invocation).collect();
    taken.sort();
    retried.sort();
    assert_eq!(taken, retried, "each once, and not the later one");
    let wait_ms = store.next_due().await.unwrap().unwrap();
    assert!((50_000..=60_000).contains(&wait_ms), "{wait_ms}");
}

#[tokio::test]
async fn a_fence_that_pins_is_written_with_its_pin_or_not_at_all() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    let number = DeploymentNumber(7);
    let take_over = || fence(store, invocation, 1, FenceReason::TakeOver);
    store.fence_and_pin(take_over(), number).await.unwrap();
    let loaded = store.load(invocation).await.unwrap().unwrap();
    assert_eq!(loaded.row.deployment, number);
    assert_eq!(loaded.entries.len(), 2);
    let later = store.fence_and_pin(take_over(), DeploymentNumber(8)).await;
    assert_eq!(later, Err(AppendError::Fenced));
    assert_eq!(store.row(invocation).await.unwrap().unwrap().deployment, number);
}

#[tokio::test]
async fn a_row_is_loaded_with_the_entries_of_its_moment() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    let cause = Cause {
        position: None,
        text: "an operator's word".into(),
        trap: false,
    };
    let pause = fence(store, invocation, 1, FenceReason::Pause(cause));
    let mut superuser = fixture.superuser().await;
    execute(&mut superuser, "BEGIN; LOCK TABLE host.journal_entry")
        .await
        .unwrap();
    // Whoever has looked at the row before this commit, and at the entries after it, takes what is paused for running.
    let (loaded, ()) = tokio::join!(store.load(invocation), async {
        fixture.someone_waits().await;
        sqlx::query("INSERT INTO host.journal_entry (invocation_id, entry_index, body) VALUES ($1, 1, $2)")
            .bind(invocation.0)
            .bind(&pause.bodies[0])
            .execute(&mut superuser)
            .await
            .unwrap();
        let paused = "UPDATE host.invocation SET status = 'paused', node_id = NULL; COMMIT";
        execute(&mut superuser, paused).await.unwrap();
    });
    let loaded = loaded.unwrap().unwrap();
    assert_eq!(loaded.entries.len(), 2);
    assert_eq!((loaded.row.status, loaded.row.node), (InvocationStatus::Paused, None));
}
