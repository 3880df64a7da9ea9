//! Appends that ride a module's transaction.

use host_journal::{Append, AppendError, AppendJournal, InvocationStatus, KeyValueWrite, Message, Suspension, encode};
use host_store::Left;
use host_types::{Clock, PromiseId, SystemClock};
use sqlx::Connection;

use crate::support::{
    Fixture, claim, execute, first_append, fixture, new_id, next_append, output, refusal, run, start, started,
};

async fn items(fixture: &Fixture) -> i64 {
    fixture.value("SELECT count(*) FROM \"order\".item").await
}

#[tokio::test]
async fn the_first_append_makes_row_and_entries_in_the_modules_commit() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let (store, invocation) = (&fixture.store, new_id());
    let mut append = first_append(store, invocation);
    append.bodies.push(encode(&output(1), &*store.seal(invocation, None)));

    let mut transaction = session.begin().await.unwrap();
    run(&mut transaction, &store.claim_statement(invocation, &claim(1, 2)))
        .await
        .unwrap();
    execute(&mut transaction, "INSERT INTO item VALUES ('cup')")
        .await
        .unwrap();
    for statement in store.append_statements(&append) {
        run(&mut transaction, &statement).await.unwrap();
    }
    assert_eq!(store.load(invocation).await.unwrap(), None);
    assert_eq!(store.find_key(&claim(1, 0)).await.unwrap(), None);
    transaction.commit().await.unwrap();

    let loaded = store.load(invocation).await.unwrap().unwrap();
    assert_eq!(loaded.entries, [started(0), output(1)]);
    assert_eq!(
        (loaded.row.status, loaded.row.node),
        (InvocationStatus::Running, Some(store.node()))
    );
    assert_eq!(loaded.row.component.as_str(), "order");
    let held = store.find_key(&claim(1, 0)).await.unwrap().unwrap();
    assert_eq!((held.invocation, held.fingerprint), (invocation, [2; 32]));
    assert_eq!(items(&fixture).await, 1);
}

#[tokio::test]
async fn of_two_writers_of_one_index_the_second_fails_with_its_rows() {
    for isolation in ["READ COMMITTED", "SERIALIZABLE"] {
        let fixture = fixture().await;
        let (login, mut first) = fixture.module("order").await;
        let mut second = fixture.session(&login).await;
        let (store, invocation) = (&fixture.store, new_id());
        store.append(first_append(store, invocation)).await.unwrap();
        let append = store.append_statements(&next_append(store, invocation, 1)).remove(0);

        for session in [&mut first, &mut second] {
            execute(session, &format!("BEGIN ISOLATION LEVEL {isolation}"))
                .await
                .unwrap();
            execute(session, "INSERT INTO item VALUES ('cup')").await.unwrap();
        }
        run(&mut first, &append).await.unwrap();
        // The second waits for the first, which commits meanwhile.
        let (refused, ()) = tokio::join!(run(&mut second, &append), async {
            while fixture.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").await == 0 {}
            execute(&mut first, "COMMIT").await.unwrap();
        });
        // To a serializable transaction it is a conflict to repeat; its repetition sees the entry.
        let expected = if isolation == "SERIALIZABLE" {
            "40001"
        } else {
            "journal_entry_pkey"
        };
        assert_eq!(refusal(refused), expected);
        execute(&mut second, "COMMIT").await.unwrap();
        assert_eq!(items(&fixture).await, 1);

        execute(&mut second, &format!("BEGIN ISOLATION LEVEL {isolation}"))
            .await
            .unwrap();
        assert_eq!(refusal(run(&mut second, &append).await), "journal_entry_pkey");
    }
}

#[tokio::test]
async fn a_write_to_a_store_commits_with_the_append_that_carries_it_or_not_at_all() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let (store, invocation) = (&fixture.store, new_id());
    let write = |key: &str, value: Option<&str>| KeyValueWrite {
        store: "cart".into(),
        key: key.into(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    let value = async |key: &str| {
        store
            .key_value("cart", key)
            .await
            .unwrap()
            .map(|value| String::from_utf8(value).unwrap())
    };
    // In a commit of its own.
    let mut append = first_append(store, invocation);
    append.key_values = vec![write("a", Some("one")), write("b", Some("two"))];
    store.append(append).await.unwrap();
    assert_eq!(
        (value("a").await, value("b").await),
        (Some("one".into()), Some("two".into()))
    );

    // Fenced: somebody has written this index.
    store.append(next_append(store, invocation, 1)).await.unwrap();
    let mut fenced = next_append(store, invocation, 1);
    fenced.key_values = vec![write("a", Some("late")), write("b", None)];
    assert_eq!(store.append(fenced.clone()).await, Err(AppendError::Fenced));
    assert_eq!(
        (value("a").await, value("b").await),
        (Some("one".into()), Some("two".into()))
    );

    // In a module's commit, whose rows share its fate.
    for (fate, expected) in [
        ("ROLLBACK", (Some("one"), Some("two"))),
        ("COMMIT", (Some("three"), None)),
    ] {
        let mut append = next_append(store, invocation, 2);
        append.key_values = vec![write("a", Some("three")), write("b", None)];
        execute(&mut session, "BEGIN").await.unwrap();
        for statement in store.append_statements(&append) {
            run(&mut session, &statement).await.unwrap();
        }
        execute(&mut session, fate).await.unwrap();
        let found = (value("a").await, value("b").await);
        assert_eq!((found.0.as_deref(), found.1.as_deref()), expected, "{fate}");
    }
}

#[tokio::test]
async fn an_id_starts_once() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    let start = store.append_statements(&first_append(store, new_id())).remove(0);
    run(&mut session, &start).await.unwrap();
    assert_eq!(refusal(run(&mut session, &start).await), "invocation_pkey");
}

#[tokio::test]
async fn a_commit_through_the_module_waits_for_the_disk_whatever_the_session_says() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let store = &fixture.store;
    execute(&mut session, "SET synchronous_commit = off; BEGIN")
        .await
        .unwrap();
    run(
        &mut session,
        &store.append_statements(&first_append(store, new_id())).remove(0),
    )
    .await
    .unwrap();
    let setting: String = sqlx::query_scalar("SHOW synchronous_commit")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(setting, "on");
}

#[tokio::test]
async fn a_key_is_taken_once_until_it_expires() {
    let fixture = fixture().await;
    let (login, mut first) = fixture.module("order").await;
    let mut second = fixture.session(&login).await;
    let store = &fixture.store;
    let (one, other) = (new_id(), new_id());

    execute(&mut first, "BEGIN").await.unwrap();
    run(&mut first, &store.claim_statement(one, &claim(9, 1)))
        .await
        .unwrap();
    run(
        &mut first,
        &store.append_statements(&first_append(store, one)).remove(0),
    )
    .await
    .unwrap();
    // Nobody knows yet whether the first will commit.
    let waiting = store.claim_statement(other, &claim(9, 1));
    let (refused, ()) = tokio::join!(run(&mut second, &waiting), async {
        fixture.someone_waits().await;
        execute(&mut first, "COMMIT").await.unwrap();
    });
    assert_eq!(refusal(refused), "idempotency_key_pkey");
    assert_eq!(store.find_key(&claim(9, 0)).await.unwrap().unwrap().invocation, one);

    fixture
        .superuser_executes("UPDATE host.idempotency_key SET expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(store.find_key(&claim(9, 0)).await.unwrap(), None);
    run(&mut second, &waiting).await.unwrap();
    assert_eq!(fixture.value("SELECT count(*) FROM host.idempotency_key").await, 1);
}

#[tokio::test]
async fn a_message_is_a_new_invocation_in_its_senders_commit() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let (store, sender, sent) = (&fixture.store, new_id(), new_id());
    let mut append = first_append(store, sender);
    append.messages.push(Message {
        invocation: sent,
        started: encode(&started(0), &*store.seal(sent, None)),
        start: host_journal::Start {
            parent: Some(sender),
            ..start()
        },
        due_ms: SystemClock.unix_ms() - 1_000,
        workflow: None,
    });

    execute(&mut session, "BEGIN").await.unwrap();
    for statement in store.append_statements(&append) {
        run(&mut session, &statement).await.unwrap();
    }
    assert_eq!(store.due(10, &Left::default()).await.unwrap(), []);
    execute(&mut session, "COMMIT").await.unwrap();

    assert_eq!(store.due(10, &Left::default()).await.unwrap(), [(sent, false)]);
    let loaded = store.load(sent).await.unwrap().unwrap();
    assert_eq!((loaded.row.parent, loaded.row.node), (Some(sender), Some(store.node())));
    assert_eq!(loaded.entries, [started(0)]);
}

#[tokio::test]
async fn what_the_database_refuses_for_good_is_told_from_what_passes() {
    let fixture = fixture().await;
    let (store, invocation) = (&fixture.store, crate::support::begun(&fixture.store).await);
    let with_promise = Append {
        promises: vec![PromiseId::new(1, [1; 10])],
        ..next_append(store, invocation, 1)
    };
    for (sqlstate, is_refused) in [("P0001", true), ("22P05", true), ("40001", false), ("53100", false)] {
        fixture
            .superuser_executes(&format!(
                "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN RAISE EXCEPTION 'a bad day' USING ERRCODE = '{sqlstate}'; END $$;
                 CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON host.journal_entry
                     FOR EACH ROW EXECUTE FUNCTION public.refuse()"
            ))
            .await;
        let text = format!("a bad day (SQLSTATE {sqlstate})");
        let expected = match is_refused {
            true => AppendError::Refused(text),
            false => AppendError::Unknown(text),
        };
        for append in [next_append(store, invocation, 1), with_promise.clone()] {
            assert_eq!(store.append(append).await, Err(expected.clone()));
        }
    }
}

#[tokio::test]
async fn what_is_due_at_the_end_of_time_is_kept_until_the_end_of_the_calendar() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (sender, sent, kept) = (crate::support::begun(store).await, new_id(), new_id());
    let message = Message {
        invocation: sent,
        started: encode(&started(0), &*store.seal(sent, None)),
        start: start(),
        due_ms: u64::MAX,
        workflow: None,
    };
    store
        .append(Append {
            messages: vec![message.clone()],
            ..next_append(store, sender, 1)
        })
        .await
        .unwrap();
    // Under a key, in an append of its own, and suspended.
    store
        .append(Append {
            claim: Some(host_journal::Claim {
                expires_ms: u64::MAX,
                ..claim(1, 2)
            }),
            status: Some(InvocationStatus::Suspended),
            suspension: Some(Suspension {
                due_ms: Some(u64::MAX),
                ..Suspension::default()
            }),
            ..first_append(store, kept)
        })
        .await
        .unwrap();
    for invocation in [sent, kept] {
        let due_ms = store.row(invocation).await.unwrap().unwrap().due_ms;
        assert_eq!(due_ms, Some(253_402_300_799_999), "the last moment of 9999");
    }
    assert_eq!(store.due(9, &Left::default()).await.unwrap(), []);
}
