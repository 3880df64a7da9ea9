//! A start where there is little to start on.

use std::time::Duration;

use host_postgres::test_support::{TestDatabase, fresh_database};
use host_store::{Error, GoneBecause, Store, Subscription};
use host_types::Digest;
use sqlx::postgres::PgConnectOptions;

use crate::proxy;
use crate::support::{MODULE_SESSIONS, execute, fixture, node, options};

/// Longer than a request waits for a connection.
const SLOW: Duration = Duration::from_millis(1_500);

/// Longer than a node that is frozen is waited for, wherever it is.
const SOON: Duration = Duration::from_secs(30);

/// The database's URL through a proxy that takes its time with every new connection, as a starved machine does.
async fn slowly(database: &TestDatabase) -> String {
    let (listener, url) = proxy::listen(database).await;
    let server: PgConnectOptions = database.url().parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                tokio::time::sleep(SLOW).await;
                let mut server = proxy::connect(&server).await?;
                // Either side may close at any time.
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    url
}

#[tokio::test]
async fn a_start_waits_for_a_connection_longer_than_a_request_does() {
    let database = fresh_database("slow").await.unwrap();
    let url = slowly(&database).await;
    let store = Store::connect(&url, options()).await.unwrap();
    store.migrate_host().await.unwrap();
    let registered = store.register_node("slow", MODULE_SESSIONS).await.unwrap();
    assert_eq!(registered.predecessors, []);

    store.serve().await;
    let refused = store.nodes().await.unwrap_err();
    assert!(matches!(refused, Error::Busy), "{refused:?}");
}

#[tokio::test]
async fn a_node_too_many_for_the_server_does_not_start() {
    let fixture = fixture().await;
    let mut superuser = fixture.superuser().await;
    // Two nodes of 8 + 6 + 2 + 1 for the store and 4 for modules have room in 42, three do not.
    let limit = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 42", fixture.database.name());
    execute(&mut superuser, &limit).await.unwrap();
    let second = node(&fixture.database, "two").await;

    let third = Store::connect(fixture.database.url(), options()).await.unwrap();
    let refused = third.register_node("three", MODULE_SESSIONS).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "this node would need 21 connections beside the 42 of 2 others, and the server allows 42: raise its max_connections, or stop \
         a node"
    );
    assert_eq!(third.nodes().await.unwrap().len(), 2, "it left nothing behind");

    // A predecessor in the same data directory is dead, and so is one whose lease ran out.
    let successor = Store::connect(fixture.database.url(), options()).await.unwrap();
    successor.register_node("two", MODULE_SESSIONS).await.unwrap();
    let silent = format!(
        "UPDATE host.node SET heartbeat_at = now() - interval '6 s' WHERE id = '{}' OR name = 'one'",
        second.node()
    );
    execute(&mut superuser, &silent).await.unwrap();
    third.register_node("three", MODULE_SESSIONS).await.unwrap();
}

#[tokio::test]
async fn each_node_counts_with_what_it_opens_and_not_with_what_the_next_one_would() {
    let fixture = fixture().await;
    let mut superuser = fixture.superuser().await;
    // 21 of the first.
    let limit = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 64", fixture.database.name());
    execute(&mut superuser, &limit).await.unwrap();
    let connect = async || Store::connect(fixture.database.url(), options()).await.unwrap();
    let large = connect().await;
    let refused = large.register_node("large", 30).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::TooManyNodes {
                others: 1,
                taken: 21,
                connections: 47,
                allowed: 64
            }
        ),
        "{refused:?}"
    );
    large.register_node("large", 20).await.unwrap();
    // 6 are left: too few for a small one, which by its own measure would have found room for three of its kind.
    let refused = connect().await.register_node("small", 0).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::TooManyNodes {
                taken: 58,
                connections: 17,
                ..
            }
        ),
        "{refused:?}"
    );
    // A node that is older than the count is taken for one like ourselves.
    execute(
        &mut superuser,
        "UPDATE host.node SET connections = NULL WHERE name = 'large'",
    )
    .await
    .unwrap();
    connect().await.register_node("small", 0).await.unwrap();
}

/// What a node says of itself when it starts, once it has migrated. With its own set of components, each time another one.
async fn start(store: &Store, name: &str, set: usize) {
    let placed = Subscription {
        component: "order".into(),
        name: "placed".into(),
        patterns: vec!["news.*".into()],
        blocks: true,
    };
    let wasm = set.to_string();
    let set = [("order".into(), Digest::of(wasm.as_bytes()), wasm.as_bytes())];
    store.register_node(name, MODULE_SESSIONS).await.unwrap();
    let deployment = store.register_deployment(&set, None).await.unwrap();
    assert!(store.acknowledge_first(0, deployment).await.unwrap());
    store.register_subscriptions(&[placed]).await.unwrap();
}

#[tokio::test]
async fn a_node_that_freezes_while_it_starts_keeps_no_other_from_starting() {
    let fixture = fixture().await;
    let starts = async |node: &Store, set| start(node, "frozen", set).await;
    let others_do = async |set| {
        let other = Store::connect(fixture.database.url(), options()).await.unwrap();
        start(&other, "other", set).await;
        // It makes room for the next one.
        let gone = other.mark_gone(other.node(), GoneBecause::ProcessEnded).await;
        assert!(gone.unwrap());
        other.close().await;
    };
    proxy::frozen_after_each_question(&fixture.database, starts, others_do).await;
}

#[tokio::test]
async fn a_node_that_freezes_while_it_migrates_is_not_waited_for_longer_than_a_few_seconds() {
    let fixture = fixture().await;
    // It has the lock by then.
    let questions = 8;
    let migrates = async |node: &Store| node.migrate_host().await.unwrap();
    let others_do = async || {
        let other = Store::connect(fixture.database.url(), options()).await.unwrap();
        let mut migrating = std::pin::pin!(other.migrate_host());
        let at_once = tokio::time::timeout(SLOW, &mut migrating).await;
        assert!(at_once.is_err(), "it had no lock");
        tokio::time::timeout(SOON, migrating).await.unwrap().unwrap();
    };
    assert!(proxy::frozen_after(&fixture.database, questions, migrates, others_do).await);
}
