//! Migrations.

use std::fs;
use std::path::Path;

use host_store::{Error, PendingMigration, Store};

use crate::support::{MODULE_SESSIONS, fixture, node, options};

fn write(folder: &Path, file: &str, sql: &str) {
    fs::write(folder.join(file), sql).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_refused_by_name() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.provision_module("order").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0001_make_item.sql", "CREATE TABLE item (name text);");
    write(
        folder.path(),
        "0002_more.sql",
        "CREATE TABLE \"order\".more (name text);",
    );
    let pending = store.pending_module("order", folder.path()).await.unwrap();
    let file = |file: &str| PendingMigration {
        schema: "order".into(),
        file: file.into(),
    };
    assert_eq!(pending, [file("0001_make_item.sql"), file("0002_more.sql")]);
    store.migrate_module("order", folder.path()).await.unwrap();
    store.migrate_module("order", folder.path()).await.unwrap();
    assert_eq!(store.pending_module("order", folder.path()).await.unwrap(), []);

    write(folder.path(), "0001_make_item.sql", "CREATE TABLE item (name varchar);");
    for refused in [
        store.migrate_module("order", folder.path()).await.unwrap_err(),
        store.pending_module("order", folder.path()).await.unwrap_err(),
    ] {
        let Error::MigrationChanged { file } = &refused else {
            panic!("{refused:?}")
        };
        assert!(file.ends_with("0001_make_item.sql"), "{refused}");
    }
    fs::remove_file(folder.path().join("0001_make_item.sql")).unwrap();
    let missing = store.migrate_module("order", folder.path()).await.unwrap_err();
    assert!(
        matches!(missing, Error::MigrationMissing { version: 1, .. }),
        "{missing:?}"
    );
}

#[tokio::test]
async fn a_failing_file_is_named_and_leaves_nothing() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.provision_module("order").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "0001_half.sql",
        "CREATE TABLE item (name text); SELECT no_such_function();",
    );
    let failed = store.migrate_module("order", folder.path()).await.unwrap_err();
    let Error::MigrationFailed { file, .. } = &failed else {
        panic!("{failed:?}")
    };
    assert!(file.ends_with("0001_half.sql"));
    assert_eq!(
        fixture
            .value("SELECT count(*) FROM pg_tables WHERE schemaname = 'order' AND tablename = 'item'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_modules_migrations_run_with_the_modules_rights() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.provision_module("order").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0001_reach.sql", "DELETE FROM host.node;");
    let failed = store.migrate_module("order", folder.path()).await.unwrap_err();
    assert!(matches!(failed, Error::MigrationFailed { .. }), "{failed:?}");
    assert_eq!(fixture.value("SELECT count(*) FROM host.node").await, 1);
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_once() {
    let database = host_postgres::test_support::fresh_database("store").await.unwrap();
    let (one, two) = tokio::join!(node(&database, "one"), node(&database, "two"));
    assert_eq!(one.pending_host().await.unwrap(), []);
    one.provision_module("order").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "0001_make_item.sql", "CREATE TABLE item (name text);");
    let (first, second) = tokio::join!(
        one.migrate_module("order", folder.path()),
        two.migrate_module("order", folder.path())
    );
    first.and(second).unwrap();
}

#[tokio::test]
async fn an_empty_database_says_what_is_pending_and_that_it_is_empty() {
    let database = host_postgres::test_support::fresh_database("store").await.unwrap();
    let store = Store::connect(database.url(), options()).await.unwrap();
    let pending = store.pending_host().await.unwrap();
    assert_eq!(pending.first().map(|it| it.file.as_str()), Some("0001_nodes.sql"));
    assert!(matches!(
        store.register_node("one", MODULE_SESSIONS).await,
        Err(Error::NotMigrated)
    ));
}
