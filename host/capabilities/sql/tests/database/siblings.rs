//! Several instances of one invocation at the database at once.

use std::future::Future;

use host_bindings::nexus::sql::sql::Value;
use host_journal::Claim;
use host_recorder::{Beside, CallStep, MAX_SESSIONS};
use host_sql::Options;
use host_types::Fault;

use crate::support::{Database, Guest};

const INSERT: &str = "INSERT INTO item (id, amount) VALUES ($1, $2)";

/// Calls, beside the guest, a callee with an instance of its own that does this.
fn call<T, F>(guest: &Guest, callee: impl FnOnce(Guest) -> F + Send + 'static) -> Beside<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    let recorder = &guest.context.recorder;
    let CallStep::Enter(entered) = recorder.call("order:a.b", b"").unwrap() else {
        panic!("the call is recorded");
    };
    let pool = guest.context.pool.clone();
    recorder.beside(Box::new(move |branch| {
        let callee = callee(Guest::with_recorder(pool, entered.callee_beside(&branch)));
        Box::pin(async move {
            let outcome = callee.await?;
            entered.returned("done".into())?;
            Ok(outcome)
        })
    }))
}

async fn insert(mut guest: Guest, id: i32) -> Result<String, Fault> {
    let tx = guest.begin().await;
    let inserted = guest.run(&tx, INSERT, &[Value::Int32(id), Value::Int64(1)]).await?;
    let committed = guest.commit(&tx).await?;
    guest.drop_transaction(tx).await?;
    Ok(format!("{inserted:?} {committed:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_transactions_of_a_request_with_a_key_claim_it_once() {
    let database = Database::new().await;
    for round in 0..10 {
        let claim = Claim {
            key: [round; 32],
            path_key: [round; 32],
            fingerprint: [0; 32],
            expires_ms: 0,
        };
        let guest = database.guest_with(Some(claim));
        let ids = [1, 2, 3].map(|n| i32::from(round) * 10 + n);
        let begun = ids.map(|id| call(&guest, move |callee| insert(callee, id)));
        for beside in begun {
            let outcome = beside.outcome(&guest.context.recorder).await.unwrap();
            assert!(outcome.ends_with("Ok(())"), "{outcome}");
        }
        assert_eq!(database.count("host.claim").await, i64::from(round) + 1);
    }
    assert_eq!(database.count("\"order\".item").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_claim_goes_on_after_a_statement_that_cannot_be_prepared() {
    let database = Database::new().await;
    let claim = Claim {
        key: [7; 32],
        path_key: [7; 32],
        fingerprint: [0; 32],
        expires_ms: 0,
    };
    let mut guest = database.guest_with(Some(claim));
    let tx = guest.begin().await;
    guest.savepoint(&tx).await;
    let refused = guest.run(&tx, "INSERT INTO nowhere VALUES (1)", &[]).await.unwrap();
    assert!(refused.is_err(), "{refused:?}");
    guest.rollback_to(&tx).await;
    let values = [Value::Int32(1), Value::Int64(1)];
    guest.run(&tx, INSERT, &values).await.unwrap().unwrap();
    guest.commit(&tx).await.unwrap().unwrap();
    assert_eq!(database.count("host.claim").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_siblings_follow_each_other_and_a_refused_one_leaves_no_gap() {
    let database = Database::new().await;
    let taken = "INSERT INTO \"order\".item (id, amount, slot) VALUES (100, 1, 0)";
    database.admin.batch_execute(taken).await.unwrap();
    let guest = database.guest();
    let begun: Vec<_> = (0..12)
        .map(|n| {
            call(&guest, move |mut callee: Guest| async move {
                callee
                    .query("SELECT count(*) FROM item WHERE id < 0", &[])
                    .await?
                    .unwrap();
                // Every third takes a slot that is taken, which shows at the commit alone.
                let slot = if n % 3 == 0 { 0 } else { n };
                let tx = callee.begin().await;
                let values = [Value::Int32(n), Value::Int64(1), Value::Int32(slot)];
                let text = "INSERT INTO item (id, amount, slot) VALUES ($1, $2, $3)";
                callee.run(&tx, text, &values).await?.unwrap();
                let committed = callee.commit(&tx).await?;
                callee.drop_transaction(tx).await?;
                Ok(committed.is_ok())
            })
        })
        .collect();
    let mut committed = 0;
    for beside in begun {
        committed += i64::from(beside.outcome(&guest.context.recorder).await.unwrap());
    }
    assert_eq!(committed, 8);
    assert_eq!(database.count("\"order\".item").await, committed + 1);
    let gaps = "(SELECT index - row_number() OVER (ORDER BY index) + 1 AS gap FROM host.entry) it WHERE gap <> 0";
    assert_eq!(database.count(gaps).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invocation_leaves_sessions_to_others() {
    let database = Database::with(Options {
        acquire_timeout: std::time::Duration::from_secs(20),
        ..Options::default()
    })
    .await;
    let guest = database.guest();
    // Everybody waits for this.
    let lock = "BEGIN; LOCK TABLE \"order\".item IN ACCESS EXCLUSIVE MODE";
    database.admin.batch_execute(lock).await.unwrap();
    let begun: Vec<_> = (0..16)
        .map(|id| call(&guest, move |callee| insert(callee, id)))
        .collect();
    let waiting = "pg_locks WHERE NOT granted AND relation = '\"order\".item'::regclass";
    while database.count(waiting).await < MAX_SESSIONS as i64 {}
    assert_eq!(database.pools.counts(), (MAX_SESSIONS, 0));
    database.admin.batch_execute("COMMIT").await.unwrap();
    for beside in begun {
        beside.outcome(&guest.context.recorder).await.unwrap();
    }
    assert_eq!(database.count("\"order\".item").await, 16);
    assert!(database.pools.counts().0 <= MAX_SESSIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_are_begun_are_answered_as_others_are_and_from_the_record() {
    let database = Database::new().await;
    let run = async |guest: &mut Guest| {
        let begun = [
            guest
                .begin_query("SELECT $1::int8 AS n", &[Value::Int64(1)])
                .await
                .unwrap(),
            guest.begin_query("SELECT nothing FROM nowhere", &[]).await.unwrap(),
            guest.begin_query("SELECT count(*) FROM item", &[]).await.unwrap(),
        ];
        let mut seen = Vec::new();
        for query in begun.into_iter().rev() {
            seen.push(format!("{:?}", guest.finish_query(query).await.unwrap()));
        }
        guest
            .execute(INSERT, &[Value::Int32(1), Value::Int64(1)])
            .await
            .unwrap()
            .unwrap();
        seen.join(" ")
    };
    let mut first = database.guest();
    let seen = run(&mut first).await;
    assert!(seen.contains("Int64(0)") && seen.contains("42P01"), "{seen}");
    let mut second = database.replay(first.invocation()).await;
    assert_eq!(run(&mut second).await, seen, "the row that is there now is not seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begun_is_waited_for_while_a_transaction_is_open_nor_are_there_too_many() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let query = guest.begin_query("SELECT 1", &[]).await.unwrap();
    let tx = guest.begin().await;
    let refused = guest.begin_query("SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(&refused, Fault::Guest(text) if text.contains("while the transaction begun at /#1 is open")));
    let refused = guest.finish_query(query).await.unwrap_err();
    assert_eq!(Some(&refused), guest.attempt.fault().as_ref());
    // Open until here.
    let _ = tx;

    let mut guest = database.guest();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(guest.begin_query("SELECT 1", &[]).await.unwrap());
    }
    guest.finish_query(open.remove(0)).await.unwrap().unwrap();
    open.push(guest.begin_query("SELECT 1", &[]).await.unwrap());
    let refused = guest.begin_query("SELECT 1", &[]).await.unwrap_err();
    assert!(
        matches!(&refused, Fault::LimitExceeded(text) if text.contains("16 queries")),
        "{refused}"
    );
}
