//! Request bodies, in every order a guest may write them.

use std::time::Duration;

use host_http_client::Limits;
use host_types::Fault;

use crate::world::{Call, Order, code, fault};
use crate::{granted, post, sent};

#[tokio::test]
async fn a_long_request_body_arrives_whole_and_a_too_long_one_never() {
    let limits = Limits {
        request_bytes: 256 << 10,
        ..Limits::default()
    };
    for order in [Order::HandleFirst, Order::BodyFirst] {
        let (world, server) = granted(limits.clone()).await;
        let long = Call {
            order,
            chunks: 64,
            ..post(&server, "/hello")
        };
        assert_eq!(sent(&world, long.clone()).await, (200, "hello".into()));
        assert_eq!(server.seen()[0].body.len(), 256 << 10);
        world.journal.cut(0);
        let refused = sent(&world, Call { chunks: 65, ..long }).await;
        assert_eq!(refused.0, code::HTTP_REQUEST_BODY_SIZE);
        assert_eq!((server.lines().len(), world.journal.shape().as_str()), (1, ""));
    }
}

#[tokio::test]
async fn what_the_guest_drops_belongs_to_nothing_else() {
    let (world, server) = granted(Limits::default()).await;
    let dropped = sent(
        &world,
        Call {
            order: Order::DropsBody,
            ..post(&server, "/echo")
        },
    )
    .await;
    assert_eq!(dropped, (code::HTTP_PROTOCOL_ERROR, String::new()));
    assert_eq!((server.lines(), world.journal.shape().as_str()), (vec![], ""));

    let reused = sent(
        &world,
        Call {
            order: Order::DropsRequest,
            ..post(&server, "/echo")
        },
    )
    .await;
    assert_eq!(
        reused,
        (200, String::new()),
        "the body of a dropped request is not sent with another"
    );
    world.journal.cut(0);

    sent(
        &world,
        Call {
            order: Order::DropsResponse,
            ..post(&server, "/echo")
        },
    )
    .await;
    assert_eq!(
        server.seen()[1].body.as_ref(),
        b"hello",
        "a request whose response nobody wants is sent"
    );
    assert_eq!(world.journal.shape(), "SID");
}

#[tokio::test]
async fn bodies_that_are_kept_open_are_bounded_in_number() {
    let (world, server) = granted(Limits::default()).await;
    let running = world.attempt();
    let mut store = running.store();
    let call = Call {
        order: Order::LeavesBodyOpen,
        ..post(&server, "/echo")
    };
    for _ in 0..16 {
        assert_eq!(running.send_in(&mut store, &call).await.unwrap().0, code::PENDING);
    }
    let refused = fault(running.send_in(&mut store, &call).await);
    assert!(matches!(refused, Fault::LimitExceeded(_)), "{refused}");
}

#[tokio::test]
async fn a_body_that_stays_open_ends_the_attempt() {
    let (world, server) = granted(Limits {
        open: Duration::from_millis(20),
        ..Limits::default()
    })
    .await;
    let running = world.attempt();
    let mut store = running.store();
    let call = Call {
        order: Order::LeavesBodyOpen,
        ..post(&server, "/echo")
    };
    assert_eq!(running.send_in(&mut store, &call).await.unwrap().0, code::PENDING);
    let faulted = async {
        while running.attempt.fault().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), faulted)
        .await
        .expect("the attempt ends");
    assert!(matches!(running.attempt.fault(), Some(Fault::Guest(_))));
    assert_eq!(server.lines(), Vec::<String>::new());
}
