//! Partitions, retention, expiry.

use host_journal::{Append, AppendJournal, InvocationStatus};
use host_types::{Clock, InvocationId, SystemClock};

use crate::support::{Fixture, begun, claim, first_append, fixture, new_id, next_append};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How many entries lie in the default partition.
async fn in_default(fixture: &Fixture) -> i64 {
    fixture.value("SELECT count(*) FROM host.journal_entry_default").await
}

fn id_at(unix_ms: u64, entropy: u8) -> InvocationId {
    InvocationId::new(unix_ms, [entropy; 10])
}

#[tokio::test]
async fn there_is_a_partition_for_now_and_for_the_months_to_come() {
    let fixture = fixture().await;
    let store = &fixture.store;
    assert_eq!(store.create_partitions().await.unwrap(), 0);
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'host.journal_entry'::regclass";
    assert_eq!(fixture.value(partitions).await, 4);

    for (entropy, days) in [0, 28, 59].into_iter().enumerate() {
        let invocation = id_at(SystemClock.unix_ms() + days * DAY_MS, entropy as u8);
        store.append(first_append(store, invocation)).await.unwrap();
    }
    assert_eq!(in_default(&fixture).await, 0);
    // Beyond all partitions nothing is refused.
    store
        .append(first_append(store, id_at(SystemClock.unix_ms() + 200 * DAY_MS, 9)))
        .await
        .unwrap();
    assert_eq!(in_default(&fixture).await, 1);
}

#[tokio::test]
async fn a_late_partition_takes_what_waits_in_the_default_one() {
    let fixture = fixture().await;
    let store = &fixture.store;
    fixture
        .superuser_executes(
            "DO $$ BEGIN EXECUTE format('DROP TABLE host.journal_entry_%s', to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')); END $$",
        )
        .await;
    let invocation = begun(store).await;
    assert_eq!(in_default(&fixture).await, 1);
    assert_eq!(store.create_partitions().await.unwrap(), 1);
    assert_eq!(in_default(&fixture).await, 0);
    store.append(next_append(store, invocation, 1)).await.unwrap();
    assert_eq!(store.load(invocation).await.unwrap().unwrap().entries.len(), 2);
}

#[tokio::test]
async fn a_finished_month_is_dropped_and_its_stragglers_stay() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let host_role = format!("{}_host", fixture.database.name());
    fixture
        .superuser_executes(&format!(
            "SET ROLE \"{host_role}\"; CREATE TABLE host.journal_entry_202001 PARTITION OF host.journal_entry
                 FOR VALUES FROM (host.month_boundary('2020-01-01')) TO (host.month_boundary('2020-02-01'))"
        ))
        .await;
    // 2020-01-15.
    let [done, open, keyed] = [1, 2, 3].map(|entropy| id_at(1_579_046_400_000, entropy));
    for invocation in [done, open, keyed] {
        let claim = (invocation == keyed).then(|| claim(1, 1));
        store
            .append(Append {
                claim,
                ..first_append(store, invocation)
            })
            .await
            .unwrap();
    }
    for invocation in [done, keyed] {
        let status = Some(InvocationStatus::Completed);
        store
            .append(Append {
                status,
                ..next_append(store, invocation, 1)
            })
            .await
            .unwrap();
    }
    assert_eq!(
        store.drop_finished(30 * DAY_MS).await.unwrap(),
        ["journal_entry_202001"]
    );
    // All three ended, or go on, within the retention.
    assert_eq!(in_default(&fixture).await, 5);

    fixture
        .superuser_executes("UPDATE host.invocation SET ended_at = '2020-01-16' WHERE ended_at IS NOT NULL")
        .await;
    assert_eq!(store.drop_finished(30 * DAY_MS).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.row(done).await.unwrap(), None);
    assert_eq!(store.bodies(done).await.unwrap(), []);
    assert_eq!(store.load(open).await.unwrap().unwrap().entries.len(), 1);
    assert_eq!(store.load(keyed).await.unwrap().unwrap().entries.len(), 2);
    store.append(next_append(store, open, 1)).await.unwrap();
}

#[tokio::test]
async fn keys_are_forgotten_when_their_time_is_over() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for key in 1..=3 {
        store
            .append(Append {
                claim: Some(claim(key, 0)),
                ..first_append(store, new_id())
            })
            .await
            .unwrap();
    }
    assert_eq!(store.expire_keys().await.unwrap(), 0);
    fixture
        .superuser_executes("UPDATE host.idempotency_key SET expires_at = now() WHERE get_byte(key, 0) < 3")
        .await;
    assert_eq!(store.expire_keys().await.unwrap(), 2);
    assert!(store.find_key(&[3; 32]).await.unwrap().is_some());
}

#[tokio::test]
async fn nodes_are_forgotten_a_week_after_they_went_empty() {
    let fixture = fixture().await;
    let other = crate::support::node(&fixture.database, "two").await;
    begun(&fixture.store).await;
    fixture
        .superuser_executes("UPDATE host.node SET gone_at = now() - interval '8 days'")
        .await;
    assert_eq!(fixture.store.forget_nodes().await.unwrap(), 1);
    let left: Vec<_> = fixture
        .store
        .nodes()
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.node)
        .collect();
    assert_eq!(left, [fixture.store.node()]);
    drop(other);
}
