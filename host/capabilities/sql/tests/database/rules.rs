//! What a guest may not do, and what its failures leave of a transaction.

use host_bindings::nexus::sql::sql::{Error, Value};
use host_sql::Options;
use host_types::Fault;

use crate::support::{Database, Guest};

fn code(answer: Result<Result<host_bindings::nexus::sql::sql::Rows, Error>, Fault>) -> String {
    match answer.unwrap().unwrap_err() {
        Error::Other(error) => error.code,
        other => panic!("not an error of the server: {other:?}"),
    }
}

async fn ids(guest: &mut Guest) -> Vec<i32> {
    let rows = guest
        .query("SELECT id FROM item ORDER BY id", &[])
        .await
        .unwrap()
        .unwrap();
    let id = |row: Vec<Value>| match row[..] {
        [Value::Int32(id)] => id,
        _ => panic!("not an id: {row:?}"),
    };
    rows.rows.into_iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_data_statement_at_a_time() {
    let database = Database::new().await;
    for text in [
        "SET search_path = host",
        "COMMIT",
        "/* SELECT */ ROLLBACK",
        "DO $$ BEGIN COMMIT; END $$",
        "COPY item TO STDOUT",
        "CREATE TABLE mine ()",
        "TRUNCATE item",
    ] {
        assert_eq!(code(database.guest().execute(text, &[]).await), "0A000", "{text}");
        assert_eq!(code(database.guest().query(text, &[]).await), "0A000", "{text}");
    }
    let two = "SELECT 1; COMMIT";
    assert_eq!(code(database.guest().execute(two, &[]).await), "42601");
    assert_eq!(code(database.guest().query(two, &[]).await), "42601");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_only_reads() {
    let database = Database::new().await;
    for text in [
        "INSERT INTO item (id, amount) VALUES (1, 1)",
        "WITH gone AS (DELETE FROM item RETURNING id) SELECT id FROM gone",
        "SELECT nextval('numbers')",
        "SELECT id FROM item FOR UPDATE",
    ] {
        assert_eq!(code(database.guest().query(text, &[]).await), "25006", "{text}");
    }
    // And goes on doing so after a transaction of the same session.
    database
        .guest()
        .execute("INSERT INTO item (id, amount) VALUES (1, 1)", &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(code(database.guest().query("DELETE FROM item", &[]).await), "25006");
    assert_eq!(database.pools.counts(), (1, 1), "one session did all this");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_poisons_the_transaction() {
    let database = Database::new().await;
    let run = async |guest: &mut Guest| {
        let tx = guest.begin().await;
        guest
            .run(&tx, "INSERT INTO item (id, amount) VALUES (1, 1)", &[])
            .await
            .unwrap()
            .unwrap();
        let failed = guest
            .run(&tx, "INSERT INTO item (id, amount) VALUES (1, 1)", &[])
            .await
            .unwrap();
        assert!(matches!(failed, Err(Error::UniqueViolation(_))), "{failed:?}");
        let after = guest.run(&tx, "SELECT 1", &[]).await.unwrap();
        assert!(matches!(after, Err(Error::Poisoned)), "{after:?}");
        assert!(matches!(guest.commit(&tx).await.unwrap(), Err(Error::Poisoned)));
        guest.drop_transaction(tx).await.unwrap();
        guest
            .execute("INSERT INTO item (id, amount) VALUES (5, 1)", &[])
            .await
            .unwrap()
            .unwrap();
    };
    let mut guest = database.guest();
    run(&mut guest).await;
    assert_eq!(ids(&mut database.guest()).await, [5]);
    run(&mut database.replay(guest.invocation()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_own_refusals_poison_as_well() {
    let database = Database::new().await;
    let refusals: [(&str, &[Value]); 4] = [
        ("SET ROLE postgres", &[]),
        ("SELECT $1::int", &[Value::Text("1".into())]),
        ("SELECT interval '1 day' AS span", &[]),
        ("SELECT nothing FROM nowhere", &[]),
    ];
    for (text, parameters) in refusals {
        for first in [true, false] {
            let mut guest = database.guest();
            let tx = guest.begin().await;
            if !first {
                guest.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
            }
            guest.run(&tx, text, parameters).await.unwrap().unwrap_err();
            assert!(
                matches!(guest.run(&tx, "SELECT 1", &[]).await.unwrap(), Err(Error::Poisoned)),
                "{text}"
            );
            guest.rollback(&tx).await.unwrap();
        }
    }
    assert_eq!(database.pools.counts(), (1, 1), "no session was lost over it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_confines_a_failure() {
    let database = Database::new().await;
    let insert = "INSERT INTO item (id, amount) VALUES ($1, 1)";
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.savepoint(&tx).await;
    guest.run(&tx, insert, &[Value::Int32(1)]).await.unwrap().unwrap();
    guest.savepoint(&tx).await;
    guest.run(&tx, insert, &[Value::Int32(2)]).await.unwrap().unwrap();
    guest.run(&tx, insert, &[Value::Int32(1)]).await.unwrap().unwrap_err();
    guest.rollback_to(&tx).await;
    guest.release(&tx).await;
    // A failure the server meets while preparing is confined too.
    guest.savepoint(&tx).await;
    guest
        .run(&tx, "SELECT nothing FROM nowhere", &[])
        .await
        .unwrap()
        .unwrap_err();
    guest.rollback_to(&tx).await;
    guest.savepoint(&tx).await;
    guest.run(&tx, insert, &[Value::Int32(3)]).await.unwrap().unwrap();
    guest.rollback_to(&tx).await;
    guest.commit(&tx).await.unwrap().unwrap();
    assert_eq!(ids(&mut database.guest()).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_savepoint_that_is_not_open_is_the_guests_fault() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.savepoint(&tx).await;
    guest.release(&tx).await;
    guest.commit(&tx).await.unwrap().unwrap();
    let tx = guest.begin().await;
    assert!(matches!(guest.try_release(&tx).await, Err(Fault::Guest(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_while_a_transaction_is_open() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
    assert!(matches!(guest.query("SELECT 1", &[]).await, Err(Fault::Guest(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_setting_does_not_reach_the_next_user() {
    let database = Database::with(Options {
        budget: 1,
        ..Options::default()
    })
    .await;
    let mut connection = database.connection();
    connection.reset = true;
    let mut guest = database.guest_of(&database.pools.module(connection));
    let change =
        "SELECT set_config('default_transaction_read_only', 'off', false), set_config('search_path', 'host', false)";
    guest.execute(change, &[]).await.unwrap().unwrap();
    let read = "SELECT current_setting('default_transaction_read_only'), current_setting('search_path')";
    let now = guest.query(read, &[]).await.unwrap().unwrap();
    assert_eq!(
        format!("{:?}", now.rows),
        r#"[[Value::Text("on"), Value::Text("\"order\"")]]"#
    );
    assert_eq!(database.pools.counts(), (1, 1), "it was the same session");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_prepared_is_judged_like_what_is_sent_and_does_nothing() {
    let database = Database::new().await;
    for text in [
        "SELECT id, amount FROM item WHERE id = $1",
        "INSERT INTO item (id, amount) VALUES (1, 1)",
        "WITH gone AS (DELETE FROM item RETURNING id) SELECT count(*) FROM gone",
    ] {
        assert_eq!(database.pool.prepare(text).await.unwrap(), None, "{text}");
    }
    assert_eq!(ids(&mut database.guest()).await, [0; 0], "nothing was run");
    for (text, code, position) in [
        ("COMMIT", "0A000", None),
        ("SELECT 1; COMMIT", "42601", None),
        ("SELECT id, ammount FROM item", "42703", Some(12)),
        ("SELECT * FROM nowhere", "42P01", Some(15)),
        // No value of the interface could hold it.
        ("SELECT '(1,2)'::point AS place", "0A000", None),
    ] {
        let why = database.pool.prepare(text).await.unwrap().expect(text);
        assert_eq!(
            (why.code.as_str(), why.position),
            (code, position),
            "{text}: {}",
            why.message
        );
    }
    let misspelt = database
        .pool
        .prepare("SELECT ammount FROM item")
        .await
        .unwrap()
        .unwrap();
    assert!(misspelt.hint.is_some_and(|hint| hint.contains("item.amount")));
    assert_eq!(database.pools.counts(), (1, 1), "one session, given back each time");
}
