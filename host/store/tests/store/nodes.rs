//! Nodes, leases, and taking over.

use std::sync::Arc;

use host_journal::{AppendError, AppendJournal, Body, FenceReason};
use host_store::{Error, GoneBecause, Store, StoreOptions};
use host_types::{Clock, InvocationId, SystemClock};

use crate::support::{
    MODULE_SESSIONS, begun, execute, first_append, fixture, new_id, next_append, node, options, refusal, run,
};

/// What `heir` takes over from `dead` in one go.
async fn taken_over(heir: &Store, dead: &Store) -> Vec<InvocationId> {
    let taken = heir.take_over(dead.node(), 10).await.unwrap();
    taken.into_iter().map(|(invocation, _)| invocation).collect()
}

#[tokio::test]
async fn takeover_ends_the_dead_nodes_connections_before_it_fences() {
    let fixture = fixture().await;
    let dead = &fixture.store;
    let (_, mut session) = fixture.module("order").await;
    let invocation = begun(dead).await;
    // The frozen owner stands in a transaction that needs its COMMIT only.
    execute(&mut session, "BEGIN; INSERT INTO item VALUES ('cup')")
        .await
        .unwrap();
    run(
        &mut session,
        &dead.append_statements(&next_append(dead, invocation, 1)).remove(0),
    )
    .await
    .unwrap();

    let ours = node(&fixture.database, "two").await;
    assert!(matches!(
        ours.take_over(dead.node(), 10).await,
        Err(Error::NodeAlive(_))
    ));
    assert!(matches!(
        ours.abandoned(dead.node(), 10).await,
        Err(Error::NodeAlive(_))
    ));
    assert!(!ours.mark_gone(dead.node(), GoneBecause::LeaseExpired).await.unwrap());
    assert_eq!(ours.dead_nodes().await.unwrap(), []);

    fixture
        .superuser_executes("UPDATE host.node SET heartbeat_at = now() - interval '6 s' WHERE name = 'one'")
        .await;
    assert_eq!(ours.dead_nodes().await.unwrap(), [dead.node()]);
    assert!(ours.mark_gone(dead.node(), GoneBecause::LeaseExpired).await.unwrap());
    // It is still to be taken over from, should we die now.
    assert_eq!(ours.dead_nodes().await.unwrap(), [dead.node()]);
    let begins = new_id();
    assert_eq!(ours.not_owned(&[invocation, begins]).await.unwrap(), [invocation]);
    assert_eq!(taken_over(&ours, dead).await, [invocation]);
    assert_eq!(taken_over(&ours, dead).await, []);
    assert_eq!(ours.not_owned(&[invocation, begins]).await.unwrap(), []);
    assert_eq!(ours.dead_nodes().await.unwrap(), []);

    assert!(execute(&mut session, "COMMIT").await.is_err());
    assert_eq!(fixture.value("SELECT count(*) FROM \"order\".item").await, 0);
    let loaded = ours.load(invocation).await.unwrap().unwrap();
    assert_eq!((loaded.row.node, loaded.row.attempt), (Some(ours.node()), 1));
    let fence = Body::Fence {
        attempt: 1,
        node: ours.node(),
        reason: FenceReason::TakeOver,
    };
    assert_eq!(loaded.entries[1].body, fence);

    // Whatever the dead one still does finds the door shut.
    assert!(matches!(
        dead.heartbeat().await,
        Err(Error::NodeGone | Error::Unreachable(_))
    ));
    let outcome = dead.append(next_append(dead, invocation, 2)).await;
    assert!(
        matches!(outcome, Err(AppendError::Fenced | AppendError::Unknown(_))),
        "{outcome:?}"
    );
    // Its other writer's connection may still have to find out; then the answer is final.
    let mut outcome = dead.append(first_append(dead, new_id())).await;
    if matches!(outcome, Err(AppendError::Unknown(_))) {
        outcome = dead.append(first_append(dead, new_id())).await;
    }
    assert_eq!(outcome, Err(AppendError::Fenced));
    let mut again = fixture.session(&dead.provision_module("order").await.unwrap()).await;
    let statement = dead.append_statements(&first_append(dead, new_id())).remove(0);
    assert_eq!(
        refusal(run(&mut again, &statement).await),
        host_store::SQLSTATE_NODE_GONE
    );
}

#[tokio::test]
async fn two_heirs_share_what_a_dead_node_left() {
    let fixture = fixture().await;
    let dead = &fixture.store;
    let mut left = Vec::new();
    for _ in 0..30 {
        left.push(begun(dead).await);
    }
    let (one, two) = (
        node(&fixture.database, "two").await,
        node(&fixture.database, "three").await,
    );
    one.mark_gone(dead.node(), GoneBecause::ProcessEnded).await.unwrap();
    let (by_one, by_two) = tokio::join!(one.take_over(dead.node(), 100), two.take_over(dead.node(), 100));
    let taken = [by_one.unwrap(), by_two.unwrap()].concat();
    let mut taken: Vec<_> = taken.into_iter().map(|(invocation, _)| invocation).collect();
    taken.sort();
    left.sort();
    assert_eq!(taken, left, "each once");
}

#[tokio::test]
async fn a_successor_in_the_same_data_directory_knows_its_predecessors() {
    let fixture = fixture().await;
    let successor = Store::connect(fixture.database.url(), options()).await.unwrap();
    successor.migrate_host().await.unwrap();
    let registration = successor.register_node("one", MODULE_SESSIONS).await.unwrap();
    assert_eq!(registration.predecessors, [fixture.store.node()]);
    assert_eq!(registration.node, successor.node());
    assert!(registration.heartbeat.may_work);

    successor
        .mark_gone(fixture.store.node(), GoneBecause::ProcessEnded)
        .await
        .unwrap();
    successor.drain(true).await.unwrap();
    let nodes = successor.nodes().await.unwrap();
    let seen: Vec<_> = nodes.iter().map(|row| (row.node, row.gone, row.draining)).collect();
    assert_eq!(
        seen,
        [(successor.node(), false, true), (fixture.store.node(), true, false)]
    );
}

/// Ahead of the real time.
struct Ahead(u64);

impl Clock for Ahead {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.0
    }

    fn boot_ns(&self) -> u64 {
        SystemClock.boot_ns()
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_off_takes_no_work() {
    let fixture = fixture().await;
    let options = StoreOptions {
        clock: Arc::new(Ahead(5_000)),
        ..options()
    };
    let store = Store::connect(fixture.database.url(), options).await.unwrap();
    assert!(
        !store
            .register_node("off", MODULE_SESSIONS)
            .await
            .unwrap()
            .heartbeat
            .may_work
    );
    let heartbeat = store.heartbeat().await.unwrap();
    assert!(!heartbeat.may_work);
    assert!((-6_000..-4_000).contains(&heartbeat.clock_offset_ms), "{heartbeat:?}");

    let heartbeat = fixture.store.heartbeat().await.unwrap();
    assert!(heartbeat.may_work);
    assert!(heartbeat.lease_until_ns > SystemClock.boot_ns());
    assert!(heartbeat.lease_until_ns <= SystemClock.boot_ns() + 5_000_000_000);
}

#[tokio::test]
async fn a_statement_that_asks_for_the_lease_is_planned_as_if_it_read_the_columns() {
    let fixture = fixture().await;
    let mut session = fixture.superuser().await;
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN SELECT FROM host.node WHERE host.holds_lease(node)")
        .fetch_all(&mut session)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("heartbeat_at") && !plan.contains("holds_lease"), "{plan}");
}
