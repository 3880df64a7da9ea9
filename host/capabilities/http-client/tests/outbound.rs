//! A component that sends requests to real servers.

#[path = "support/journal.rs"]
mod journal;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use host_http_client::{Grant, Limits, Unknown};
use host_manifest::{HostPattern, OutboundHost, Scheme};
use host_recorder::TransactionStep;
use host_types::Fault;
use tokio_rustls::TlsAcceptor;

use crate::server::Server;
use crate::world::{CONNECT, Call, GET, HEAD, HTTP, HTTPS, Names, Order, POST, World, code, fault};

/// A grant of one host and port.
fn grant(scheme: Scheme, host: &str, port: u16) -> Grant {
    OutboundHost {
        scheme,
        host: HostPattern::Exact(host.into()),
        port,
    }
    .into()
}

/// A server, and a component that is granted it by its address.
async fn granted(limits: Limits) -> (World, Server) {
    let mut world = World {
        limits,
        ..World::default()
    };
    let server = Server::start(world.journal.clone(), None).await;
    world
        .grants
        .push(grant(Scheme::Http, "127.0.0.1", server.address.port()));
    (world, server)
}

fn get(server: &Server, path: &'static str) -> Call {
    let authority = server.address.to_string();
    Call {
        method: GET,
        scheme: HTTP,
        authority,
        path,
        order: Order::WithoutBody,
        chunks: 0,
    }
}

fn post(server: &Server, path: &'static str) -> Call {
    Call {
        method: POST,
        order: Order::HandleFirst,
        ..get(server, path)
    }
}

async fn sent(world: &World, call: Call) -> (u32, String) {
    world.send(&call).await.expect("the guest is told")
}

#[tokio::test]
async fn only_what_is_granted_is_reached() {
    let (mut world, server) = granted(Limits::default()).await;
    let port = server.address.port();
    for authority in [
        "127.0.0.1:1".to_owned(),
        format!("localhost:{port}"),
        "127.0.0.1".into(),
    ] {
        let denied = sent(
            &world,
            Call {
                authority,
                ..post(&server, "/hello")
            },
        )
        .await;
        assert_eq!(denied, (code::HTTP_REQUEST_DENIED, String::new()));
    }
    assert_eq!(
        sent(
            &world,
            Call {
                scheme: HTTPS,
                ..get(&server, "/hello")
            }
        )
        .await
        .0,
        code::HTTP_REQUEST_DENIED
    );
    assert_eq!(
        sent(
            &world,
            Call {
                method: CONNECT,
                ..get(&server, "/")
            }
        )
        .await
        .0,
        code::HTTP_REQUEST_METHOD_INVALID
    );
    world.grants.clear();
    assert_eq!(sent(&world, get(&server, "/hello")).await.0, code::HTTP_REQUEST_DENIED);
    assert_eq!((server.lines(), world.journal.shape().as_str()), (vec![], ""));
}

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
async fn redirects_are_not_followed() {
    let (world, server) = granted(Limits::default()).await;
    assert_eq!(sent(&world, get(&server, "/redirect")).await, (302, "moved".into()));
    assert_eq!(server.lines(), ["GET /redirect"]);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused() {
    let (mut world, server) = granted(Limits::default()).await;
    let port = server.address.port();
    let names = [
        ("shop.test", vec!["127.0.0.1".parse().unwrap()]),
        (
            "many.test",
            vec![
                "10.0.0.1".parse().unwrap(),
                "::ffff:127.0.0.1".parse().unwrap(),
                "169.254.169.254".parse().unwrap(),
            ],
        ),
    ];
    world.names = Arc::new(Names {
        addresses: names.into(),
        ..Names::default()
    });
    world.grants.push(grant(Scheme::Http, "shop.test", port));
    world.grants.push(
        OutboundHost {
            scheme: Scheme::Http,
            host: HostPattern::Any,
            port,
        }
        .into(),
    );
    for name in ["shop.test", "many.test", "[::ffff:127.0.0.1]", "127.0.0.2"] {
        let refused = sent(
            &world,
            Call {
                authority: format!("{name}:{port}"),
                ..get(&server, "/hello")
            },
        )
        .await;
        assert_eq!(refused.0, code::DESTINATION_IP_PROHIBITED, "{name}");
    }
    assert_eq!(server.lines(), Vec::<String>::new());
    let unknown = sent(
        &world,
        Call {
            authority: format!("none.test:{port}"),
            ..get(&server, "/hello")
        },
    )
    .await;
    assert_eq!(unknown.0, code::DNS_ERROR);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_localhost_is_a_grant_of_loopback() {
    let (mut world, server) = granted(Limits::default()).await;
    let port = server.address.port();
    let addresses = vec!["10.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
    world.names = Arc::new(Names {
        addresses: [("localhost", addresses)].into(),
        ..Names::default()
    });
    world.grants.push(grant(Scheme::Http, "localhost", port));
    let call = Call {
        authority: format!("LOCALHOST:{port}"),
        ..get(&server, "/hello")
    };
    assert_eq!(sent(&world, call).await, (200, "hello".into()));
    assert_eq!(world.names.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_response_that_is_too_long_is_refused_whether_it_says_so_or_not() {
    let limits = Limits {
        response_bytes: 10_000,
        ..Limits::default()
    };
    let (world, server) = granted(limits).await;
    assert_eq!(sent(&world, get(&server, "/bytes?10000")).await.0, 200);
    for path in ["/bytes?10001", "/chunks?10001", "/bytes?5000000"] {
        assert_eq!(
            sent(&world, get(&server, path)).await.0,
            code::HTTP_RESPONSE_BODY_SIZE,
            "{path}"
        );
    }
    let head = Call {
        method: HEAD,
        ..get(&server, "/bytes?5000000")
    };
    assert_eq!(sent(&world, head).await, (200, String::new()));
    // It was answered, so nothing about it is unknown.
    assert_eq!(
        sent(&world, post(&server, "/bytes?10001")).await.0,
        code::HTTP_RESPONSE_BODY_SIZE
    );
}

#[tokio::test]
async fn the_longest_response_fits_the_record() {
    let (world, server) = granted(Limits::default()).await;
    assert_eq!(sent(&world, post(&server, "/bytes?983040")).await.0, 200);
    assert_eq!(sent(&world, post(&server, "/bytes?983040")).await.0, 200);
    assert_eq!(server.lines().len(), 1);
}

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
async fn a_server_that_keeps_silent_is_not_waited_for() {
    let short = Duration::from_millis(100);
    let limits = Limits {
        first_byte: short,
        ..Limits::default()
    };
    let (world, server) = granted(limits).await;
    assert_eq!(
        sent(&world, get(&server, "/silent")).await.0,
        code::HTTP_RESPONSE_TIMEOUT
    );

    let (world, server) = granted(Limits {
        total: short,
        ..Limits::default()
    })
    .await;
    assert_eq!(sent(&world, get(&server, "/half")).await.0, code::HTTP_RESPONSE_TIMEOUT);
    let (code, text) = sent(&world, post(&server, "/silent")).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("outcome-unknown: "), "{text}");

    let (mut world, server) = granted(Limits {
        connect: short,
        ..Limits::default()
    })
    .await;
    let port = server.address.port();
    world.names = Arc::new(Names {
        addresses: [("mute.test", vec![])].into(),
        ..Names::default()
    });
    world.grants.push(grant(Scheme::Http, "mute.test", port));
    let unresolved = Call {
        authority: format!("mute.test:{port}"),
        ..get(&server, "/hello")
    };
    assert_eq!(sent(&world, unresolved).await.0, code::CONNECTION_TIMEOUT);
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

#[tokio::test]
async fn tls_is_spoken_with_whom_the_roots_vouch_for() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();

    let mut world = World::default();
    let server = Server::start(world.journal.clone(), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let port = server.address.port();
    world.names = Arc::new(Names {
        addresses: [("localhost", vec![server.address.ip()])].into(),
        ..Names::default()
    });
    world.grants = vec![
        grant(Scheme::Https, "localhost", port),
        grant(Scheme::Https, "127.0.0.1", port),
    ];
    let call = Call {
        scheme: HTTPS,
        authority: format!("localhost:{port}"),
        ..get(&server, "/hello")
    };
    assert_eq!(
        sent(&world, call.clone()).await.0,
        code::TLS_PROTOCOL_ERROR,
        "nobody vouches for it"
    );

    world.roots.push(certified.cert.der().clone());
    assert_eq!(sent(&world, call.clone()).await, (200, "hello".into()));
    let other_name = Call {
        authority: server.address.to_string(),
        ..call
    };
    assert_eq!(
        sent(&world, other_name).await.0,
        code::TLS_PROTOCOL_ERROR,
        "the certificate is for another name"
    );
    assert_eq!(server.lines(), ["GET /hello"]);
}
