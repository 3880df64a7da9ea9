//! Payloads: sealed, erasable, and nowhere else.

use host_journal::{Append, AppendJournal, DecodeError, InvocationStatus, SealError, encode};
use host_store::{Error, Store};
use host_types::InvocationId;
use sqlx::AssertSqlSafe;

use crate::support::{
    Fixture, SECRET, begun, claim, execute, first_append, fixture, new_id, next_append, node, options, output, run,
    start, started,
};

/// Every column of every row of the schema, as text; bytes in hexadecimal.
async fn dump(fixture: &Fixture) -> String {
    let mut superuser = fixture.superuser().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'host'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let mut dump = String::new();
    for table in tables {
        let rows = format!("SELECT line::text FROM {table} AS line");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_all(&mut superuser)
            .await
            .unwrap();
        dump.push_str(&rows.join("\n"));
    }
    dump
}

#[tokio::test]
async fn the_hosts_schema_holds_no_payload_in_clear() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = new_id();
    store
        .append(Append {
            claim: Some(claim(1, 1)),
            ..first_append(store, invocation)
        })
        .await
        .unwrap();
    store.append(next_append(store, invocation, 1)).await.unwrap();

    let dump = dump(&fixture).await;
    // What is clear on purpose is found, so that the search can find.
    assert!(dump.contains("nexus:http/handler.handle") && dump.contains(&hex::encode("nexus:http/handler.handle")));
    for secret in [SECRET, "buyer@example.com"] {
        assert!(
            !dump.contains(secret) && !dump.contains(&hex::encode(secret)),
            "{secret}"
        );
    }
    // Nor the seed everything is derived from, nor the master key.
    for key in [[3; 32], crate::support::MASTER_KEY] {
        assert!(!dump.contains(&hex::encode(key)));
    }
}

#[tokio::test]
async fn an_erased_invocation_is_unreadable_and_its_metadata_is_not() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (invocation, salt) = (new_id(), Some([5; 32]));
    let seal = store.seal(invocation, salt);
    let begins = Append {
        start: Some(salted(salt)),
        bodies: vec![encode(&started(0), &*seal)],
        ..first_append(store, invocation)
    };
    store.append(begins).await.unwrap();
    assert_eq!(store.load(invocation).await.unwrap().unwrap().entries, [started(0)]);

    let ends = Append {
        bodies: vec![encode(&output(1), &*seal)],
        status: Some(InvocationStatus::Completed),
        ..next_append(store, invocation, 1)
    };
    store.append(ends).await.unwrap();
    is_erased(store, invocation, InvocationStatus::Completed).await;
}

#[tokio::test]
async fn one_that_ends_in_the_append_that_begins_it_is_never_readable() {
    let fixture = fixture().await;
    let store = &fixture.store;
    // By the group writer, and by the statement that rides a module's transaction.
    let (_, mut session) = fixture.module("account").await;
    for rides in [false, true] {
        let (invocation, salt) = (new_id(), Some([5; 32]));
        let seal = store.seal(invocation, salt);
        let append = Append {
            start: Some(salted(salt)),
            bodies: vec![encode(&started(0), &*seal), encode(&output(1), &*seal)],
            status: Some(InvocationStatus::Completed),
            ..first_append(store, invocation)
        };
        if rides {
            run(&mut session, &store.append_statements(&append)[0]).await.unwrap();
        } else {
            store.append(append).await.unwrap();
        }
        is_erased(store, invocation, InvocationStatus::Completed).await;
    }
}

#[tokio::test]
async fn a_payload_can_be_erased_before_the_end() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (invocation, salt) = (new_id(), Some([5; 32]));
    let begins = Append {
        start: Some(salted(salt)),
        bodies: vec![
            encode(&started(0), &*store.seal(invocation, salt)),
            encode(&output(1), &*store.seal(invocation, salt)),
        ],
        ..first_append(store, invocation)
    };
    store.append(begins).await.unwrap();
    store.erase(invocation).await.unwrap();
    is_erased(store, invocation, InvocationStatus::Running).await;
}

fn salted(erasure_salt: Option<[u8; 32]>) -> host_journal::Start {
    host_journal::Start {
        erasure_salt,
        ..start()
    }
}

/// Its payloads cannot be read; how it stands and how many entries it has, can.
async fn is_erased(store: &Store, invocation: InvocationId, status: InvocationStatus) {
    let erased = store.load(invocation).await.unwrap_err();
    assert!(erased.is_erased(), "{erased:?}");
    assert_eq!(store.row(invocation).await.unwrap().unwrap().status, status);
    assert_eq!(store.bodies(invocation).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_payload_opens_in_its_own_place_only() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (one, other) = (new_id(), new_id());
    let sealed = store.seal(one, None).seal(3, b"payload");
    assert_eq!(store.seal(one, None).open(3, &sealed), Ok(b"payload".to_vec()));
    let unreadable = |opened| matches!(opened, Err(SealError::Unreadable(_)));
    assert!(unreadable(store.seal(one, None).open(4, &sealed)));
    assert!(unreadable(store.seal(other, None).open(3, &sealed)));
    assert!(unreadable(store.seal(one, Some([1; 32])).open(3, &sealed)));
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert!(store.seal(one, None).open(3, &changed).is_err(), "byte {place}");
    }
    for length in 0..sealed.len() {
        assert!(
            unreadable(store.seal(one, None).open(3, &sealed[..length])),
            "length {length}"
        );
    }
}

#[tokio::test]
async fn a_rotated_key_opens_what_it_sealed_and_other_nodes_follow() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let before = begun(&fixture.store).await;
    fixture.store.rotate_data_key().await.unwrap();
    let after = begun(&fixture.store).await;
    assert_eq!(fixture.value("SELECT count(*) FROM host.data_key").await, 2);
    for invocation in [before, after] {
        assert_eq!(
            fixture.store.load(invocation).await.unwrap().unwrap().entries,
            [started(0)]
        );
        assert_eq!(other.load(invocation).await.unwrap().unwrap().entries, [started(0)]);
    }

    execute(
        &mut fixture.superuser().await,
        "DELETE FROM host.data_key WHERE retired_at IS NOT NULL",
    )
    .await
    .unwrap();
    let third = node(&fixture.database, "three").await;
    let dropped = third.load(before).await.unwrap_err();
    assert!(
        matches!(
            dropped,
            Error::Decode(DecodeError::Sealed {
                source: SealError::Erased,
                ..
            })
        ),
        "{dropped:?}"
    );
    assert!(third.load(after).await.unwrap().is_some());
}

#[tokio::test]
async fn another_master_key_is_refused_at_start() {
    let fixture = fixture().await;
    let other = host_store::StoreOptions {
        master_key: [8; 32],
        ..options()
    };
    let store = Store::connect(fixture.database.url(), other).await.unwrap();
    let refused = store.migrate_host().await.unwrap_err();
    assert!(matches!(refused, Error::MasterKey { .. }), "{refused:?}");
}
