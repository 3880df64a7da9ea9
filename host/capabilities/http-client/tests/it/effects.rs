//! Requests and the record: what is sent when, what a replay does, what is said about the unknown.

use std::sync::Arc;
use std::time::Duration;

use host_http_client::{Grant, Limits};
use host_manifest::{Scheme, Unknown};
use host_recorder::TransactionStep;
use host_types::Fault;
use tokio::time::Instant;

use crate::world::{Call, Names, Order, World, code, fault};
use crate::{get, grant, granted, post, sent};

#[tokio::test]
async fn a_read_is_recorded_and_its_replay_reaches_nobody() {
    let (world, server) = granted(Limits::default()).await;
    let first = world.attempt();
    assert_eq!(
        first.send(&get(&server, "/hello")).await.unwrap(),
        (200, "hello".into())
    );
    assert_eq!(world.journal.shape(), "", "a read alone leaves nothing");
    assert_eq!(
        first.send(&post(&server, "/echo")).await.unwrap(),
        (200, "hello".into())
    );
    assert_eq!(world.journal.shape(), "SRID");

    let second = world.attempt();
    assert_eq!(
        second.send(&get(&server, "/hello")).await.unwrap(),
        (200, "hello".into())
    );
    assert_eq!(
        second.send(&post(&server, "/echo")).await.unwrap(),
        (200, "hello".into())
    );
    assert_eq!(server.lines(), ["GET /hello", "POST /echo"]);
    assert_eq!(server.seen()[0].host, server.address.to_string());
    let other = fault(world.send(&get(&server, "/echo")).await);
    assert!(matches!(other, Fault::Mismatch { .. }), "{other}");
}

#[tokio::test]
async fn an_effect_is_sent_between_its_durable_intent_and_its_durable_outcome() {
    for order in [Order::HandleFirst, Order::BodyFirst] {
        let (world, server) = granted(Limits::default()).await;
        assert_eq!(
            sent(
                &world,
                Call {
                    order,
                    ..post(&server, "/echo")
                }
            )
            .await,
            (200, "hello".into())
        );
        assert_eq!(world.journal.shape(), "SID");
        let seen = &server.seen()[0];
        assert_eq!(
            (seen.body.as_ref(), seen.journal.as_str(), &seen.key),
            (b"hello".as_slice(), "SI", &None)
        );
    }
}

#[tokio::test]
async fn whatever_a_read_may_tell_of_is_durable_before_it() {
    for order in [Order::WithoutBody, Order::HandleFirst] {
        let (world, server) = granted(Limits::default()).await;
        let running = world.attempt();
        let call = Call {
            order,
            ..get(&server, "/hello")
        };
        assert_eq!(running.send(&call).await.unwrap().0, 200);
        running.attempt.recorder().create_promise().unwrap();
        assert_eq!(running.send(&call).await.unwrap().0, 200);
        assert_eq!(running.send(&call).await.unwrap().0, 200);
        let journals: Vec<_> = server.seen().into_iter().map(|seen| seen.journal).collect();
        assert_eq!(
            journals,
            ["", "SRC", "SRC"],
            "a read that can tell of nothing writes nothing"
        );
    }
}

#[tokio::test]
async fn a_request_in_doubt_is_reported_and_not_repeated() {
    let (world, server) = granted(Limits::default()).await;
    sent(&world, post(&server, "/hello")).await;
    world.journal.cut(2);
    for _ in 0..2 {
        let (code, text) = sent(&world, post(&server, "/hello")).await;
        assert_eq!(code, code::INTERNAL_ERROR);
        assert!(text.starts_with("outcome-unknown: "), "{text}");
        assert_eq!(world.journal.shape(), "SID", "what the guest was told is durable");
    }
    assert_eq!(server.lines(), ["POST /hello"]);
}

#[tokio::test]
async fn a_component_with_another_secret_gets_what_was_recorded_and_repeats_with_it() {
    let (mut world, server) = granted(Limits::default()).await;
    world.grants[0].unknown = Unknown::Repeat;
    world.grants[0].sends_key = true;
    assert_eq!(
        sent(&world, post(&server, "/hello?signed=first")).await,
        (200, "hello".into())
    );
    let other = fault(world.send(&post(&server, "/hello?signed=second")).await);
    assert!(matches!(other, Fault::Mismatch { .. }), "{other}");

    let given_another = || {
        let running = world.attempt();
        running.attempt.recorder().give_other_secret();
        running
    };
    let call = post(&server, "/hello?signed=second");
    assert_eq!(given_another().send(&call).await.unwrap(), (200, "hello".into()));
    assert_eq!(server.lines().len(), 1, "it is answered from the record");
    let other = fault(given_another().send(&get(&server, "/hello")).await);
    assert!(matches!(other, Fault::Mismatch { .. }), "{other}");

    world.journal.cut(2);
    assert_eq!(given_another().send(&call).await.unwrap(), (200, "hello".into()));
    assert_eq!(
        server.lines(),
        ["POST /hello?signed=first", "POST /hello?signed=second"]
    );
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.key).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test]
async fn a_request_in_doubt_is_repeated_with_its_key_where_the_grant_says_so() {
    let (mut world, server) = granted(Limits::default()).await;
    world.grants[0].unknown = Unknown::Repeat;
    world.grants[0].sends_key = true;
    sent(&world, post(&server, "/hello")).await;
    world.journal.cut(2);
    assert_eq!(sent(&world, post(&server, "/hello")).await, (200, "hello".into()));
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.key).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test]
async fn a_repetition_that_fails_before_it_is_sent_leaves_the_outcome_unknown() {
    let (mut world, server) = granted(Limits::default()).await;
    let port = server.address.port();
    let known = [("localhost", vec![server.address.ip()])].into();
    world.names = Arc::new(Names {
        addresses: known,
        ..Names::default()
    });
    world.grants = vec![Grant {
        unknown: Unknown::Repeat,
        ..grant(Scheme::Http, "localhost", port)
    }];
    let call = Call {
        authority: format!("localhost:{port}"),
        ..post(&server, "/hello")
    };
    assert_eq!(sent(&world, call.clone()).await.0, 200);
    world.journal.cut(2);
    world.names = Arc::default();
    let (code, text) = sent(&world, call).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("outcome-unknown: name resolution"), "{text}");
    assert_eq!((server.lines().len(), world.journal.shape().as_str()), (1, "SID"));
}

#[tokio::test]
async fn an_effect_that_was_sent_and_not_answered_is_unknown_and_a_read_has_failed() {
    let (world, server) = granted(Limits::default()).await;
    let (code, text) = sent(&world, post(&server, "/close")).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("outcome-unknown: "), "{text}");
    assert_eq!(
        sent(&world, post(&server, "/close")).await,
        (code, text),
        "a replay says the same"
    );
    assert_eq!(server.lines(), ["POST /close"]);

    let (world, server) = granted(Limits::default()).await;
    assert_eq!(
        sent(&world, get(&server, "/close")).await.0,
        code::CONNECTION_TERMINATED
    );
}

#[tokio::test]
async fn an_effect_that_was_never_sent_is_no_secret() {
    let (mut world, server) = granted(Limits::default()).await;
    // Bound and dropped: nobody listens there.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    world.grants.push(grant(Scheme::Http, "127.0.0.1", free.port()));
    let refused = sent(
        &world,
        Call {
            authority: free.to_string(),
            ..post(&server, "/hello")
        },
    )
    .await;
    assert_eq!(refused, (code::CONNECTION_REFUSED, String::new()));
}

#[tokio::test]
async fn no_effect_begins_when_the_lease_is_about_to_end() {
    let (mut world, server) = granted(Limits::default()).await;
    world.lease_left = Arc::new(|| Duration::from_millis(2_999));
    let refused = fault(world.send(&post(&server, "/hello")).await);
    assert!(matches!(refused, Fault::Transient(_)), "{refused}");
    assert_eq!(
        (server.lines(), world.journal.shape().as_str()),
        (vec![], ""),
        "nothing is in doubt"
    );
    assert_eq!(
        sent(&world, get(&server, "/hello")).await.0,
        200,
        "a read needs no lease"
    );
}

#[tokio::test]
async fn a_grant_says_how_long_its_effects_may_take_within_what_the_node_allows() {
    let (mut world, server) = granted(Limits {
        first_byte: Duration::from_millis(10),
        longest_effect: Duration::from_secs(20),
        ..Limits::default()
    })
    .await;
    // An effect of the grant's own patience needs as much of the lease.
    let needs = async |world: &mut World, effect: Duration, needed: Duration| {
        world.grants[0].effect_total = Some(effect);
        for (left, is_sent) in [(needed - Duration::from_millis(1), false), (needed, true)] {
            world.journal.cut(0);
            world.lease_left = Arc::new(move || left);
            let sent = world.send(&post(&server, "/hello")).await;
            assert_eq!(sent.is_ok(), is_sent, "{effect:?} with {left:?} left");
        }
    };
    needs(&mut world, Duration::from_millis(500), Duration::from_millis(500)).await;
    needs(&mut world, Duration::from_secs(8), Duration::from_secs(8)).await;
    needs(&mut world, Duration::from_secs(60), Duration::from_secs(20)).await;

    let patience = Duration::from_millis(100);
    world.grants[0].effect_total = Some(patience);
    world.journal.cut(0);
    let begun = Instant::now();
    let (code, text) = sent(&world, post(&server, "/silent")).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("outcome-unknown: "), "{text}");
    assert!(begun.elapsed() >= patience, "it waits for the first byte as long");
}

#[tokio::test]
async fn what_is_recorded_needs_neither_a_lease_nor_a_place() {
    let (mut world, server) = granted(Limits::default()).await;
    assert_eq!(sent(&world, post(&server, "/hello")).await, (200, "hello".into()));
    world.lease_left = Arc::new(|| Duration::ZERO);
    world.limits.concurrent = 0;
    world.limits.wait = Duration::from_millis(10);
    assert_eq!(sent(&world, post(&server, "/hello")).await, (200, "hello".into()));
    assert_eq!(server.lines(), ["POST /hello"]);
}

#[tokio::test]
async fn an_effect_whose_lease_ran_out_while_the_intent_was_written_is_not_sent() {
    let (mut world, server) = granted(Limits::default()).await;
    let journal = world.journal.clone();
    world.lease_left = Arc::new(move || match journal.shape().is_empty() {
        true => Duration::from_secs(60),
        false => Duration::ZERO,
    });
    let (code, text) = sent(&world, post(&server, "/hello")).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("not-sent: "), "{text}");
    assert_eq!((server.lines(), world.journal.shape().as_str()), (vec![], "SID"));
}

#[tokio::test]
async fn requests_beyond_the_bound_overload_the_node() {
    let limits = Limits {
        concurrent: 1,
        wait: Duration::from_millis(10),
        ..Limits::default()
    };
    let (world, server) = granted(limits).await;
    let running = Arc::new(world.attempt());
    let silent = tokio::spawn({
        let (running, call) = (running.clone(), get(&server, "/silent"));
        async move { running.send(&call).await }
    });
    server.arrival().await;
    let refused = fault(running.send(&post(&server, "/hello")).await);
    assert!(matches!(refused, Fault::Overloaded(_)), "{refused}");
    silent.abort();
    assert_eq!(server.lines(), ["GET /silent"]);
}

#[tokio::test]
async fn an_open_transaction_excludes_requests() {
    let (world, server) = granted(Limits::default()).await;
    let running = world.attempt();
    let recorder = running.attempt.recorder();
    let TransactionStep::Perform(open) = recorder.transaction(b"").unwrap() else {
        panic!("nothing is recorded")
    };
    let refused = fault(running.send(&get(&server, "/hello")).await);
    assert!(matches!(refused, Fault::Guest(_)), "{refused}");
    assert_eq!(server.lines(), Vec::<String>::new());
    drop(open);
}
