//! Whom a request reaches, and how much of an answer is waited for and read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use host_http_client::Limits;
use host_manifest::{HostPattern, OutboundHost, Scheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::server::Server;
use crate::world::{CONNECT, Call, GET, HEAD, HTTP, HTTPS, Names, Order, POST, World, code};
use crate::{get, grant, granted, post, sent};

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

/// A server that answers whatever is sent with these bytes, and keeps the connection.
async fn answering(bytes: String) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            // A client that has read enough may be gone.
            let _ = stream.write_all(bytes.as_bytes()).await;
            kept.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn a_head_without_end_or_bounds_is_no_response() {
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let cases = [
        format!("HTTP/1.1 200 OK\r\nx-large: {}", "h".repeat(40 << 10)),
        format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n".to_owned(),
        "none\r\n\r\n".to_owned(),
    ];
    for bytes in cases {
        let port = answering(bytes.clone()).await;
        let mut world = World::default();
        world.grants.push(grant(Scheme::Http, "127.0.0.1", port));
        let call = |method| Call {
            method,
            scheme: HTTP,
            authority: format!("127.0.0.1:{port}"),
            path: "/",
            order: Order::WithoutBody,
            chunks: 0,
        };
        let begun = &bytes[..bytes.len().min(24)];
        assert_eq!(sent(&world, call(GET)).await.0, code::HTTP_PROTOCOL_ERROR, "{begun}");
        let (code, text) = sent(&world, call(POST)).await;
        assert_eq!(code, code::INTERNAL_ERROR, "{begun}");
        assert!(text.starts_with("outcome-unknown: "), "{text}");
    }
}

#[tokio::test]
async fn the_longest_response_fits_the_record() {
    let (world, server) = granted(Limits::default()).await;
    assert_eq!(sent(&world, post(&server, "/bytes?983040")).await.0, 200);
    assert_eq!(sent(&world, post(&server, "/bytes?983040")).await.0, 200);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_server_is_not_waited_for_beyond_a_deadline() {
    let (world, server) = granted(Limits::default()).await;
    world.journal.hurry(1_200);
    let begun = Instant::now();
    assert_eq!(
        sent(&world, get(&server, "/silent")).await.0,
        code::HTTP_RESPONSE_TIMEOUT
    );
    let (code, text) = sent(&world, post(&server, "/silent")).await;
    assert_eq!(code, code::INTERNAL_ERROR);
    assert!(text.starts_with("outcome-unknown: "), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(server.lines(), ["GET /silent", "POST /silent"]);
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
