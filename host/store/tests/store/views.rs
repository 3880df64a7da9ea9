//! What an operator reads with psql: every entry decoded as the host decodes it, and nothing that is not for an operator.

use host_journal::{
    Append, AppendJournal, ArgumentHash, Body, Cause, CommandKind, Completion, Entry, FenceReason, Suspension, encode,
};
use host_types::{Position, PromiseId, Scope};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::support::{Fixture, SECRET, claim, execute, first_append, fixture, new_id, refusal, started};

/// A session that may do what the role of the views may.
async fn operator(fixture: &Fixture) -> PgConnection {
    let mut session = fixture.superuser().await;
    let role = format!("SET ROLE \"{}_host_view\"", fixture.store.database());
    execute(&mut session, &role).await.unwrap();
    session
}

fn at(scope: &[u32], number: u32) -> Position {
    let scope = scope.iter().fold(Scope::root(), |scope, number| scope.child(*number));
    Position { scope, number }
}

fn command(position: Position, kind: CommandKind, answer: Option<&str>) -> Body {
    Body::Command {
        position,
        kind,
        target: "shop:stock/stock@0.1.0.hold — held".into(),
        arguments: ArgumentHash([0xab; 16]),
        answer: answer.map(|answer| answer.to_owned().into()),
    }
}

/// An entry of every kind there is.
fn bodies(fixture: &Fixture) -> Vec<Body> {
    let fence = |attempt, reason| Body::Fence {
        attempt,
        node: fixture.store.node(),
        reason,
    };
    let cause = |position, text: &str| Cause {
        position,
        text: text.into(),
        trap: true,
    };
    vec![
        started(0).body,
        command(at(&[], 0), CommandKind::Observation, Some(SECRET)),
        command(at(&[], 300), CommandKind::Call, None),
        command(at(&[300], 70_000), CommandKind::Transaction, Some(&SECRET.repeat(400))),
        command(at(&[300, 24], 1), CommandKind::External, None),
        command(at(&[], 301), CommandKind::Message, Some(SECRET)),
        command(at(&[], 302), CommandKind::Wait, None),
        Body::Completion {
            position: at(&[300, 24], 1),
            answer: SECRET.into(),
        },
        fence(1, FenceReason::TakeOver),
        fence(2, FenceReason::Retry(cause(Some(at(&[300], 7)), "a panic: \u{e9}"))),
        fence(3, FenceReason::Pause(cause(None, "with a zero: \0 in it"))),
        fence(4, FenceReason::Resume),
        fence(5, FenceReason::Cancel("nobody wants it".into())),
        fence(
            6,
            FenceReason::Answer {
                position: at(&[], 302),
                text: "they said so".into(),
            },
        ),
        fence(7, FenceReason::Suspend),
        fence(70_000, FenceReason::Wake),
        Body::Output(SECRET.into()),
    ]
}

/// What a row of the view should say of an entry, in its columns' order.
fn expected(body: &Body) -> String {
    let position = |position: &Position| format!("{}|{}", position.scope, position.number);
    match body {
        Body::Started(header) => format!("started||||{}:{}||||||", header.component, header.function),
        Body::Command {
            position: place,
            kind,
            target,
            answer,
            ..
        } => {
            let hash = "ab".repeat(16);
            format!(
                "command|{}|{kind}|{target}|{hash}|{}||||",
                position(place),
                answer.is_some()
            )
        }
        Body::Completion { position: place, .. } => format!("completion|{}||||||||", position(place)),
        Body::Fence { attempt, node, reason } => {
            let (word, place, text) = match reason {
                FenceReason::TakeOver => ("taken over", None, ""),
                FenceReason::Retry(cause) => ("tried again", cause.position.as_ref(), cause.text.as_str()),
                FenceReason::Pause(_) => ("paused", None, "with a zero: \\000 in it"),
                FenceReason::Resume => ("resumed", None, ""),
                FenceReason::Cancel(text) => ("cancelled", None, text.as_str()),
                FenceReason::Answer { position, text } => ("answered", Some(position), text.as_str()),
                FenceReason::Suspend => ("suspended again", None, ""),
                FenceReason::Wake => ("woken", None, ""),
            };
            let place = place.map_or("|".to_owned(), position);
            format!("fence|{place}|||||{attempt}|{node}|{word}|{text}")
        }
        Body::Output(_) => "output||||||||||".into(),
    }
}

#[tokio::test]
async fn entries_of_every_kind_are_read_as_the_host_reads_them() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = new_id();
    let seal = store.seal(invocation, None);
    let bodies = bodies(&fixture);
    let encoded = bodies.iter().zip(0..).map(|(body, index)| {
        let body = body.clone();
        encode(&Entry { index, body }, &*seal)
    });
    let append = Append {
        bodies: encoded.collect(),
        ..first_append(store, invocation)
    };
    store.append(append).await.unwrap();

    let mut session = operator(&fixture).await;
    let columns = "kind, scope, number, command, target, argument_hash, is_answered, attempt, node_id, reason, cause";
    let texts: Vec<String> = columns
        .split(", ")
        .map(|column| format!("coalesce({column}::text, '')"))
        .collect();
    let query = format!(
        "SELECT concat_ws('|', {}) FROM host_view.journal_entry WHERE invocation_id = '{invocation}' ORDER BY entry_index",
        texts.join(", ")
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(&mut session)
        .await
        .unwrap();
    let wanted: Vec<String> = bodies.iter().map(expected).collect();
    assert_eq!(rows, wanted);
}

#[tokio::test]
async fn each_table_is_seen_without_what_is_secret_and_nothing_else_is() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (invocation, promise) = (new_id(), PromiseId::new(1, [9; 10]));
    store
        .append(Append {
            claim: Some(claim(0x5e, 0x5f)),
            promises: vec![promise],
            ..first_append(store, invocation)
        })
        .await
        .unwrap();
    let seal = store.seal(invocation, None);
    let wait = Entry {
        index: 1,
        body: command(at(&[], 0), CommandKind::Wait, None),
    };
    store
        .append(Append {
            suspension: Some(Suspension {
                promises: vec![promise],
                due_ms: None,
                ..Suspension::default()
            }),
            status: Some(host_journal::InvocationStatus::Suspended),
            ..Append::new(invocation, 1, vec![encode(&wait, &*seal)])
        })
        .await
        .unwrap();
    let other = new_id();
    let value = store.seal(other, None).seal(0, SECRET.as_bytes());
    store
        .append(Append {
            completions: vec![Completion { promise, value }],
            ..first_append(store, other)
        })
        .await
        .unwrap();
    store
        .register_deployment(&[("order".into(), host_types::Digest([4; 32]), b"wasm")], None)
        .await
        .unwrap();

    let mut session = operator(&fixture).await;
    let views: Vec<String> =
        sqlx::query_scalar("SELECT viewname::text FROM pg_views WHERE schemaname = 'host_view' ORDER BY 1")
            .fetch_all(&mut session)
            .await
            .unwrap();
    // A partition is seen with its table, and which files were applied is sqlx's.
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'host'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
             AND relname <> '_sqlx_migrations' ORDER BY 1",
    )
    .fetch_all(&mut fixture.superuser().await)
    .await
    .unwrap();
    assert_eq!(views, tables, "a view for each table");
    let mut seen = String::new();
    for view in &views {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT v::text FROM host_view.{view} AS v")))
            .fetch_all(&mut session)
            .await
            .unwrap();
        // Nobody has said, published, written or activated anything, started a workflow, waited for a key, met a tick or was counted, or has
        // completed a promise in a transaction that keeps its snapshot; and no host has started.
        let may_be_empty = [
            "activation",
            "audit",
            "workflow",
            "exclusive_place",
            "cron_tick",
            "rate_count",
            "wakeup_cause",
            "event",
            "subscription",
            "subscription_node",
            "delivery",
            "lane_wakeup",
            "key_value",
            "origin",
            "restoration",
            "secret",
        ];
        assert!(
            !rows.is_empty() || may_be_empty.contains(&view.as_str()),
            "{view} is empty"
        );
        rows.iter().for_each(|row| seen.push_str(row.get(0)));
    }
    let token = "SELECT encode(token_hash, 'hex') FROM host.node";
    let token: String = sqlx::query_scalar(token)
        .fetch_one(&mut fixture.superuser().await)
        .await
        .unwrap();
    let secrets = [
        SECRET,
        &promise.to_string(),
        &token,
        &"5e".repeat(32),
        &"5f".repeat(32),
        "buyer@example.com",
    ];
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} is seen");
    }
    let binary: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'host_view' AND data_type = 'bytea'",
    )
    .fetch_one(&mut session)
    .await
    .unwrap();
    assert_eq!(binary, 0, "nobody reads bytes");

    for denied in [
        "SELECT * FROM host.invocation",
        "SELECT * FROM host.data_key",
        "SELECT host.check_node(NULL, NULL)",
        "DELETE FROM host_view.invocation",
        "UPDATE host_view.audit SET reason = ''",
        "CREATE TABLE host_view.mine (a integer)",
    ] {
        let outcome = execute(&mut session, denied).await;
        assert_eq!(refusal(outcome), "42501", "{denied}");
    }
}

#[tokio::test]
async fn a_module_sees_no_view() {
    let fixture = fixture().await;
    let (_, mut session) = fixture.module("order").await;
    let outcome = execute(&mut session, "SELECT * FROM host_view.invocation").await;
    assert_eq!(refusal(outcome), "42501");
}
