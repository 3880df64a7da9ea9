//! Idempotency keys by path, and beside nodes of the version before, which know the route's alone.

use host_journal::{Append, AppendError, AppendJournal, Claim, HostParameter, HostStatement};
use host_store::{Filter, Store};
use host_types::InvocationId;
use sqlx::PgConnection;

use crate::support::{Fixture, claim, execute, first_append, fixture, new_id, refusal, run};

/// One key of a client on one route, used on one of its paths.
fn on(path: u8) -> Claim {
    Claim {
        path_key: [path; 32],
        ..claim(1, path)
    }
}

async fn claimed(store: &Store, claim: Claim) -> (InvocationId, Result<(), AppendError>) {
    let invocation = new_id();
    let append = Append {
        claim: Some(claim),
        ..first_append(store, invocation)
    };
    (invocation, store.append(append).await)
}

async fn owner(store: &Store, claim: &Claim) -> Option<InvocationId> {
    store.find_key(claim).await.unwrap().map(|held| held.invocation)
}

/// What a node of the version before says: it has the route's key alone.
fn by_the_version_before(mut statement: HostStatement) -> HostStatement {
    let key = statement.parameters.iter_mut().find_map(|parameter| match parameter {
        HostParameter::Bytes(Some(bytes)) if bytes.len() == 64 => Some(bytes),
        _ => None,
    });
    key.expect("a key").truncate(32);
    statement
}

#[tokio::test]
async fn a_key_is_another_on_another_path() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (first, taken) = claimed(store, on(11)).await;
    assert_eq!(taken, Ok(()));
    let (second, taken) = claimed(store, on(12)).await;
    assert_eq!(taken, Ok(()));
    for path in [11, 12] {
        assert_eq!(claimed(store, on(path)).await.1, Err(AppendError::KeyTaken));
    }
    assert_eq!(owner(store, &on(11)).await, Some(first));
    assert_eq!(owner(store, &on(12)).await, Some(second));
    assert_eq!(owner(store, &on(13)).await, None);

    // An operator who has the client's key knows no path.
    let filter = Filter {
        keys: Some(vec![[1; 32]]),
        limit: 10,
        ..Filter::default()
    };
    let page = store.list(&filter).await.unwrap();
    let found: Vec<_> = page.rows.iter().map(|row| row.invocation).collect();
    assert_eq!(found, [second, first]);
}

#[tokio::test]
async fn two_paths_in_one_batch_have_a_key_each() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (one, other, same) = tokio::join!(claimed(store, on(11)), claimed(store, on(12)), claimed(store, on(12)));
    assert_eq!(
        fixture
            .value("SELECT count(DISTINCT xmin::text) FROM host.journal_entry")
            .await,
        1,
        "they were to be one batch"
    );
    let outcomes = [one.1, other.1, same.1];
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        2,
        "{outcomes:?}"
    );
    assert!(outcomes.contains(&Err(AppendError::KeyTaken)), "{outcomes:?}");
    assert_eq!(owner(store, &on(11)).await, Some(one.0));
    assert!([other.0, same.0].map(Some).contains(&owner(store, &on(12)).await));
}

#[tokio::test]
async fn a_transaction_takes_another_paths_key_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (login, mut first) = fixture.module("order").await;
    let mut second = fixture.session(&login).await;
    claimed(store, on(11)).await.1.unwrap();

    let one = new_id();
    execute(&mut first, "BEGIN").await.unwrap();
    run(&mut first, &store.claim_statement(one, &on(12))).await.unwrap();
    run(
        &mut first,
        &store.append_statements(&first_append(store, one)).remove(0),
    )
    .await
    .unwrap();
    // Nobody knows yet whether the first will commit.
    let waiting = store.claim_statement(new_id(), &on(12));
    let (refused, ()) = tokio::join!(run(&mut second, &waiting), async {
        fixture.someone_waits().await;
        execute(&mut first, "COMMIT").await.unwrap();
    });
    assert_eq!(refusal(refused), "idempotency_key_pkey");
    assert_eq!(owner(store, &on(12)).await, Some(one));
}

/// All that is known of keys.
async fn keys(fixture: &Fixture) -> Vec<String> {
    let mut superuser = fixture.superuser().await;
    let keys = sqlx::query_scalar("SELECT held::text FROM host.idempotency_key AS held ORDER BY key");
    keys.fetch_all(&mut superuser).await.unwrap()
}

/// The key, and then the beginning of the invocation that it is for, as a module's transaction has them.
async fn begins(session: &mut PgConnection, store: &Store, claim: &HostStatement, invocation: InvocationId) -> String {
    execute(session, "BEGIN").await.unwrap();
    run(session, claim).await.unwrap();
    let start = store.append_statements(&first_append(store, invocation)).remove(0);
    match run(session, &start).await {
        Ok(()) => {
            execute(session, "COMMIT").await.unwrap();
            "begun".to_owned()
        }
        refused => {
            execute(session, "ROLLBACK").await.unwrap();
            refusal(refused)
        }
    }
}

#[tokio::test]
async fn whoever_claims_its_own_key_again_is_told_that_it_has_begun() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (_, mut module) = fixture.module("order").await;
    // One stands under the route's key, the other under its path's.
    for path in [11, 12] {
        let (invocation, taken) = claimed(store, on(path)).await;
        assert_eq!(taken, Ok(()));
        let before = keys(&fixture).await;
        let later = Claim {
            expires_ms: on(path).expires_ms + 60_000,
            ..on(path)
        };
        let again = Append {
            claim: Some(later.clone()),
            ..first_append(store, invocation)
        };
        assert_eq!(store.append(again).await, Err(AppendError::Fenced));
        let claim = store.claim_statement(invocation, &later);
        let begun = begins(&mut module, store, &claim, invocation).await;
        assert_eq!(begun, "invocation_pkey");
        assert_eq!(keys(&fixture).await, before, "what is refused leaves nothing");
        assert_eq!(claimed(store, on(path)).await.1, Err(AppendError::KeyTaken));
        assert_eq!(owner(store, &on(path)).await, Some(invocation));
    }

    // A node of the version before, by the functions of this one.
    let invocation = new_id();
    let claim = by_the_version_before(store.claim_statement(invocation, &claim(2, 1)));
    for outcome in ["begun", "invocation_pkey"] {
        assert_eq!(begins(&mut module, store, &claim, invocation).await, outcome);
    }
}

#[tokio::test]
async fn whoever_claims_its_own_key_while_its_commit_is_under_way_is_told_what_becomes_of_that() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (_, mut module) = fixture.module("order").await;
    for (key, end, told) in [(1, "COMMIT", Err(AppendError::Fenced)), (2, "ROLLBACK", Ok(()))] {
        let (invocation, claim) = (new_id(), claim(key, 1));
        execute(&mut module, "BEGIN").await.unwrap();
        run(&mut module, &store.claim_statement(invocation, &claim))
            .await
            .unwrap();
        let begin = first_append(store, invocation);
        run(&mut module, &store.append_statements(&begin).remove(0))
            .await
            .unwrap();
        let again = Append {
            claim: Some(claim.clone()),
            ..begin
        };
        let (outcome, ()) = tokio::join!(store.append(again), async {
            fixture.someone_waits().await;
            execute(&mut module, end).await.unwrap();
        });
        assert_eq!(outcome, told, "{end}");
        assert_eq!(owner(store, &claim).await, Some(invocation));
    }
}

#[tokio::test]
async fn the_version_before_and_this_one_respect_each_other() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (_, mut old) = fixture.module("order").await;
    let taken_by_the_version_before = |claim: &Claim| by_the_version_before(store.claim_statement(new_id(), claim));

    // What this version took on one path, that one takes on none.
    claimed(store, on(11)).await.1.unwrap();
    claimed(store, on(12)).await.1.unwrap();
    for path in [11, 12, 13] {
        let refused = run(&mut old, &taken_by_the_version_before(&on(path))).await;
        assert_eq!(refusal(refused), "idempotency_key_pkey");
    }

    // What that version took may be any path's.
    let held = Claim {
        path_key: [21; 32],
        ..claim(2, 1)
    };
    let invocation = new_id();
    execute(&mut old, "BEGIN").await.unwrap();
    run(
        &mut old,
        &by_the_version_before(store.claim_statement(invocation, &held)),
    )
    .await
    .unwrap();
    run(
        &mut old,
        &store.append_statements(&first_append(store, invocation)).remove(0),
    )
    .await
    .unwrap();
    execute(&mut old, "COMMIT").await.unwrap();
    for path in [21, 22] {
        let claim = Claim {
            path_key: [path; 32],
            ..held.clone()
        };
        assert_eq!(claimed(store, claim.clone()).await.1, Err(AppendError::KeyTaken));
        assert_eq!(owner(store, &claim).await, Some(invocation));
    }
}

#[tokio::test]
async fn the_routes_key_is_kept_as_long_as_each_paths() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (_, mut old) = fixture.module("order").await;
    claimed(store, on(11)).await.1.unwrap();
    let long = Claim {
        expires_ms: on(12).expires_ms + 86_400_000,
        ..on(12)
    };
    claimed(store, long.clone()).await.1.unwrap();
    assert_eq!(route_expires_ms(&fixture).await, long.expires_ms);
    claimed(store, on(13)).await.1.unwrap();
    assert_eq!(route_expires_ms(&fixture).await, long.expires_ms);

    // A day later all of them are free, for the version before as well.
    fixture
        .superuser_executes("UPDATE host.idempotency_key SET expires_at = now() - interval '1 second'")
        .await;
    for path in [11, 12, 13] {
        assert_eq!(owner(store, &on(path)).await, None);
    }
    run(
        &mut old,
        &by_the_version_before(store.claim_statement(new_id(), &on(12))),
    )
    .await
    .unwrap();
    assert_eq!(claimed(store, on(12)).await.1, Err(AppendError::KeyTaken));
}

async fn route_expires_ms(fixture: &Fixture) -> u64 {
    let expires = fixture
        .value(
            "SELECT (extract(epoch FROM expires_at) * 1000)::bigint FROM host.idempotency_key WHERE route_key IS NULL",
        )
        .await;
    u64::try_from(expires).unwrap()
}
