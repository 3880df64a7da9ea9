//! What commits together, what is repeated, and what a replay answers.

use host_bindings::nexus::sql::sql::{Error, Value};
use host_journal::Claim;
use host_types::Fault;

use crate::support::Database;

const INSERT: &str = "INSERT INTO item (id, amount) VALUES ($1, $2) RETURNING id";

fn item(id: i32, amount: i64) -> Vec<Value> {
    vec![Value::Int32(id), Value::Int64(amount)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_carries_the_append_and_a_replay_does_nothing() {
    let database = Database::new().await;
    let run = async |guest: &mut crate::support::Guest| {
        let before = guest.query("SELECT count(*) FROM item", &[]).await.unwrap().unwrap();
        let tx = guest.begin().await;
        guest.run(&tx, INSERT, &item(1, 100)).await.unwrap().unwrap();
        let read = guest
            .run(&tx, "SELECT id, amount FROM item", &[])
            .await
            .unwrap()
            .unwrap();
        guest.commit(&tx).await.unwrap().unwrap();
        guest.drop_transaction(tx).await.unwrap();
        let executed = guest.execute(INSERT, &item(2, 5)).await.unwrap().unwrap();
        format!("{before:?} {read:?} {executed:?}")
    };
    let mut first = database.guest();
    let answers = run(&mut first).await;
    assert!(answers.contains("Int64(100)"), "{answers}");
    assert_eq!(database.count("\"order\".item").await, 2);
    assert_eq!(
        database.count("host.entry").await,
        4,
        "start, query and two transactions"
    );

    let mut second = database.replay(first.invocation()).await;
    assert_eq!(run(&mut second).await, answers);
    assert_eq!(database.count("\"order\".item").await, 2);
    assert_eq!(database.count("host.entry").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_transaction_is_replayed_until_its_end() {
    let database = Database::new().await;
    // Whether a line for the log would be one that was written before: within the transaction, and after it.
    let run = async |guest: &mut crate::support::Guest| {
        let tx = guest.begin().await;
        guest.run(&tx, INSERT, &item(1, 100)).await.unwrap().unwrap();
        let within = guest.context.recorder.is_replaying();
        guest.commit(&tx).await.unwrap().unwrap();
        let after = guest.context.recorder.is_replaying();
        guest.drop_transaction(tx).await.unwrap();
        (within, after)
    };
    let mut first = database.guest();
    assert_eq!(run(&mut first).await, (false, false));
    let mut second = database.replay(first.invocation()).await;
    assert_eq!(run(&mut second).await, (true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_over_invocation_writes_no_business_rows() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let fence = "INSERT INTO host.entry VALUES ($1, 0, '')";
    database.admin.execute(fence, &[&guest.invocation().0]).await.unwrap();
    assert_eq!(guest.execute(INSERT, &item(1, 1)).await.unwrap_err(), Fault::Fenced);
    assert_eq!(database.count("\"order\".item").await, 0);
    assert_eq!(guest.attempt.fault(), Some(Fault::Fenced));
    let again = guest.execute(INSERT, &item(2, 1)).await;
    assert_eq!(
        again.unwrap_err(),
        Fault::Fenced,
        "nothing runs after the attempt's fault"
    );
    assert_eq!(database.pools.counts(), (1, 1), "the session was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_claimed_first_and_once() {
    let database = Database::new().await;
    let claim = || {
        Some(Claim {
            key: [7; 32],
            path_key: [7; 32],
            fingerprint: [8; 32],
            expires_ms: 9,
        })
    };
    let mut owner = database.guest_with(claim());
    owner.execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    owner.execute(INSERT, &item(2, 1)).await.unwrap().unwrap();
    assert_eq!(database.count("host.claim").await, 1);

    let mut joiner = database.guest_with(claim());
    assert_eq!(joiner.execute(INSERT, &item(3, 1)).await.unwrap_err(), Fault::KeyTaken);
    assert_eq!(database.count("\"order\".item").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_declared_gone_before_its_claim_tells_the_client_to_come_again() {
    let database = Database::new().await;
    let gone = "CREATE FUNCTION host.gone() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'the node was declared gone' USING ERRCODE = 'NX002'; END $$;
        CREATE TRIGGER gone BEFORE INSERT ON host.claim FOR EACH ROW EXECUTE FUNCTION host.gone()";
    database.admin.batch_execute(gone).await.unwrap();
    let mut guest = database.guest_with(Some(Claim {
        key: [7; 32],
        path_key: [7; 32],
        fingerprint: [8; 32],
        expires_ms: 9,
    }));
    let fault = guest.execute(INSERT, &item(1, 1)).await.unwrap_err();
    // Not `AppendRefused`: that is for good, and a failure of ours.
    assert!(
        matches!(&fault, Fault::CommitUnknown(text) if text.contains("NX002")),
        "{fault:?}"
    );
    assert_eq!(database.count("\"order\".item").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_savepoint_keeps_the_claim() {
    let database = Database::new().await;
    let mut guest = database.guest_with(Some(Claim {
        key: [7; 32],
        path_key: [7; 32],
        fingerprint: [8; 32],
        expires_ms: 9,
    }));
    let tx = guest.begin().await;
    guest.savepoint(&tx).await;
    guest.run(&tx, INSERT, &item(1, 1)).await.unwrap().unwrap();
    guest.rollback_to(&tx).await;
    guest.commit(&tx).await.unwrap().unwrap();
    assert_eq!(
        (
            database.count("host.claim").await,
            database.count("\"order\".item").await
        ),
        (1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serialization_failure_is_repeated_and_not_shown() {
    let database = Database::new().await;
    database.guest().execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    let update = "UPDATE item SET amount = amount + 1 WHERE id = 1";

    let mut guest = database.guest();
    let tx = guest.begin_serializable().await;
    guest
        .run(&tx, "SELECT amount FROM item WHERE id = 1", &[])
        .await
        .unwrap()
        .unwrap();
    database.guest().execute(update, &[]).await.unwrap().unwrap();
    let conflict = guest.run(&tx, update, &[]).await.unwrap_err();
    assert!(matches!(conflict, Fault::RepeatTransaction(_)), "{conflict:?}");
    guest.drop_transaction(tx).await.unwrap();

    let mut guest = database.retry(guest);
    let tx = guest.begin_serializable().await;
    let read = guest
        .run(&tx, "SELECT amount FROM item WHERE id = 1", &[])
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(read.rows[0][0], Value::Int64(2)),
        "the second attempt sees the other's commit"
    );
    guest.run(&tx, update, &[]).await.unwrap().unwrap();
    guest.commit(&tx).await.unwrap().unwrap();
    let mut reader = database.guest();
    let now = reader.query("SELECT amount FROM item", &[]).await.unwrap().unwrap();
    assert!(matches!(now.rows[0][0], Value::Int64(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_skew_found_at_commit_is_repeated() {
    let database = Database::new().await;
    let (mut one, mut other) = (database.guest(), database.guest());
    let (first, second) = (one.begin_serializable().await, other.begin_serializable().await);
    for (guest, tx, id) in [(&mut one, &first, 1), (&mut other, &second, 2)] {
        guest.run(tx, "SELECT count(*) FROM item", &[]).await.unwrap().unwrap();
        guest.run(tx, INSERT, &item(id, 1)).await.unwrap().unwrap();
    }
    one.commit(&first).await.unwrap().unwrap();
    let conflict = other.commit(&second).await.unwrap_err();
    assert!(matches!(conflict, Fault::RepeatTransaction(_)), "{conflict:?}");
    assert_eq!(database.count("\"order\".item").await, 1);
    let mut again = database.retry_after_drop(other, second).await;
    again.execute(INSERT, &item(2, 1)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lost_before_commit_repeats_the_transaction() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.run(&tx, INSERT, &item(1, 1)).await.unwrap().unwrap();
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()";
    database.admin.query_one(kill, &[]).await.unwrap();
    let lost = guest.run(&tx, INSERT, &item(2, 1)).await.unwrap_err();
    assert!(matches!(lost, Fault::RepeatTransaction(_)), "{lost:?}");
    let mut guest = database.retry_after_drop(guest, tx).await;
    guest.execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    assert_eq!(database.count("\"order\".item").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_is_a_value_and_replays_as_one() {
    let database = Database::new().await;
    let run = async |guest: &mut crate::support::Guest| {
        let tx = guest.begin().await;
        let insert = "INSERT INTO item (id, amount, slot) VALUES (1, 1, 1), (2, 1, 1)";
        guest.run(&tx, insert, &[]).await.unwrap().unwrap();
        guest.commit(&tx).await.unwrap()
    };
    let mut guest = database.guest();
    let Err(Error::UniqueViolation(violation)) = run(&mut guest).await else {
        panic!("the constraint was not checked")
    };
    assert_eq!(
        (violation.constraint.as_str(), violation.table.as_str()),
        ("item_slot_key", "item")
    );
    assert_eq!(
        (
            database.count("\"order\".item").await,
            database.count("host.entry").await
        ),
        (0, 0)
    );

    guest.execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    let mut again = database.replay(guest.invocation()).await;
    assert!(matches!(run(&mut again).await, Err(Error::UniqueViolation(_))));
    again.execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    assert_eq!(database.count("\"order\".item").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_transaction_is_an_observation() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.run(&tx, INSERT, &item(1, 1)).await.unwrap().unwrap();
    guest.rollback(&tx).await.unwrap();
    let tx = guest.begin().await;
    guest.run(&tx, INSERT, &item(1, 1)).await.unwrap().unwrap();
    guest.drop_transaction(tx).await.unwrap();
    let refused = guest.execute(INSERT, &item(1, -1)).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::CheckViolation(_)), "{refused:?}");
    assert_eq!(
        (
            database.count("\"order\".item").await,
            database.count("host.entry").await
        ),
        (0, 0)
    );
    assert!(!guest.attempt.is_durable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_asks_for_something_else_is_a_mismatch() {
    let database = Database::new().await;
    let mut guest = database.guest();
    guest.execute(INSERT, &item(1, 1)).await.unwrap().unwrap();
    let mut changed = database.replay(guest.invocation()).await;
    let Err(Fault::Mismatch { recorded, asked, .. }) = changed.execute(INSERT, &item(1, 2)).await else {
        panic!("another parameter was accepted")
    };
    assert!(
        recorded.starts_with("statement ") && asked.contains("INSERT INTO item"),
        "{recorded} / {asked}"
    );

    let mut shorter = database.replay(guest.invocation()).await;
    let tx = shorter.begin().await;
    assert!(matches!(shorter.commit(&tx).await, Err(Fault::Mismatch { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_statements_needs_no_session() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let tx = guest.begin().await;
    guest.savepoint(&tx).await;
    guest.release(&tx).await;
    guest.commit(&tx).await.unwrap().unwrap();
    assert_eq!(database.pools.counts(), (0, 0));
    assert!(
        matches!(guest.run(&tx, "SELECT 1", &[]).await, Err(Fault::Guest(_))),
        "it has ended"
    );
}
