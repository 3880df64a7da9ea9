//! Modules' schemas and roles.

use std::str::FromStr;

use host_journal::AppendJournal;
use host_postgres::test_support::{TestDatabase, shared_test_server};
use host_store::{Error, MigrateOptions, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::support::{MODULE_SESSIONS, begun, execute, first_append, fixture, new_id, node, options, run};

#[tokio::test]
async fn provisioning_again_and_at_once_gives_the_same_login() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let (one, same) = tokio::join!(fixture.store.provision_module("order"), other.provision_module("order"));
    let (one, same) = (one.unwrap(), same.unwrap());
    assert_eq!(one, same);
    assert_eq!(fixture.store.provision_module("order").await.unwrap(), one);
    assert_eq!(one.role, format!("{}_order", fixture.database.name()));
    execute(&mut fixture.session(&one).await, "SELECT 1").await.unwrap();
    assert!(!format!("{one:?}").contains(&one.password));
}

#[tokio::test]
async fn provisioning_puts_right_what_was_changed() {
    let fixture = fixture().await;
    let (login, mut session) = fixture.module("order").await;
    let owner = format!("{}_order_owner", fixture.database.name());
    let role = &login.role;
    fixture
        .superuser_executes(&format!(
            "GRANT \"{owner}\" TO \"{role}\"; ALTER ROLE \"{role}\" PASSWORD 'guess'; REVOKE ALL ON \"order\".item FROM \"{role}\""
        ))
        .await;
    assert!(execute(&mut session, "SELECT * FROM item").await.is_err());

    fixture.store.provision_module("order").await.unwrap();
    let mut session = fixture.session(&login).await;
    execute(&mut session, "SELECT * FROM item").await.unwrap();
    assert!(execute(&mut session, &format!("SET ROLE \"{owner}\"")).await.is_err());
    assert!(execute(&mut session, "SELECT * FROM _sqlx_migrations").await.is_err());
}

#[tokio::test]
async fn a_role_that_is_somebody_elses_is_left_alone() {
    let fixture = fixture().await;
    let role = format!("{}_order", fixture.database.name());
    fixture
        .superuser_executes(&format!("CREATE ROLE \"{role}\" LOGIN"))
        .await;
    let refused = fixture.store.provision_module("order").await.unwrap_err();
    assert!(
        matches!(&refused, Error::RoleTaken { role: taken, .. } if *taken == role),
        "{refused:?}"
    );
    for schema in ["host", "public", "pg_x", "Order", "a b"] {
        assert!(
            matches!(fixture.store.provision_module(schema).await, Err(Error::SchemaName(_))),
            "{schema}"
        );
    }
}

/// On a managed server the user is no superuser: it may make roles, and owns the database.
#[tokio::test]
async fn a_user_who_owns_the_database_and_makes_roles_is_enough() {
    let server = shared_test_server().await.unwrap();
    let database = TestDatabase::create(server, "managed").await.unwrap();
    let admin = format!("{}_admin", database.name());
    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    execute(
        &mut superuser,
        &format!(
            "CREATE ROLE \"{admin}\" LOGIN CREATEROLE PASSWORD 'pw'; ALTER DATABASE \"{}\" OWNER TO \"{admin}\"",
            database.name()
        ),
    )
    .await
    .unwrap();
    let url = as_user(database.url(), &admin, "pw");

    let store = Store::connect(&url, options()).await.unwrap();
    store.migrate_host().await.unwrap();
    store.register_node("one", MODULE_SESSIONS).await.unwrap();
    let remaining = store.restrict_public().await.unwrap();
    assert!(
        remaining.iter().any(|function| function.starts_with("set_config")),
        "{remaining:?}"
    );
    assert!(
        !remaining.iter().any(|right| right.contains("on the database")),
        "{remaining:?}"
    );

    let login = store.provision_module("order").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0001_item.sql"), "CREATE TABLE item (name text);").unwrap();
    store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap();
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let options = options.username(&login.role).password(&login.password);
    let options = options.application_name(&host_store::application_name(store.node()));
    let mut session = PgConnection::connect_with(&options).await.unwrap();
    execute(&mut session, "BEGIN; INSERT INTO item VALUES ('cup')")
        .await
        .unwrap();
    run(
        &mut session,
        &store.append_statements(&first_append(&store, new_id())).remove(0),
    )
    .await
    .unwrap();
    execute(&mut session, "COMMIT").await.unwrap();

    let running = begun(&store).await;
    let other = Store::connect(&url, crate::support::options()).await.unwrap();
    other.migrate_host().await.unwrap();
    other.register_node("two", MODULE_SESSIONS).await.unwrap();
    assert!(
        other
            .mark_gone(store.node(), host_store::GoneBecause::ProcessEnded)
            .await
            .unwrap()
    );
    let taken = other.take_over(store.node(), 10).await.unwrap();
    assert!(taken.iter().any(|(invocation, _)| *invocation == running));
    assert!(
        execute(&mut session, "SELECT 1").await.is_err(),
        "the module's session was ended"
    );
}

/// A URL with another user.
fn as_user(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let server = rest.split_once('@').map_or(rest, |(_, server)| server);
    format!("{scheme}://{user}:{password}@{server}")
}
