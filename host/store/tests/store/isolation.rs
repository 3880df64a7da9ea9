//! What a module's session cannot do.

use host_journal::{AppendJournal, HostParameter};
use host_store::MigrateOptions;
use sqlx::Connection;

use crate::support::{execute, first_append, fixture, new_id, refusal, run};

const DENIED: &str = "42501";

#[tokio::test]
async fn a_module_reaches_its_own_rows_and_nothing_else() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let (other, _) = fixture.module("account").await;
    execute(&mut session, "INSERT INTO item VALUES ('cup')").await.unwrap();

    for statement in [
        "SELECT * FROM host.node",
        "SELECT * FROM host.invocation",
        "SELECT * FROM host.journal_entry",
        "SELECT * FROM host.journal_entry_default",
        "SELECT * FROM host.data_key",
        "SELECT * FROM host.idempotency_key",
        "INSERT INTO host.idempotency_key VALUES ('', '', gen_random_uuid(), now(), now())",
        "SELECT * FROM account.item",
        "INSERT INTO account.item VALUES ('cup')",
        "SELECT * FROM \"order\"._sqlx_migrations",
        "CREATE TABLE mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TEMP TABLE mine ()",
        "CREATE SCHEMA mine",
        "DROP TABLE item",
        "TRUNCATE item",
        "ALTER TABLE item ADD COLUMN mine text",
        "SELECT host.create_partitions(1)",
        "SELECT host.forget_stragglers(now())",
        "SELECT host.check_node(gen_random_uuid(), '')",
    ] {
        assert_eq!(refusal(execute(&mut session, statement).await), DENIED, "{statement}");
    }
    let become_another = format!("SET ROLE \"{}\"", other.role);
    assert_eq!(refusal(execute(&mut session, &become_another).await), DENIED);
    let become_owner = format!("SET ROLE \"{}_order_owner\"", fixture.database.name());
    assert_eq!(refusal(execute(&mut session, &become_owner).await), DENIED);
}

#[tokio::test]
async fn a_module_calls_no_function_that_reaches_beyond_its_transaction() {
    let fixture = fixture().await;
    assert_eq!(fixture.store.restrict_public().await.unwrap(), Vec::<String>::new());
    let (_, mut session) = fixture.module("order").await;
    for call in [
        "set_config('synchronous_commit', 'off', false)",
        "pg_notify('nexus_wake', 'due')",
        "pg_advisory_lock(1)",
        "pg_advisory_xact_lock(1)",
        "pg_try_advisory_lock_shared(1, 2)",
        "pg_sleep(0)",
        "pg_sleep_for('0')",
        "pg_cancel_backend(1)",
        "pg_terminate_backend(1)",
        "pg_export_snapshot()",
        "pg_logical_emit_message(true, '', '')",
        "lo_create(0)",
        "lo_from_bytea(0, '')",
        "loread(0, 1)",
        "query_to_xml('SELECT 1', true, true, '')",
        "query_to_xmlschema('SELECT 1', true, true, '')",
        "table_to_xml('item', true, true, '')",
        "database_to_xml(true, true, '')",
        "ts_stat('SELECT null::tsvector')",
    ] {
        assert_eq!(
            refusal(execute(&mut session, &format!("SELECT {call}")).await),
            DENIED,
            "{call}"
        );
    }
}

#[tokio::test]
async fn an_append_needs_the_token_of_a_node() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let invocation = new_id();
    let mut forged = store.append_statements(&first_append(store, invocation));
    forged.push(store.claim_statement(invocation, &crate::support::claim(1, 1)));
    forged.extend(store.append_statements(&crate::support::next_append(store, invocation, 1)));
    for mut statement in forged {
        statement.parameters[1] = HostParameter::Bytes(Some(vec![0; 32]));
        assert_eq!(
            refusal(run(&mut session, &statement).await),
            host_store::SQLSTATE_WRONG_TOKEN,
            "{}",
            statement.sql
        );
    }
    assert_eq!(store.row(invocation).await.unwrap(), None);
}

#[tokio::test]
async fn a_module_cannot_lead_the_hosts_functions_astray() {
    let fixture = fixture().await;
    let (login, _) = fixture.module("order").await;
    let store = &fixture.store;
    // Whatever its migrations put into its schema, ahead of everything in the search path.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("0001_item.sql"),
        "CREATE TABLE item (name text NOT NULL);",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("0002_trap.sql"),
        "CREATE FUNCTION sha256(bytea) RETURNS bytea LANGUAGE plpgsql
             AS $$ BEGIN RETURN (SELECT token_hash FROM host.node); END $$;
         CREATE TABLE node AS SELECT gen_random_uuid() AS id;",
    )
    .unwrap();
    store
        .migrate_module("order", folder.path(), &MigrateOptions::default())
        .await
        .unwrap();

    let mut session = fixture.session(&login).await;
    execute(&mut session, "SET search_path = \"order\", pg_catalog, host")
        .await
        .unwrap();
    let invocation = new_id();
    let mut statement = store.append_statements(&first_append(store, invocation)).remove(0);
    run(&mut session, &statement).await.unwrap();
    statement.parameters[1] = HostParameter::Bytes(Some(vec![0; 32]));
    assert_eq!(
        refusal(run(&mut session, &statement).await),
        host_store::SQLSTATE_WRONG_TOKEN
    );
    session.close().await.unwrap();
}
