//! Budgets, time limits, and sessions that must not be used again.

use std::time::Duration;

use host_bindings::nexus::sql::sql::Value;
use host_sql::Options;
use host_types::Fault;

use crate::support::Database;

fn options() -> Options {
    Options {
        acquire_timeout: Duration::from_millis(50),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_session_is_an_overload() {
    let database = Database::with(Options { budget: 1, ..options() }).await;
    let (mut holder, mut waiting) = (database.guest(), database.guest());
    let tx = holder.begin().await;
    holder.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
    let overload = waiting.query("SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(overload, Fault::Overloaded(_)), "{overload:?}");
    holder.rollback(&tx).await.unwrap();
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_role_does_not_take_the_whole_budget() {
    let database = Database::with(Options {
        budget: 2,
        per_role: 1,
        ..options()
    })
    .await;
    let other = database.pools.module(database.connection());
    let mut holder = database.guest();
    let tx = holder.begin().await;
    holder.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
    assert!(matches!(
        database.guest().query("SELECT 1", &[]).await,
        Err(Fault::Overloaded(_))
    ));
    database.guest_of(&other).query("SELECT 1", &[]).await.unwrap().unwrap();
    holder.rollback(&tx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_of_another_role_makes_room() {
    let database = Database::with(Options { budget: 1, ..options() }).await;
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
    let other = database.pools.module(database.connection());
    database.guest_of(&other).query("SELECT 1", &[]).await.unwrap().unwrap();
    assert_eq!(database.pools.counts(), (1, 1));
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
    database.pools.close_idle();
    assert_eq!(database.pools.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_transient_and_costs_no_budget() {
    let database = Database::with(Options { budget: 1, ..options() }).await;
    let mut connection = database.connection();
    connection.target.config.user("nobody_of_this_name");
    let refused = database
        .guest_of(&database.pools.module(connection))
        .query("SELECT 1", &[])
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Fault::Transient(text) if text.contains("nobody_of_this_name")),
        "{refused:?}"
    );
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_lasts_too_long_is_ended_on_the_server_too() {
    let database = Database::with(Options {
        transaction_limit: Duration::from_millis(200),
        ..options()
    })
    .await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    let slow = guest.run(&tx, "SELECT pg_sleep(600)", &[]).await.unwrap_err();
    assert!(
        matches!(&slow, Fault::Transient(text) if text.contains("200 ms")),
        "{slow:?}"
    );
    let slow = database.guest().query("SELECT pg_sleep(600)", &[]).await.unwrap_err();
    assert!(matches!(slow, Fault::Transient(_)), "{slow:?}");
    // Waits for the backends to be gone, which a cancelled statement brings about and a closed socket alone does not.
    let sleeping =
        "pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND datname = current_database()";
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while database.count(sleeping).await > 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(ended.await.is_ok(), "the server still works on them");
    assert_eq!(database.pools.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_instance_leaves_no_transaction_behind() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest
        .run(&tx, "INSERT INTO item (id, amount) VALUES (1, 1)", &[])
        .await
        .unwrap()
        .unwrap();
    drop(guest);
    assert_eq!(
        database.pools.counts(),
        (0, 0),
        "a session in the middle of a transaction is closed"
    );
    // Waits for the row's lock, were it still held.
    database
        .guest()
        .execute("INSERT INTO item (id, amount) VALUES (1, 1)", &[])
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_the_server_closed_is_replaced() {
    let database = Database::new().await;
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                WHERE query = 'SELECT 1' AND datname = current_database()";
    database.admin.query_one(kill, &[]).await.unwrap();
    database.guest().query("SELECT 1", &[]).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_outlives_a_changed_table() {
    let database = Database::new().await;
    let read = "SELECT * FROM item";
    let columns = async || database.guest().query(read, &[]).await.unwrap().unwrap().columns.len();
    assert_eq!(columns().await, 4);
    database
        .admin
        .batch_execute("ALTER TABLE \"order\".item ADD COLUMN note text")
        .await
        .unwrap();
    assert_eq!(columns().await, 5);

    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
    database
        .admin
        .batch_execute("ALTER TABLE \"order\".item DROP COLUMN note")
        .await
        .unwrap();
    let stale = guest.run(&tx, read, &[]).await.unwrap_err();
    assert!(matches!(stale, Fault::RepeatTransaction(_)), "{stale:?}");
    let mut guest = database.retry_after_drop(guest, tx).await;
    let tx = guest.begin().await;
    guest.run(&tx, "SELECT 1", &[]).await.unwrap().unwrap();
    assert_eq!(guest.run(&tx, read, &[]).await.unwrap().unwrap().columns.len(), 4);
    guest.commit(&tx).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_statements_than_the_cache_holds_all_work() {
    let database = Database::new().await;
    let mut guest = database.guest();
    for number in 0..300 {
        let rows = guest
            .query(&format!("SELECT {number}, $1::int"), &[Value::Int32(number)])
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(rows.rows[0][..], [Value::Int32(one), Value::Int32(other)] if one == number && other == number)
        );
    }
    let open: i64 = {
        let rows = guest
            .query("SELECT count(*) FROM pg_prepared_statements", &[])
            .await
            .unwrap()
            .unwrap();
        let Value::Int64(open) = rows.rows[0][0] else {
            panic!("not a count")
        };
        open
    };
    assert!(open <= 260, "{open} are still open");
    assert_eq!(database.pools.counts(), (1, 1));
}
