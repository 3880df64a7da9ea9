//! A database that was restored from a backup is noticed, and nothing of it goes on by itself.

use host_journal::{AppendJournal, InvocationStatus};
use host_store::{Error, LastSeen, Restored, Store};

use crate::support::{Fixture, MODULE_SESSIONS, begun, fixture, next_append, options};

/// What a start of another process finds.
async fn starts(fixture: &Fixture, seen_ms: u64, is_restored: bool) -> Option<Restored> {
    let seen = LastSeen {
        heartbeat_ms: seen_ms,
        database: None,
    };
    starts_having_seen(fixture, &seen, is_restored).await
}

async fn starts_having_seen(fixture: &Fixture, seen: &LastSeen, is_restored: bool) -> Option<Restored> {
    let store = Store::connect(fixture.database.url(), options()).await.unwrap();
    store.migrate_host().await.unwrap();
    store.check_origin(Some(seen), is_restored).await.unwrap()
}

#[tokio::test]
async fn a_start_where_the_data_was_before_pauses_nothing() {
    let fixture = fixture().await;
    begun(&fixture.store).await;
    assert_eq!(starts(&fixture, 0, false).await, None, "the first start takes note");
    fixture.store.heartbeat().await.unwrap();
    let seen_ms = fixture.store.last_heartbeat_ms();
    assert!(seen_ms > 0);
    assert_eq!(starts(&fixture, seen_ms, false).await, None);
    assert_eq!(
        fixture
            .value("SELECT count(*) FROM host.invocation WHERE status = 'paused'")
            .await,
        0
    );
}

#[tokio::test]
async fn every_sign_of_a_restore_pauses_what_is_open_and_ends_the_nodes_of_the_original() {
    let fixture = fixture().await;
    let open = begun(&fixture.store).await;
    assert_eq!(starts(&fixture, 0, false).await, None);
    for (moved, why) in [
        ("system_identifier = 1", "it is on another server"),
        ("database_oid = 1", "it is another database of the server"),
        ("timeline = 'FFFFFFFF'", "the server was recovered to an earlier moment"),
    ] {
        fixture
            .superuser_executes(&format!(
                "UPDATE host.origin SET {moved};
                 UPDATE host.invocation SET status = 'suspended', node_id = NULL, due_at = now(), cause = NULL"
            ))
            .await;
        let restored = Restored {
            why: why.into(),
            paused: 1,
        };
        assert_eq!(starts(&fixture, 0, false).await, Some(restored));
        assert_eq!(starts(&fixture, 0, false).await, None, "once");
        let row = fixture.store.row(open).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.node, row.due_ms),
            (InvocationStatus::Paused, None, None)
        );
        assert!(row.cause.unwrap().contains(why));
    }
    // The node of the original cannot go on here, whatever it still holds.
    assert!(matches!(fixture.store.heartbeat().await, Err(Error::NodeGone)));
    fixture
        .store
        .append(next_append(&fixture.store, open, 1))
        .await
        .unwrap_err();
    assert_eq!(fixture.value("SELECT count(*) FROM host.restoration").await, 3);
}

#[tokio::test]
async fn a_database_that_is_earlier_than_it_was_is_noticed_and_so_is_an_operators_word() {
    let fixture = fixture().await;
    begun(&fixture.store).await;
    assert_eq!(starts(&fixture, 0, false).await, None);
    let seen_ms = fixture.store.last_heartbeat_ms() + 1_001;
    let restored = starts(&fixture, seen_ms, false).await.unwrap();
    assert_eq!((restored.paused, restored.why.contains("earlier")), (1, true));
    assert_eq!(starts(&fixture, 0, true).await.map(|restored| restored.paused), Some(0));
}

#[tokio::test]
async fn what_was_seen_in_another_database_says_nothing_of_this_one() {
    let fixture = fixture().await;
    begun(&fixture.store).await;
    assert_eq!(fixture.store.check_origin(None, false).await.unwrap(), None);
    fixture.store.heartbeat().await.unwrap();
    let mut seen = fixture.store.last_seen().unwrap();
    seen.heartbeat_ms += 1_001;
    let kept: LastSeen = seen.to_string().parse().unwrap();
    assert_eq!(kept, seen, "what the data directory keeps is what was seen");

    let elsewhere = LastSeen {
        database: Some("7301/16384".into()),
        ..seen.clone()
    };
    assert_eq!(starts_having_seen(&fixture, &elsewhere, false).await, None);
    fixture.store.heartbeat().await.unwrap();
    seen.heartbeat_ms = fixture.store.last_heartbeat_ms() + 1_001;
    assert!(
        starts_having_seen(&fixture, &seen, false).await.is_some(),
        "here it was later"
    );
}

#[tokio::test]
async fn a_running_node_follows_a_failover_and_ends_when_the_database_has_forgotten_it() {
    let fixture = fixture().await;
    begun(&fixture.store).await;
    assert_eq!(starts(&fixture, 0, false).await, None);
    fixture
        .superuser_executes("UPDATE host.origin SET timeline = 'FFFFFFFF'")
        .await;
    fixture.store.heartbeat().await.unwrap();
    assert_eq!(
        starts(&fixture, 0, false).await,
        None,
        "a replica took over while the node lived"
    );

    fixture
        .superuser_executes("UPDATE host.node SET heartbeat_at = heartbeat_at - interval '1 minute'; UPDATE host.origin SET timeline = 'FFFFFFFF'")
        .await;
    assert!(matches!(fixture.store.heartbeat().await, Err(Error::NodeGone)));
    assert!(
        starts(&fixture, 0, false).await.is_some(),
        "and did not put the origin right"
    );
    let again = Store::connect(fixture.database.url(), options()).await.unwrap();
    again.register_node("one", MODULE_SESSIONS).await.unwrap();
}
