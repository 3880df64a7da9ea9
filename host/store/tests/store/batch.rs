//! The group writer. The tests run on one thread: appends that are polled together reach the writers together.

use host_journal::{Append, AppendError, AppendJournal, InvocationStatus, encode};
use sqlx::Connection;

use crate::support::{begun, claim, execute, first_append, fixture, new_id, next_append, output, run, started};

/// Polls all at once, before any writer runs.
async fn together(store: &host_store::Store, appends: Vec<Append>) -> Vec<Result<(), AppendError>> {
    let mut writing: Vec<_> = appends.into_iter().map(|append| store.append(append)).collect();
    let mut outcomes: Vec<Option<Result<(), AppendError>>> = vec![None; writing.len()];
    std::future::poll_fn(|context| {
        for (future, outcome) in writing.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *outcome = Some(ready);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_fenced_append_fails_alone_and_whole() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let fenced = begun(store).await;
    store.append(next_append(store, fenced, 1)).await.unwrap();

    let fresh: Vec<_> = (0..20).map(|_| new_id()).collect();
    let mut appends: Vec<Append> = fresh.iter().map(|id| first_append(store, *id)).collect();
    for append in &mut appends {
        append
            .bodies
            .push(encode(&output(1), &*store.seal(append.invocation, None)));
    }
    let mut late = next_append(store, fenced, 1);
    // Its second index is free: all the same none of it may be written.
    late.bodies.push(encode(&output(2), &*store.seal(fenced, None)));
    late.status = Some(InvocationStatus::Completed);
    appends.insert(7, late);

    let mut outcomes = together(store, appends).await;
    assert_eq!(outcomes.remove(7), Err(AppendError::Fenced));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    for id in &fresh {
        assert_eq!(store.load(*id).await.unwrap().unwrap().entries, [started(0), output(1)]);
    }
    let loaded = store.load(fenced).await.unwrap().unwrap();
    assert_eq!(
        (loaded.entries.len(), loaded.row.status),
        (2, InvocationStatus::Running)
    );
    // Two for what went before, and one for all of these.
    assert_eq!(
        fixture
            .value("SELECT count(DISTINCT xmin::text) FROM host.journal_entry")
            .await,
        3
    );
}

#[tokio::test]
async fn a_taken_key_fails_its_append_alone() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let holder = new_id();
    store
        .append(Append {
            claim: Some(claim(1, 1)),
            ..first_append(store, holder)
        })
        .await
        .unwrap();

    let (late, free, plain) = (new_id(), new_id(), new_id());
    let outcomes = together(
        store,
        vec![
            Append {
                claim: Some(claim(1, 1)),
                ..first_append(store, late)
            },
            Append {
                claim: Some(claim(2, 1)),
                ..first_append(store, free)
            },
            first_append(store, plain),
        ],
    )
    .await;
    assert_eq!(outcomes, [Err(AppendError::KeyTaken), Ok(()), Ok(())]);
    assert_eq!(store.row(late).await.unwrap(), None);
    assert_eq!(store.bodies(late).await.unwrap(), []);
    assert_eq!(store.find_key(&claim(2, 0)).await.unwrap().unwrap().invocation, free);
}

#[tokio::test]
async fn a_fenced_append_leaves_its_key_free() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let taken = begun(store).await;
    let outcomes = together(
        store,
        vec![
            Append {
                claim: Some(claim(3, 1)),
                ..first_append(store, taken)
            },
            first_append(store, new_id()),
        ],
    )
    .await;
    assert_eq!(outcomes, [Err(AppendError::Fenced), Ok(())]);
    assert_eq!(store.find_key(&claim(3, 0)).await.unwrap(), None);
    assert_eq!(fixture.value("SELECT count(*) FROM host.idempotency_key").await, 0);
}

#[tokio::test]
async fn one_key_asked_for_twice_at_once_has_one_winner() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let appends = (0..2).map(|_| Append {
        claim: Some(claim(4, 1)),
        ..first_append(store, new_id())
    });
    assert_eq!(
        together(store, appends.collect()).await,
        [Ok(()), Err(AppendError::KeyTaken)]
    );
}

#[tokio::test]
async fn appends_of_one_invocation_keep_their_order() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = new_id();
    let mut appends = vec![first_append(store, invocation)];
    appends.extend((1..6).map(|index| next_append(store, invocation, index)));
    assert_eq!(together(store, appends).await, vec![Ok(()); 6]);
    let indexes: Vec<u32> = store
        .bodies(invocation)
        .await
        .unwrap()
        .into_iter()
        .map(|(index, _)| index)
        .collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn who_waits_for_somebodys_transaction_does_not_hold_up_the_others_for_good() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let (open, other) = (new_id(), new_id());
    let mut transaction = session.begin().await.unwrap();
    run(
        &mut transaction,
        &store.append_statements(&first_append(store, open)).remove(0),
    )
    .await
    .unwrap();

    let outcomes = together(store, vec![first_append(store, open), first_append(store, other)]).await;
    assert!(matches!(outcomes[0], Err(AppendError::Unknown(_))), "{outcomes:?}");
    assert_eq!(outcomes[1], Ok(()));
    transaction.commit().await.unwrap();
    assert_eq!(store.load(open).await.unwrap().unwrap().entries, [started(0)]);
}

#[tokio::test]
async fn a_lazy_output_is_written_before_the_store_closes() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    store.append_lazily(Append {
        status: Some(InvocationStatus::Completed),
        ..next_append(store, invocation, 1)
    });
    store.close().await;

    let other = crate::support::node(&fixture.database, "two").await;
    let loaded = other.load(invocation).await.unwrap().unwrap();
    assert_eq!(
        (loaded.row.status, loaded.row.node),
        (InvocationStatus::Completed, None)
    );
    assert!(loaded.row.ended_ms.is_some());
    assert_eq!(loaded.entries, [started(0), output(1)]);
    assert_eq!(store.lazy_appends_dropped(), 0);
}

#[tokio::test]
async fn lazy_outputs_share_commits() {
    const COUNT: usize = 20;
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut invocations = Vec::new();
    for _ in 0..COUNT {
        invocations.push(begun(store).await);
    }
    for invocation in &invocations {
        store.append_lazily(Append {
            status: Some(InvocationStatus::Completed),
            ..next_append(store, *invocation, 1)
        });
        // A round trip each: time enough to write every one of them alone.
        store.load(*invocation).await.unwrap();
    }
    store.close().await;

    let mut superuser = fixture.superuser().await;
    let (ended, commits): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT xmin::text) FROM host.invocation WHERE status = 'completed'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(ended, COUNT as i64);
    assert!(commits <= COUNT as i64 / 2, "{commits} commits for {COUNT} outputs");
}

#[tokio::test]
async fn an_append_that_is_waited_for_takes_the_lazy_ones_along() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let ended = begun(store).await;
    store.append_lazily(Append {
        status: Some(InvocationStatus::Completed),
        ..next_append(store, ended, 1)
    });
    begun(store).await;
    let row = store.load(ended).await.unwrap().unwrap().row;
    assert_eq!(row.status, InvocationStatus::Completed);
}

#[tokio::test]
async fn a_writer_survives_the_end_of_its_connection() {
    let fixture = fixture().await;
    let store = &fixture.store;
    begun(store).await;
    let mut superuser = fixture.superuser().await;
    execute(
        &mut superuser,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await
    .unwrap();
    // What each of the two writers was about to send is unknown; what follows is not.
    for _ in 0..2 {
        let outcome = store.append(first_append(store, new_id())).await;
        assert!(matches!(outcome, Ok(()) | Err(AppendError::Unknown(_))), "{outcome:?}");
    }
    begun(store).await;
}

#[tokio::test]
async fn what_a_batch_reads_does_not_grow_with_what_is_stored() {
    const ROUNDS: i64 = 8;
    const BATCH: i64 = 60;
    let fixture = fixture().await;
    let store = &fixture.store;
    // Plans are made for a table that is known to hold one row, and kept.
    begun(store).await;
    fixture.superuser_executes("ANALYZE host.invocation").await;
    for _ in 0..4 {
        begun(store).await;
    }
    for _ in 0..ROUNDS {
        let invocations: Vec<_> = (0..BATCH).map(|_| new_id()).collect();
        let started = invocations.iter().map(|id| first_append(store, *id)).collect();
        assert!(together(store, started).await.iter().all(Result::is_ok));
        let ended = invocations.iter().map(|id| Append {
            status: Some(InvocationStatus::Completed),
            ..next_append(store, *id, 1)
        });
        assert!(together(store, ended.collect()).await.iter().all(Result::is_ok));
    }
    // A session that ends has told what it read.
    store.close().await;
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'";
    while fixture.value(sessions).await > 0 {
        tokio::task::yield_now().await;
    }
    let reads = "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelid = 'host.invocation_pkey'::regclass";
    let reads = fixture.value(reads).await;
    let ended = fixture
        .value("SELECT count(*) FROM host.invocation WHERE status = 'completed'")
        .await;
    assert_eq!(ended, ROUNDS * BATCH);
    assert!(reads <= 2 * ended, "{reads} rows were looked at to change {ended}");
}

#[tokio::test]
async fn nobody_waits_with_a_claim_for_somebodys_open_transaction() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (_, mut holder) = fixture.module("order").await;
    let holding = new_id();
    execute(&mut holder, "BEGIN").await.unwrap();
    run(&mut holder, &store.claim_statement(holding, &claim(1, 1)))
        .await
        .unwrap();
    run(
        &mut holder,
        &store.append_statements(&first_append(store, holding)).remove(0),
    )
    .await
    .unwrap();

    let claiming = Append {
        claim: Some(claim(1, 1)),
        ..first_append(store, new_id())
    };
    let others = async {
        // Again and again, so that each of the writers would have to wait.
        for _ in 0..20 {
            let both = [first_append(store, new_id()), first_append(store, new_id())];
            assert_eq!(together(store, both.into()).await, [Ok(()), Ok(())]);
        }
        fixture.someone_waits().await;
        execute(&mut holder, "COMMIT").await.unwrap();
    };
    let (claimed, ()) = tokio::join!(store.append(claiming), others);
    assert_eq!(claimed, Err(AppendError::KeyTaken));
    assert_eq!(store.find_key(&claim(1, 1)).await.unwrap().unwrap().invocation, holding);
}
