//! The client understands all the server says, and says what to do when there is nothing to understand.

use std::error::Error;

use host_admin::{
    AdminClient, Answer, AuditFilter, Bulk, ClientError, Completing, CompletingAll, DeadLetterBulk, DeadLetterFilter,
    DeadLetterVerb, Filter, InvocationsView, PositionView, Replaying, Status, Steering, Verb,
};
use host_types::{ComponentId, WaitingFor};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{
    BROKEN, Host, TOKEN, TORN, TORN_WITHIN, component, cursor, dead_letter, detail, ended, invocation, node_view, open,
    replayed, said, unknown,
};

fn client(url: &str) -> AdminClient {
    AdminClient::new(url, TOKEN).unwrap()
}

#[tokio::test]
async fn everything_the_server_says_arrives_as_it_was() {
    let host = Host::start(TOKEN).await;
    let client = client(&host.url());
    assert_eq!(client.components().await.unwrap(), [component()]);
    assert_eq!(client.nodes().await.unwrap(), [node_view()]);
    assert_eq!(client.invocation(open()).await.unwrap(), detail());
    let steering = Steering::default();
    for (verb, status) in [
        (Verb::Pause, Status::Paused),
        (Verb::Resume, Status::Running),
        (Verb::Cancel, Status::Cancelled),
    ] {
        let steered = client.steer(verb, open(), &steering).await.unwrap();
        assert_eq!(steered, invocation(open(), status));
    }
    let replaying = Replaying {
        pinned: true,
        component: Some("order".into()),
        wasm: vec![0; 3 << 20].into(),
    };
    assert_eq!(client.replay(open(), replaying).await.unwrap(), replayed());
    let said_of_it = format!("replay true Some({:?}) {} bytes", ComponentId::from("order"), 3 << 20);
    assert!(host.said().contains(&said_of_it), "{:?}", host.said());
    let audit = client.audit(&AuditFilter::default()).await.unwrap();
    assert_eq!((audit.audit, audit.next_cursor), (vec![said()], Some(7)));

    let filter = Filter {
        status: Some(Status::Failed),
        component: Some("a&b=c d".into()),
        function: Some("shop:order/purchases.buy".into()),
        older_than_ms: Some(1_500),
        cause: Some("the provider's 503 & more".into()),
        waiting_for: Some(WaitingFor::Time),
        idempotency_key: Some("key/1".into()),
        subject: Some("ann".into()),
        limit: Some(7),
        cursor: Some(cursor()),
    };
    let page = InvocationsView {
        invocations: vec![invocation(open(), Status::Running)],
        next_cursor: None,
    };
    assert_eq!(client.invocations(&filter).await.unwrap(), page);
    assert_eq!(
        client.invocations(&Filter::default()).await.unwrap().next_cursor,
        Some(cursor())
    );
    assert_eq!(
        host.filters(),
        [
            filter,
            Filter {
                limit: Some(50),
                ..Filter::default()
            }
        ]
    );
}

#[tokio::test]
async fn what_an_operator_says_arrives_with_the_name_and_the_reason() {
    let host = Host::start(TOKEN).await;
    let client = client(&host.url()).named("ann").unwrap();
    let steering = Steering {
        reason: "stuck".into(),
        force: true,
        to: None,
    };
    client.steer(Verb::Restart, open(), &steering).await.unwrap();
    let bulk = Bulk {
        status: Some(Status::Paused),
        limit: Some(1),
        reason: "it is back".into(),
        ..Bulk::default()
    };
    let view = client.steer_all(Verb::Resume, &bulk).await.unwrap();
    assert_eq!((view.matched, view.done, view.more), (1, 1, true));
    let completing = Completing {
        position: PositionView {
            scope: "/0".into(),
            n: 2,
        },
        answer: Answer::Json(serde_json::json!({ "ok": null })),
        reason: "looked it up".into(),
    };
    client.complete_entry(open(), &completing).await.unwrap();
    let completing = CompletingAll {
        chosen: bulk,
        target: "shop:payment/provider.charge".into(),
        answer: Answer::Base64("AA==".into()),
    };
    let view = client.complete_entries(&completing).await.unwrap();
    assert_eq!((view.matched, view.done, view.without), (1, 1, 0));
    let expected = [
        "restart true by ann because \"stuck\"",
        "resume false by ann because \"it is back\"",
        "/0#2 is Json(Object {\"ok\": Null}) by ann because \"looked it up\"",
        "/#1 is Base64(\"AA==\") by ann because \"it is back\"",
    ];
    assert_eq!(host.said(), expected);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let host = Host::start(TOKEN).await;
    let client = client(&host.url());
    let error = client
        .steer(Verb::Resume, ended(), &Steering::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the invocation is completed");
    assert!(matches!(error, ClientError::Refused(problem) if problem.code == "conflict" && problem.status == 409));
    let error = client.invocation(unknown()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no invocation {}", unknown()));
    let filter = Filter {
        limit: Some(1000),
        ..Filter::default()
    };
    let error = client.invocations(&filter).await.unwrap_err();
    assert_eq!(error.to_string(), "limit: \"1000\" is not a whole number from 1 to 100");
}

#[tokio::test]
async fn a_refused_token_says_where_the_right_one_is() {
    let host = Host::start(TOKEN).await;
    let error = AdminClient::new(&host.url(), "guess")
        .unwrap()
        .nodes()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized));
    assert!(error.to_string().contains("ready file"), "{error}");
}

#[tokio::test]
async fn nobody_listening_says_how_to_start_a_host() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client(&format!("http://{address}")).nodes().await.unwrap_err();
    let text = format!(
        "no host answers at http://{address}; start it with `nexus up`, or name its admin address if it is another"
    );
    assert_eq!(error.to_string(), text);
    assert!(
        error
            .source()
            .is_some_and(|source| source.to_string().contains("refused"))
    );
}

/// What a client says to a server that sends these bytes and closes.
async fn answer_to(bytes: &'static [u8]) -> ClientError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Wait for the request, so that the bytes are its answer.
        stream.readable().await.unwrap();
        stream.write_all(bytes).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.nodes(), serve);
    answer.unwrap_err()
}

#[tokio::test]
async fn what_is_not_an_admin_server_is_recognized() {
    for bytes in [
        b"".as_slice(),
        b"+OK ready\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
    ] {
        let error = answer_to(bytes).await;
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .ends_with("broke off; is it the admin address of a host?"),
            "{error}"
        );
    }
    for (bytes, status) in [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".as_slice(), "200 OK"),
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope".as_slice(),
            "404 Not Found",
        ),
    ] {
        let error = answer_to(bytes).await;
        assert!(matches!(error, ClientError::Answer { .. }), "{error:?}");
        assert!(
            error.to_string().contains(&format!("answered {status} in a form")),
            "{error}"
        );
    }
}

#[test]
fn a_url_is_one_of_an_admin_server_or_refused() {
    for url in [
        "http://127.0.0.1:5006",
        "http://127.0.0.1:5006/",
        "http://[::1]:5006",
        "http://localhost",
    ] {
        assert!(AdminClient::new(url, TOKEN).is_ok(), "{url}");
    }
    for url in [
        "",
        "127.0.0.1:5006",
        "https://127.0.0.1:5006",
        "http://",
        "http://a:b@host:1",
        "http://host:1/v1",
        "/v1",
    ] {
        let error = AdminClient::new(url, TOKEN).unwrap_err();
        assert!(matches!(error, ClientError::Url { .. }), "{url}: {error:?}");
    }
    assert!(matches!(
        AdminClient::new("http://localhost", "a\nb"),
        Err(ClientError::TokenText)
    ));
}

#[tokio::test]
async fn a_word_to_many_tells_what_it_has_done_where_it_cannot_go_on() {
    let host = Host::start(TOKEN).await;
    let client = client(&host.url());
    let letters = async |subscription: &str| {
        let bulk = DeadLetterBulk {
            subscription: Some(subscription.to_owned()),
            ..DeadLetterBulk::default()
        };
        client.settle_all(DeadLetterVerb::Replay, &bulk).await
    };
    let away = Some("the database does not answer".to_owned());
    let between = letters(TORN).await.unwrap();
    assert_eq!((between.matched, between.done, between.more), (1, 1, true));
    assert_eq!((between.stopped, between.next_cursor), (away.clone(), Some(cursor())));
    // The one of which it is not known is said to again: it is behind the cursor.
    let within = letters(TORN_WITHIN).await.unwrap();
    assert_eq!((within.matched, within.done, within.more), (1, 1, true));
    assert_eq!((within.stopped, within.next_cursor), (away.clone(), Some(open())));
    let bulk = Bulk {
        component: Some(TORN.into()),
        ..Bulk::default()
    };
    let resumed = client.steer_all(Verb::Resume, &bulk).await.unwrap();
    assert_eq!((resumed.matched, resumed.done, resumed.stopped), (1, 1, away));
    // What has done nothing has nothing to tell.
    assert!(
        letters(BROKEN)
            .await
            .unwrap_err()
            .to_string()
            .contains("does not answer")
    );
}

#[tokio::test]
async fn dead_letters_are_listed_and_settled() {
    let host = Host::start(TOKEN).await;
    let client = client(&host.url()).named("ann").unwrap();
    let filter = DeadLetterFilter {
        subscription: Some("placed".into()),
        limit: Some(1),
        ..DeadLetterFilter::default()
    };
    let page = client.dead_letters(&filter).await.unwrap();
    assert_eq!(
        (page.dead_letters, page.next_cursor),
        (vec![dead_letter()], Some(cursor()))
    );

    let settled = client.settle(DeadLetterVerb::Replay, open(), "fixed").await.unwrap();
    assert_eq!(settled.outcome, "replay by ann: fixed");
    let refused = client.settle(DeadLetterVerb::Drop, ended(), "").await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} is no dead letter", ended()));

    let mut bulk = DeadLetterBulk {
        subscription: Some("placed".into()),
        ..DeadLetterBulk::default()
    };
    let all = client.settle_all(DeadLetterVerb::Drop, &bulk).await.unwrap();
    assert_eq!((all.matched, all.done, all.more), (2, 2, false));
    bulk.dry_run = true;
    bulk.limit = Some(1);
    let counted = client.settle_all(DeadLetterVerb::Drop, &bulk).await.unwrap();
    assert_eq!((counted.matched, counted.done, counted.more), (1, 0, true));
    // Of a retired subscription what waits for it goes, too; and only counting says nothing.
    assert!(
        host.said().iter().all(|said| !said.starts_with("drop order/")),
        "{:?}",
        host.said()
    );
    let mut gone = DeadLetterBulk {
        subscription: Some("gone".into()),
        dry_run: true,
        ..DeadLetterBulk::default()
    };
    let counted = client.settle_all(DeadLetterVerb::Drop, &gone).await.unwrap();
    assert_eq!((counted.matched, counted.waiting), (0, 14));
    gone.dry_run = false;
    let replayed = client.settle_all(DeadLetterVerb::Replay, &gone).await.unwrap();
    assert_eq!(replayed.waiting, 0);
    assert_eq!(host.said(), [] as [&str; 0]);
    // One that cannot be dropped takes the report of the others with it as little as a dead letter does.
    let dropped = client.settle_all(DeadLetterVerb::Drop, &gone).await.unwrap();
    assert_eq!(dropped.waiting, 7);
    let failed: Vec<_> = dropped.retired_failed.iter().map(|failed| &failed.component).collect();
    assert_eq!(failed, [&Some("broken".into())]);
    assert_eq!(host.said(), ["drop order/gone by ann: "]);
    let everything = client
        .settle_all(DeadLetterVerb::Drop, &DeadLetterBulk::default())
        .await;
    assert!(everything.unwrap_err().to_string().contains("subscription"));
}
