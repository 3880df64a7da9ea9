//! Events: numbered in the order of the commits of their key, read without a gap, forgotten when they are past their time and delivered.

use host_journal::{Append, AppendJournal, ExclusiveKey, HostStatement, Message, Publication, Suspension, encode};
use host_store::{Asked, AuditFilter, Head, Store, StoreOptions, StoredEvent, Subscription, SubscriptionId};
use host_types::{EventId, InvocationId, PromiseId};
use sqlx::{Connection, PgConnection};

use crate::support::{Fixture, MODULE_SESSIONS, first_append, fixture, new_id, options, run, start, started};

/// An invocation's append that publishes under these keys.
fn publishing(fixture: &Fixture, number: u8, keys: &[&str], expires_ms: u64) -> Append {
    let invocation = InvocationId::new(1_700_000_000_000, [number; 10]);
    let publication = |(index, key): (usize, &&str)| {
        let event = EventId::new(1_700_000_000_000, [number.wrapping_add(100 * (index as u8 + 1)); 10]);
        let seal = fixture.store.seal(InvocationId(event.0), None);
        Publication {
            event,
            topic: "news.good".into(),
            key: (*key).to_owned(),
            content_type: "text/plain".into(),
            payload: seal.seal(0, format!("{key} {number}").as_bytes()),
            component: "teller".into(),
            published_ms: 1_700_000_000_000,
            expires_ms,
            trace_parent: TRACE_PARENT.into(),
        }
    };
    Append {
        publications: keys.iter().enumerate().map(publication).collect(),
        ..first_append(&fixture.store, invocation)
    }
}

const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Far from now.
const LATER: u64 = 4_000_000_000_000;

async fn write(fixture: &Fixture, session: &mut PgConnection, append: &Append) {
    for statement in fixture.store.append_statements(append) {
        run(session, &statement).await.unwrap();
    }
}

async fn contents(fixture: &Fixture, key: &str, after: i64) -> Vec<String> {
    let events = fixture
        .store
        .events_after(&[(key.to_owned(), after)], 10)
        .await
        .unwrap();
    let content = |event: StoredEvent| {
        assert_eq!(event.trace_parent, TRACE_PARENT);
        String::from_utf8(event.payload).unwrap()
    };
    events.into_iter().map(content).collect()
}

#[tokio::test]
async fn a_late_commit_is_not_missed_and_a_key_has_one_order() {
    let fixture = fixture().await;
    let (login, mut late) = fixture.module("teller").await;
    let mut other = fixture.session(&login).await;
    let from = fixture.store.news(None).await.unwrap().from;
    // Numbered first, and committed last.
    let mut open = late.begin().await.unwrap();
    write(&fixture, &mut open, &publishing(&fixture, 1, &["a"], LATER)).await;
    let mut transaction = other.begin().await.unwrap();
    write(&fixture, &mut transaction, &publishing(&fixture, 2, &["b"], LATER)).await;
    transaction.commit().await.unwrap();
    let news = fixture.store.news(Some(from)).await.unwrap();
    assert_eq!(news.keys.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b"]);

    // Whoever publishes under the same key waits, so that its number is greater and seen later.
    let third = publishing(&fixture, 3, &["a"], LATER);
    let waiting = async {
        let mut transaction = other.begin().await.unwrap();
        write(&fixture, &mut transaction, &third).await;
        transaction.commit().await.unwrap();
    };
    let ending = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while fixture.value(waits).await == 0 {}
        assert!(contents(&fixture, "a", 0).await.is_empty());
        open.commit().await.unwrap();
    };
    tokio::join!(waiting, ending);
    let mut news = fixture.store.news(Some(news.from)).await.unwrap();
    news.keys.sort();
    assert_eq!(news.keys[0].0, "a");
    assert_eq!(contents(&fixture, "a", 0).await, ["a 1", "a 3"]);
    let newest = fixture.store.newest_event("a").await.unwrap();
    assert_eq!(news.keys[0].1, newest);
    assert!(contents(&fixture, "a", newest).await.is_empty());
    // Once nobody is at work whose transaction began before, nothing is told twice. Others use the same server.
    while !news.keys.is_empty() {
        news = fixture.store.news(Some(news.from)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_delivered_is_forgotten_in_its_time_and_nothing_else() {
    let fixture = fixture().await;
    let placed = Subscription {
        component: "listener".into(),
        name: "placed".into(),
        patterns: vec!["news.*".into()],
        blocks: true,
    };
    let append = |number, keys: &'static [&str], expires_ms| {
        fixture.store.append(publishing(&fixture, number, keys, expires_ms))
    };
    append(1, &["old"], 1).await.unwrap();
    let ids = fixture
        .store
        .register_subscriptions(std::slice::from_ref(&placed))
        .await
        .unwrap();
    append(2, &["undelivered"], 1).await.unwrap();
    append(3, &["new"], LATER).await.unwrap();
    // Only what came after the subscription is delivered to it.
    assert_eq!(fixture.value("SELECT count(*) FROM host.delivery").await, 2);
    assert_eq!(fixture.store.expire_events().await.unwrap(), 1);
    assert_eq!(fixture.value("SELECT count(*) FROM host.event").await, 2);

    // Without it in any manifest nothing is added, and what waits stays; back again it is the same.
    assert!(fixture.store.register_subscriptions(&[]).await.unwrap().is_empty());
    append(4, &["new"], LATER).await.unwrap();
    assert_eq!(fixture.value("SELECT count(*) FROM host.delivery").await, 2);
    assert_eq!(fixture.store.register_subscriptions(&[placed]).await.unwrap(), ids);
    append(5, &["new", "new"], LATER).await.unwrap();
    assert_eq!(fixture.value("SELECT count(*) FROM host.delivery").await, 4);
    fixture.superuser_executes("DELETE FROM host.delivery").await;
    assert_eq!(fixture.store.expire_events().await.unwrap(), 1);
}

#[tokio::test]
async fn what_waits_for_a_retired_subscription_is_kept_until_an_operator_drops_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let heard = |name: &str| Subscription {
        component: "listener".into(),
        name: name.into(),
        patterns: vec!["news.*".into()],
        blocks: true,
    };
    let (gone, stays) = (heard("gone"), heard("stays"));
    store
        .register_subscriptions(&[gone.clone(), stays.clone()])
        .await
        .unwrap();
    store.append(publishing(&fixture, 1, &["a", "b"], 1)).await.unwrap();
    fixture
        .superuser_executes(
            "DELETE FROM host.delivery USING host.subscription WHERE id = subscription AND name = 'stays'",
        )
        .await;
    let listener = "listener".into();
    let drop = async |name: &str| store.drop_retired(&listener, name, "ann", "no use").await.unwrap();
    assert_eq!(drop("gone").await, 0, "somebody has it");
    assert_eq!(store.retired(None, None).await.unwrap(), []);

    store.register_subscriptions(&[stays]).await.unwrap();
    assert_eq!(store.expire_events().await.unwrap(), 0, "they wait for its return");
    let retired = store.retired(Some(&listener), Some("gone")).await.unwrap();
    assert_eq!(retired.len(), 1);
    assert_eq!((&*retired[0].name, retired[0].waiting), ("gone", 2));
    assert_eq!(store.retired(None, Some("stays")).await.unwrap(), []);

    assert_eq!(drop("gone").await, 2);
    assert_eq!(drop("gone").await, 0, "said again, it is done already");
    assert_eq!(drop("unknown").await, 0);
    assert_eq!(store.retired(None, None).await.unwrap(), []);
    assert_eq!(store.expire_events().await.unwrap(), 2);
    assert_eq!(
        fixture
            .value("SELECT count(*) FROM host.lane_wakeup WHERE subscription = 1")
            .await,
        0
    );
    let filter = AuditFilter {
        component: Some(listener),
        limit: 9,
        ..AuditFilter::default()
    };
    let said = store.audit(&filter).await.unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(
        (&*said[0].verb, &*said[0].operator, &*said[0].reason),
        ("drop", "ann", "no use")
    );
}

#[tokio::test]
async fn each_subscription_has_its_own_patterns_and_they_are_told_in_the_order_of_the_manifest() {
    let fixture = fixture().await;
    let said = |component: &str, name: &str, patterns: &[&str]| Subscription {
        component: component.into(),
        name: name.into(),
        patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        blocks: name == "placed",
    };
    let stored = async |id: SubscriptionId| -> (String, String, Vec<String>, bool) {
        sqlx::query_as("SELECT component, name, patterns, blocks FROM host.subscription WHERE id = $1")
            .bind(id.0)
            .fetch_one(&mut fixture.superuser().await)
            .await
            .unwrap()
    };
    let manifest = [
        said("teller", "placed", &["z.*", "a.placed"]),
        said("listener", "placed", &["news.*"]),
        said("listener", "a", &["b", "a", "c.*"]),
    ];
    let ids = fixture.store.register_subscriptions(&manifest).await.unwrap();
    // Another time in another order, and with other patterns.
    let changed = [
        manifest[2].clone(),
        said("teller", "placed", &["y"]),
        manifest[1].clone(),
    ];
    let again = fixture.store.register_subscriptions(&changed).await.unwrap();
    assert_eq!(again, [ids[2], ids[0], ids[1]]);
    for (id, subscription) in again.into_iter().zip(changed) {
        let Subscription {
            component,
            name,
            patterns,
            blocks,
        } = subscription;
        assert_eq!(stored(id).await, (component.to_string(), name, patterns, blocks));
    }
}

#[tokio::test]
async fn another_nodes_manifest_does_not_retire_what_a_live_one_serves() {
    let fixture = fixture().await;
    let placed = Subscription {
        component: "listener".into(),
        name: "placed".into(),
        patterns: vec!["news.good".into()],
        blocks: false,
    };
    fixture.store.register_subscriptions(&[placed]).await.unwrap();
    let second = crate::support::node(&fixture.database, "two").await;
    second.register_subscriptions(&[]).await.unwrap();
    fixture
        .store
        .append(publishing(&fixture, 1, &["a"], LATER))
        .await
        .unwrap();
    assert_eq!(fixture.value("SELECT count(*) FROM host.delivery").await, 1);
    fixture
        .superuser_executes("UPDATE host.node SET gone_at = now() WHERE name = 'one'")
        .await;
    second.register_subscriptions(&[]).await.unwrap();
    second.append(publishing(&fixture, 2, &["a"], LATER)).await.unwrap();
    assert_eq!(fixture.value("SELECT count(*) FROM host.delivery").await, 1);
}

#[tokio::test]
async fn what_cannot_be_read_for_the_moment_is_delivered_at_the_next_look() {
    let fixture = fixture().await;
    let options = StoreOptions {
        max_connections: 1,
        ..options()
    };
    let narrow = Store::connect(fixture.database.url(), options).await.unwrap();
    narrow.migrate_host().await.unwrap();
    narrow.register_node("narrow", MODULE_SESSIONS).await.unwrap();
    let placed = Subscription {
        component: "listener".into(),
        name: "placed".into(),
        patterns: vec!["news.*".into()],
        blocks: true,
    };
    let ids = narrow.register_subscriptions(&[placed]).await.unwrap();
    // Sealed with a key that the node has not loaded, and its only connection is in use.
    fixture.store.rotate_data_key().await.unwrap();
    fixture
        .store
        .append(publishing(&fixture, 1, &["a"], LATER))
        .await
        .unwrap();
    let asked = [Asked {
        subscription: ids[0],
        limit: 1,
    }];
    let unread = narrow.begin_deliveries(&asked, |_| None).await;
    assert!(matches!(&unread, Err(error) if error.is_transient()), "{unread:?}");

    narrow.refresh_keys().await.unwrap();
    let invocation = new_id();
    let message = |_: &Head| {
        Some(Message {
            invocation,
            started: encode(&started(0), &*narrow.seal(invocation, None)),
            start: start(),
            due_ms: 0,
            workflow: None,
        })
    };
    let begun = narrow.begin_deliveries(&asked, message).await.unwrap();
    assert_eq!(begun.lanes, 1);
    assert_eq!(begun.deliveries[0].0.event.payload, b"a 1");
}

#[tokio::test]
async fn an_append_publishes_behind_all_it_may_have_to_wait_for() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let key = ExclusiveKey::new("desk".into(), "a:b/c", "serve", &[1]).id;
    let append = Append {
        releases: vec![key],
        suspension: Some(Suspension {
            promises: vec![PromiseId(new_id().0)],
            keys: vec![key],
            ..Suspension::default()
        }),
        ..publishing(&fixture, 1, &["one"], 0)
    };
    let called = |statement: &HostStatement| {
        let (_, call) = statement.sql.split_once("host.").unwrap();
        call.split_once('(').unwrap().0.to_owned()
    };
    let calls: Vec<_> = store.append_statements(&append).iter().map(called).collect();
    let expected = [
        "lock_waits_of",
        "start",
        "give_up_places",
        "suspend",
        "suspend_for_keys",
        "publish_traced",
    ];
    assert_eq!(calls, expected);
}
