//! Databases for tests are fresh, shared servers are shared, and nothing stays.

use host_postgres::test_support::{TestDatabase, TestServer, fresh_database, shared_test_server};
use host_postgres::{Programs, Settings};

use crate::support::client;

#[tokio::test]
async fn a_fresh_database_is_empty_and_is_dropped_even_while_in_use() {
    let database = fresh_database("fresh").await.unwrap();
    let inside = client(database.url()).await;
    let current: String = inside
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(current, database.name());
    inside.batch_execute("CREATE TABLE mine (id int)").await.unwrap();

    let name = database.name().to_owned();
    drop(database);
    let server = client(shared_test_server().await.unwrap()).await;
    let left = server
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn two_fresh_databases_share_a_server_but_no_table() {
    let (one, other) = (
        fresh_database("twin").await.unwrap(),
        fresh_database("twin").await.unwrap(),
    );
    client(one.url())
        .await
        .batch_execute("CREATE TABLE t (id int)")
        .await
        .unwrap();
    client(other.url())
        .await
        .batch_execute("CREATE TABLE t (id int)")
        .await
        .unwrap();
    assert_ne!(one.name(), other.name());
}

#[tokio::test]
async fn a_test_server_leaves_nothing_behind() {
    let programs = Programs::find().await.unwrap();
    let server = TestServer::start(&programs, Settings::test()).await.unwrap();
    let database = TestDatabase::create(&server.url(), "own").await.unwrap();
    client(database.url()).await.batch_execute("SELECT 1").await.unwrap();
    drop(database);
    let log = server.server().log().to_owned();
    assert!(log.exists());
    drop(server);
    assert!(!log.parent().unwrap().exists());
}
