//! Requests counted for all nodes together: none twice, none not at all, and windows that end by the database's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use host_store::RequestCount;

use crate::support::{Fixture, execute, fixture, node};

const MINUTE_S: u32 = 60;
const BUCKET: &str = "order/checkout/60 account a1";

/// The window of every bucket ends this moment.
async fn windows_end(fixture: &Fixture) {
    fixture
        .superuser_executes("UPDATE host.rate_count SET ends_at = now()")
        .await;
}

#[tokio::test]
async fn nodes_share_a_bucket_and_none_of_their_requests_has_the_number_of_another() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let mut counting = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = if number % 2 == 0 { &fixture.store } else { &other }.clone();
        counting.spawn(async move { store.count_request(BUCKET, MINUTE_S).await.unwrap().requests });
    }
    let numbers: BTreeSet<u64> = counting.join_all().await.into_iter().collect();
    assert_eq!(numbers, (1..=40).collect());
    other.close().await;
}

#[tokio::test]
async fn a_window_begins_with_a_request_and_ends_by_the_databases_clock_for_all() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let first = fixture.store.count_request(BUCKET, MINUTE_S).await.unwrap();
    assert_eq!(
        first,
        RequestCount {
            requests: 1,
            left_ms: 60_000
        }
    );
    let second = other.count_request(BUCKET, MINUTE_S).await.unwrap();
    assert!(second.requests == 2 && second.left_ms <= 60_000, "{second:?}");
    fixture
        .superuser_executes("UPDATE host.rate_count SET ends_at = now() + interval '1500 ms'")
        .await;
    let third = fixture.store.count_request(BUCKET, MINUTE_S).await.unwrap();
    assert!(third.requests == 3 && third.left_ms <= 1_500, "{third:?}");

    windows_end(&fixture).await;
    assert_eq!(other.count_request(BUCKET, MINUTE_S).await.unwrap(), first);
    assert_eq!(fixture.store.count_request(BUCKET, MINUTE_S).await.unwrap().requests, 2);
    other.close().await;
}

#[tokio::test]
async fn buckets_are_counted_apart_and_name_nobody() {
    let fixture = fixture().await;
    for bucket in [
        BUCKET,
        "order/checkout/60 account a2",
        "account/login/60 address 192.0.2.7",
    ] {
        assert_eq!(fixture.store.count_request(bucket, MINUTE_S).await.unwrap().requests, 1);
    }
    let naming =
        "SELECT count(*) FROM host.rate_count WHERE convert_from(bucket, 'LATIN1') ~ '192.0.2.7|a[12]|checkout'
                  OR bucket = sha256('order/checkout/60 account a1')";
    assert_eq!(fixture.value(naming).await, 0);
    assert_eq!(fixture.value("SELECT count(*) FROM host.rate_count").await, 3);
}

#[tokio::test]
async fn a_count_waits_for_no_disk_and_not_for_long() {
    let fixture = fixture().await;
    let unlogged = "SELECT count(*) FROM pg_class WHERE oid = 'host.rate_count'::regclass AND relpersistence = 'u'";
    assert_eq!(fixture.value(unlogged).await, 1);
    let mut holder = fixture.superuser().await;
    execute(
        &mut holder,
        "BEGIN; LOCK TABLE host.rate_count IN ACCESS EXCLUSIVE MODE",
    )
    .await
    .unwrap();
    let counting = fixture.store.count_request(BUCKET, MINUTE_S);
    let counted = tokio::time::timeout(Duration::from_secs(10), counting).await;
    assert!(counted.expect("it gives up by itself").is_err());
    // Meanwhile everything else of this node has its connections.
    assert_eq!(fixture.store.next_due().await.unwrap(), None);
    execute(&mut holder, "COMMIT").await.unwrap();
    assert_eq!(fixture.store.count_request(BUCKET, MINUTE_S).await.unwrap().requests, 1);
}

#[tokio::test]
async fn counts_are_forgotten_when_their_window_is_over() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.count_request(BUCKET, MINUTE_S).await.unwrap();
    windows_end(&fixture).await;
    store.count_request("another", MINUTE_S).await.unwrap();
    let done = store.upkeep(&host_store::Retentions::default()).await.unwrap();
    assert_eq!(done.expect("nobody else is at it").expired, 1);
    assert_eq!(store.count_request("another", MINUTE_S).await.unwrap().requests, 2);
}
