//! Partitions, retention, expiry.

use host_journal::{Append, AppendError, AppendJournal, InvocationStatus, Suspension};
use host_store::{Retentions, Upkeep};
use host_types::{Clock, InvocationId, PromiseId, SystemClock};
use sqlx::Connection;

use crate::support::{Fixture, begun, claim, execute, first_append, fixture, new_id, next_append};

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

/// 2020-01-15, and the month of it.
const LONG_AGO_MS: u64 = 1_579_046_400_000;
const LONG_AGO: &str = "journal_entry_202001";

/// A database with a partition of long ago.
async fn fixture_of_long_ago() -> Fixture {
    let fixture = fixture().await;
    let host_role = format!("{}_host", fixture.database.name());
    fixture
        .superuser_executes(&format!(
            "SET ROLE \"{host_role}\"; CREATE TABLE host.{LONG_AGO} PARTITION OF host.journal_entry
                 FOR VALUES FROM (host.month_boundary('2020-01-01')) TO (host.month_boundary('2020-02-01'))"
        ))
        .await;
    fixture
}

impl Fixture {
    /// An invocation of long ago, and whether it has ended.
    async fn of_long_ago(&self, entropy: u8, component: &str, has_ended: bool) -> InvocationId {
        let invocation = id_at(LONG_AGO_MS, entropy);
        let mut first = first_append(&self.store, invocation);
        first.start.as_mut().unwrap().component = component.into();
        self.store.append(first).await.unwrap();
        if has_ended {
            let status = Some(InvocationStatus::Completed);
            let last = Append {
                status,
                ..next_append(&self.store, invocation, 1)
            };
            self.store.append(last).await.unwrap();
        }
        invocation
    }

    /// As long ago as they were begun, they ended.
    async fn ended_long_ago(&self) {
        self.superuser_executes("UPDATE host.invocation SET ended_at = '2020-01-16' WHERE ended_at IS NOT NULL")
            .await;
    }

    async fn upkeep(&self, retentions: &Retentions) -> Upkeep {
        self.store
            .upkeep(retentions)
            .await
            .unwrap()
            .expect("nobody else is at it")
    }
}

fn kept_for(days: u64) -> Retentions {
    Retentions {
        default_ms: days * DAY_MS,
        ..Retentions::default()
    }
}

#[tokio::test]
async fn a_finished_month_is_dropped_and_its_stragglers_stay() {
    let fixture = fixture_of_long_ago().await;
    let store = &fixture.store;
    let done = fixture.of_long_ago(1, "order", true).await;
    let open = fixture.of_long_ago(2, "order", false).await;
    let keyed = id_at(LONG_AGO_MS, 3);
    let claim = Some(claim(1, 1));
    let status = Some(InvocationStatus::Completed);
    let first = first_append(store, keyed);
    store.append(Append { claim, ..first }).await.unwrap();
    let last = next_append(store, keyed, 1);
    store.append(Append { status, ..last }).await.unwrap();

    // All three ended, or go on, within the retention.
    let done_first = fixture.upkeep(&kept_for(30)).await;
    assert_eq!(
        (done_first.dropped, done_first.forgotten),
        (vec![LONG_AGO.to_owned()], 0)
    );
    assert_eq!(in_default(&fixture).await, 5);

    fixture.ended_long_ago().await;
    let done_then = fixture.upkeep(&kept_for(30)).await;
    assert_eq!((done_then.dropped, done_then.forgotten), (vec![], 1));
    assert_eq!(store.row(done).await.unwrap(), None);
    assert_eq!(store.bodies(done).await.unwrap(), []);
    assert_eq!(store.load(open).await.unwrap().unwrap().entries.len(), 1);
    assert_eq!(store.load(keyed).await.unwrap().unwrap().entries.len(), 2);
    store.append(next_append(store, open, 1)).await.unwrap();
    assert_eq!(
        fixture.upkeep(&kept_for(30)).await,
        Upkeep::default(),
        "there is nothing left to do"
    );
}

#[tokio::test]
async fn a_component_has_its_own_retention_and_the_longest_is_that_of_the_months() {
    let fixture = fixture_of_long_ago().await;
    let brief = fixture.of_long_ago(1, "chat", true).await;
    let open = fixture.of_long_ago(2, "chat", false).await;
    let long = fixture.of_long_ago(3, "order", true).await;
    fixture.ended_long_ago().await;
    fixture
        .superuser_executes(&format!(
            "INSERT INTO host.promise (id, invocation_id) VALUES (gen_random_uuid(), '{brief}'), (gen_random_uuid(), '{open}')"
        ))
        .await;

    let mut retentions = kept_for(365 * 100);
    retentions.of.insert("chat".into(), DAY_MS);
    let done = fixture.upkeep(&retentions).await;
    assert_eq!((done.dropped, done.forgotten), (vec![], 1));
    assert_eq!(fixture.store.row(brief).await.unwrap(), None);
    assert_eq!(fixture.store.bodies(brief).await.unwrap(), []);
    assert_eq!(fixture.store.load(long).await.unwrap().unwrap().entries.len(), 2);
    assert_eq!(fixture.store.load(open).await.unwrap().unwrap().entries.len(), 1);
    assert_eq!(
        fixture.value("SELECT count(*) FROM host.promise").await,
        1,
        "an invocation takes its promises along"
    );

    retentions.of.insert("order".into(), 2 * DAY_MS);
    retentions.default_ms = DAY_MS;
    let done = fixture.upkeep(&retentions).await;
    assert_eq!((done.dropped, done.forgotten), (vec![LONG_AGO.to_owned()], 1));
    assert_eq!(in_default(&fixture).await, 1, "what is open has moved");
}

#[tokio::test]
async fn what_somebody_waits_for_is_kept_with_whoever_made_it() {
    let fixture = fixture_of_long_ago().await;
    let store = &fixture.store;
    let (awaited, forgotten) = (
        fixture.of_long_ago(1, "order", true).await,
        fixture.of_long_ago(2, "order", true).await,
    );
    fixture.ended_long_ago().await;
    let promises = [1, 2].map(|entropy| PromiseId::new(LONG_AGO_MS, [entropy; 10]));
    for (owner, promise) in [awaited, forgotten].into_iter().zip(promises) {
        let made = format!("INSERT INTO host.promise (id, invocation_id) VALUES ('{promise}', '{owner}')");
        fixture.superuser_executes(&made).await;
    }
    let (waiting, ended) = (begun(store).await, begun(store).await);
    for (waiting, promise) in [waiting, ended].into_iter().zip(promises) {
        let suspension = Suspension {
            promises: vec![promise],
            ..Suspension::default()
        };
        let suspended = Append {
            suspension: Some(suspension),
            status: Some(InvocationStatus::Suspended),
            ..next_append(store, waiting, 1)
        };
        store.append(suspended).await.unwrap();
    }
    fixture
        .superuser_executes(&format!(
            "UPDATE host.invocation SET status = 'cancelled', ended_at = now() WHERE id = '{ended}'"
        ))
        .await;
    let done = fixture.upkeep(&kept_for(30)).await;
    assert_eq!((done.dropped, done.forgotten), (vec![LONG_AGO.to_owned()], 1));
    assert_eq!(store.row(forgotten).await.unwrap(), None);
    assert_eq!(store.load(awaited).await.unwrap().unwrap().entries.len(), 2);
    assert!(store.promise(promises[0]).await.unwrap().is_some());

    fixture.superuser_executes("DELETE FROM host.promise_waiter").await;
    assert_eq!(fixture.upkeep(&kept_for(30)).await.forgotten, 1);
    assert_eq!(store.promise(promises[0]).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_begun_late_does_not_go_with_its_month() {
    let fixture = fixture_of_long_ago().await;
    let counted = fixture.of_long_ago(1, "order", false).await;
    // A delivery, dated like its event: begun when the month's stragglers were counted already.
    let late = fixture.of_long_ago(2, "order", false).await;
    fixture
        .superuser_executes(&format!(
            "SELECT host.detach_month('{LONG_AGO}', ARRAY['{counted}'::uuid])"
        ))
        .await;
    assert_eq!(fixture.upkeep(&kept_for(1)).await, Upkeep::default());
    for open in [counted, late] {
        assert_eq!(fixture.store.load(open).await.unwrap().unwrap().entries.len(), 1);
    }
}

#[tokio::test]
async fn whatever_the_number_they_are_forgotten_a_part_at_a_time() {
    let fixture = fixture_of_long_ago().await;
    let count = 2_345;
    fixture
        .superuser_executes(&format!(
            "INSERT INTO host.invocation (id, component, function, deployment, status, ended_at)
                 SELECT (lpad(to_hex({LONG_AGO_MS} + number), 12, '0') || repeat('7', 20))::uuid, 'order', 'f', 1, 'completed', '2020-01-16'
                 FROM generate_series(1, {count}) AS number;
             INSERT INTO host.journal_entry SELECT id, 0, '' FROM host.invocation"
        ))
        .await;
    let open = fixture.of_long_ago(9, "order", false).await;
    let done = fixture.upkeep(&kept_for(1)).await;
    assert_eq!((done.forgotten, done.dropped), (count, vec![LONG_AGO.to_owned()]));
    assert_eq!(fixture.value("SELECT count(*) FROM host.invocation").await, 1);
    assert_eq!(fixture.store.load(open).await.unwrap().unwrap().entries.len(), 1);
}

/// The month after that of long ago.
const LATER: &str = "journal_entry_202002";
const LATER_MS: u64 = LONG_AGO_MS + 31 * DAY_MS;

impl Fixture {
    async fn with_a_later_month(self) -> Self {
        let host_role = format!("{}_host", self.database.name());
        self.superuser_executes(&format!(
            "SET ROLE \"{host_role}\"; CREATE TABLE host.{LATER} PARTITION OF host.journal_entry
                 FOR VALUES FROM (host.month_boundary('2020-02-01')) TO (host.month_boundary('2020-03-01'))"
        ))
        .await;
        let first = first_append(&self.store, id_at(LATER_MS, 7));
        self.store.append(first).await.unwrap();
        self
    }
}

#[tokio::test]
async fn months_are_kept_while_appends_leave_no_moment() {
    let fixture = fixture_of_long_ago().await.with_a_later_month().await;
    fixture.of_long_ago(1, "order", false).await;
    let mut session = fixture.superuser().await;
    execute(
        &mut session,
        "BEGIN; LOCK TABLE host.journal_entry IN ROW EXCLUSIVE MODE",
    )
    .await
    .unwrap();
    let kept = Upkeep {
        kept: vec![LONG_AGO.to_owned(), LATER.to_owned()],
        ..Upkeep::default()
    };
    assert_eq!(fixture.upkeep(&kept_for(1)).await, kept);
    execute(&mut session, "COMMIT").await.unwrap();
    assert_eq!(fixture.upkeep(&kept_for(1)).await.dropped, [LONG_AGO, LATER]);
}

#[tokio::test]
async fn a_month_of_which_much_is_open_goes_too_and_what_is_left_takes_its_place() {
    let fixture = fixture_of_long_ago().await.with_a_later_month().await;
    let store = &fixture.store;
    let (open, late) = (
        fixture.of_long_ago(1, "order", false).await,
        fixture.of_long_ago(2, "order", false).await,
    );
    let (copied, done) = (
        fixture.of_long_ago(3, "order", true).await,
        fixture.of_long_ago(4, "order", true).await,
    );
    fixture
        .superuser_executes(&format!(
            "INSERT INTO host.journal_entry SELECT '{open}', number, '' FROM generate_series(1, 6000) AS number"
        ))
        .await;
    // Somebody began to copy and died. What was copied is forgotten meanwhile, and what goes on has gone on.
    let copies = format!(
        "SELECT host.copy_stragglers('{LONG_AGO}', host.month_boundary('2020-01-01'), host.month_boundary('2020-02-01'), \
         '00000000-0000-0000-0000-000000000000', 10)"
    );
    fixture.superuser_executes(&copies).await;
    store.append(next_append(store, late, 1)).await.unwrap();
    fixture.ended_long_ago().await;

    let there = fixture.upkeep(&kept_for(1)).await;
    assert_eq!(
        (there.dropped, there.kept, there.forgotten),
        (vec![LONG_AGO.to_owned(), LATER.to_owned()], vec![], 2)
    );
    assert_eq!(
        fixture
            .value(&format!("SELECT count(*) FROM host.{LONG_AGO}_rest"))
            .await,
        6_001 + 2
    );
    for gone in [copied, done] {
        assert_eq!(store.bodies(gone).await.unwrap(), []);
    }
    assert_eq!(store.bodies(open).await.unwrap().len(), 6_001);
    // It is a part of the table like every other.
    store.append(next_append(store, late, 2)).await.unwrap();
    assert_eq!(
        store.append(next_append(store, late, 2)).await,
        Err(AppendError::Fenced)
    );
    assert_eq!(store.load(late).await.unwrap().unwrap().entries.len(), 3);
    assert_eq!(fixture.upkeep(&kept_for(1)).await, Upkeep::default());

    fixture
        .superuser_executes(&format!(
            "UPDATE host.invocation SET status = 'cancelled', node_id = NULL, ended_at = '2020-03-16'
             WHERE id IN ('{open}', '{late}')"
        ))
        .await;
    assert_eq!(fixture.upkeep(&kept_for(1)).await.forgotten, 2);
    let rests = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'journal_entry%rest'";
    assert_eq!(fixture.value(rests).await, 0);
}

#[tokio::test]
async fn one_node_at_a_time_does_it_and_finishes_what_a_dead_one_began() {
    let fixture = fixture_of_long_ago().await;
    let open = fixture.of_long_ago(1, "order", false).await;
    let mut other = fixture.superuser().await;
    execute(&mut other, "SELECT pg_advisory_lock(x'75706b656570'::bigint)")
        .await
        .unwrap();
    assert_eq!(fixture.store.upkeep(&kept_for(1)).await.unwrap(), None);
    // It dies after it took the month out, and before it dropped it.
    execute(
        &mut other,
        &format!("SELECT host.detach_month('{LONG_AGO}', ARRAY['{open}'::uuid])"),
    )
    .await
    .unwrap();
    other.close().await.unwrap();

    let there = format!("SELECT count(*) FROM pg_tables WHERE tablename = '{LONG_AGO}'");
    assert_eq!(fixture.value(&there).await, 1);
    let done = loop {
        // The server takes a moment to notice that a session has ended.
        if let Some(done) = fixture.store.upkeep(&kept_for(1)).await.unwrap() {
            break done;
        }
    };
    assert_eq!(done, Upkeep::default());
    assert_eq!(fixture.value(&there).await, 0);
    assert_eq!(fixture.store.load(open).await.unwrap().unwrap().entries.len(), 1);
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
    assert_eq!(fixture.upkeep(&kept_for(1)).await.expired, 0);
    fixture
        .superuser_executes("UPDATE host.idempotency_key SET expires_at = now() WHERE get_byte(key, 0) < 3")
        .await;
    assert_eq!(fixture.upkeep(&kept_for(1)).await.expired, 2);
    assert!(store.find_key(&claim(3, 0)).await.unwrap().is_some());
}

#[tokio::test]
async fn nodes_are_forgotten_a_week_after_they_went_empty() {
    let fixture = fixture().await;
    let other = crate::support::node(&fixture.database, "two").await;
    begun(&fixture.store).await;
    fixture
        .superuser_executes("UPDATE host.node SET gone_at = now() - interval '8 days'")
        .await;
    assert_eq!(fixture.upkeep(&kept_for(1)).await.expired, 1);
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
