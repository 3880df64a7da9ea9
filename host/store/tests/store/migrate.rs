//! Migrations.

use std::fs;
use std::path::Path;

use host_journal::AppendJournal;
use host_store::{Error, GoneBecause, MigrateOptions, PendingMigration, Store};

use crate::support::{MODULE_SESSIONS, begun, execute, fixture, next_append, node, options};

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
    store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap();
    store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap();
    assert_eq!(store.pending_module("order", folder.path()).await.unwrap(), []);

    write(folder.path(), "0001_make_item.sql", "CREATE TABLE item (name varchar);");
    for refused in [
        store
            .migrate_module("order", folder.path(), &MigrateOptions::default())
            .await
            .unwrap_err(),
        store.pending_module("order", folder.path()).await.unwrap_err(),
    ] {
        let Error::MigrationChanged { file } = &refused else {
            panic!("{refused:?}")
        };
        assert!(file.ends_with("0001_make_item.sql"), "{refused}");
    }
    fs::remove_file(folder.path().join("0001_make_item.sql")).unwrap();
    let missing = store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap_err();
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
    let failed = store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap_err();
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
    let failed = store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap_err();
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
    let options = MigrateOptions::default();
    let (first, second) = tokio::join!(
        one.migrate_module("order", folder.path(), &options),
        two.migrate_module("order", folder.path(), &options)
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

/// What the next version's migration would leave: an addition, and its line in the table of migrations.
const NEXT: &str = "SET ROLE \"{role}\";
    ALTER TABLE host.invocation ADD COLUMN of_the_next_version text;
    INSERT INTO host._sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9001, 'of the next version', true, '', 0);
    RESET ROLE";

#[tokio::test]
async fn a_node_goes_on_and_starts_on_a_schema_that_the_next_version_has_added_to() {
    let fixture = fixture().await;
    let old = &fixture.store;
    let open = begun(old).await;
    let role = format!("{}_host", fixture.database.name());
    fixture.superuser_executes(&NEXT.replace("{role}", &role)).await;

    old.append(next_append(old, open, 1)).await.unwrap();
    begun(old).await;
    assert!(old.heartbeat().await.unwrap().may_work);
    // One more of the old version, for instance after a crash in the middle of the upgrade.
    let another = node(&fixture.database, "two").await;
    assert_eq!(another.pending_host().await.unwrap(), []);
    another.mark_gone(old.node(), GoneBecause::ProcessEnded).await.unwrap();
    let taken = another.take_over(old.node(), 10).await.unwrap();
    assert!(taken.iter().any(|(invocation, _)| *invocation == open));
}

#[tokio::test]
async fn what_an_old_node_needs_is_not_taken_away_while_it_lives_and_it_does_not_start_afterwards() {
    let fixture = fixture().await;
    let require = "SELECT host.require_nodes(9002)";
    let refused = execute(&mut fixture.superuser().await, require).await.unwrap_err();
    let refused = refused.as_database_error().unwrap();
    assert_eq!(refused.code().as_deref(), Some("NX005"));
    assert!(refused.message().contains("one (knows "), "{refused}");
    assert_eq!(fixture.value("SELECT known_from::bigint FROM host.schema_use").await, 0);

    fixture
        .superuser_executes("UPDATE host.node SET heartbeat_at = now() - interval '6 s'")
        .await;
    fixture.superuser_executes(require).await;
    let late = Store::connect(fixture.database.url(), options()).await.unwrap();
    for refused in [
        late.migrate_host().await.unwrap_err(),
        // Had it looked before the newer one came, and registered after.
        late.register_node("late", MODULE_SESSIONS).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, Error::SchemaTooNew { from: 9_002, .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().ends_with("start a newer version of nexus here"),
            "{refused}"
        );
    }
}

/// A host can die while an index is being made CONCURRENTLY, and when it has been and that is not written down yet.
#[tokio::test]
async fn a_host_that_died_while_it_made_an_index_starts_again() {
    let fixture = fixture().await;
    let index = "SELECT count(*) FROM pg_index WHERE indexrelid = 'host.invocation_lane'::regclass AND indisvalid";
    let unrecorded = "DELETE FROM host._sqlx_migrations WHERE version = 160";
    let half_made = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'host.invocation_lane'::regclass";
    for died in [unrecorded.to_owned(), format!("{half_made}; {unrecorded}")] {
        fixture.superuser_executes(&died).await;
        node(&fixture.database, "next").await;
        assert_eq!(fixture.value(index).await, 1, "{died}");
        assert_eq!(fixture.store.pending_host().await.unwrap(), []);
    }
}
