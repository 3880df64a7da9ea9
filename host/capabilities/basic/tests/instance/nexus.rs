//! `nexus:*` and `wasi:config`, called and replayed.

use std::io::Write;
use std::sync::Arc;

use host_basic::{BasicContext, Grants};
use host_bindings::nexus::crypto::{passwords, tokens};
use host_bindings::nexus::durable::{derived, invocation, timer};
use host_bindings::nexus::link::providers;
use host_bindings::nexus::log::log;
use host_bindings::wasi::config::store;
use host_recorder::Bounds;
use host_types::{Fault, InvocationId};
use parking_lot::Mutex;

use crate::support::{Node, Plain, fault, view};

/// What a first attempt sees, a second one must see after everything around it changed.
async fn twice(node: &Node, change: impl FnOnce(&Node), look: impl AsyncFn(&mut BasicContext) -> String) -> String {
    let mut context = node.attempt();
    let first = look(&mut context).await;
    node.flush(&context).await;
    change(node);
    assert_eq!(look(&mut node.attempt()).await, first);
    first
}

#[tokio::test]
async fn the_invocation_has_one_id_and_one_time() {
    let node = Node::new();
    let seen = twice(
        &node,
        |node| node.clock.set(9_000),
        async |context| {
            let id = invocation::Host::id(&mut view(context)).unwrap();
            assert_eq!(id.parse(), Ok(InvocationId::new(1, [9; 10])));
            format!("{id} {}", invocation::Host::now_ms(&mut view(context)).unwrap())
        },
    );
    assert!(seen.await.ends_with(" 5000"));
}

#[tokio::test]
async fn derived_values_are_drawn_again_and_not_recorded() {
    let node = Node::new();
    let seen = twice(
        &node,
        |_| {},
        async |context| {
            let mut draw = || derived::Host::random_bytes(&mut view(context), 20).unwrap();
            let (one, other) = (draw(), draw());
            assert_ne!(one, other);
            let uuid = derived::Host::uuid(&mut view(context)).unwrap();
            assert_eq!(uuid.parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
            format!("{one:?} {uuid}")
        },
    );
    let drawn = seen.await;
    let mut context = node.attempt();
    let greedy = derived::Host::random_bytes(&mut view(&mut context), 1025).unwrap_err();
    assert!(matches!(fault(&greedy), Fault::Guest(_)), "{drawn}");
    assert_eq!(
        context.recorder.attempt().fault().as_ref(),
        Some(fault(&greedy)),
        "the attempt knows it too"
    );
}

#[tokio::test]
async fn a_scheduled_call_is_sent_with_the_append_and_once() {
    let node = Node::new();
    let id = twice(
        &node,
        |_| {},
        async |context| timer::Host::schedule(&mut view(context), "expire".into(), b"hold-7".to_vec(), 60_000).unwrap(),
    );
    let id = id.await;
    let messages = node.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].invocation.to_string(), messages[0].due_ms), (id, 65_000));
}

#[tokio::test]
async fn a_scheduled_call_has_the_bounds_of_the_component_it_calls() {
    let node = Node::new();
    let grants = Grants {
        scheduled: Bounds {
            memory_limit_bytes: 7 << 20,
            within_ms: Some(1_000),
        },
        ..Grants::default()
    };
    *node.grants.lock() = Arc::new(grants);
    let mut context = node.attempt();
    timer::Host::schedule(&mut view(&mut context), "expire".into(), Vec::new(), 60_000).unwrap();
    node.flush(&context).await;
    let started = host_journal::decode(0, &node.messages()[0].started, &Plain).unwrap();
    let host_journal::Body::Started(header) = started.body else {
        panic!("it begins with its start")
    };
    // It begins a minute after five seconds.
    assert_eq!((header.memory_limit_bytes, header.deadline_ms), (7 << 20, Some(66_000)));
}

#[tokio::test]
async fn messages_that_wait_for_their_append_are_bounded() {
    let schedule = |context: &mut BasicContext, size: usize| {
        // What does not compress, since it is what is held that counts.
        let mut state = 1_u32;
        let noise = (0..size).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        timer::Host::schedule(&mut view(context), "expire".into(), noise.collect(), 60_000)
    };
    let node = Node::new();
    let large = schedule(&mut node.attempt(), 1 << 20).unwrap_err();
    assert!(
        matches!(fault(&large), Fault::LimitExceeded(text) if text.contains("1048582 bytes")),
        "{large}"
    );
    let mut context = node.attempt();
    let sent = (0..100)
        .take_while(|_| schedule(&mut context, 1_000_000).is_ok())
        .count();
    assert_eq!(sent, 16, "sixteen mebibytes");
    assert!(
        matches!(context.recorder.attempt().fault(), Some(Fault::LimitExceeded(_))),
        "the attempt knows it too"
    );
}

#[tokio::test]
async fn providers_are_those_of_the_manifest() {
    let node = Node::new();
    let mut context = node.attempt();
    let mut granted = |name: &str| providers::Host::granted(&mut view(&mut context), name.into()).unwrap();
    assert_eq!(granted("shop:payment/provider"), ["payment-sepay", "payment-cod"]);
    assert!(granted("shop:transport/carrier").is_empty());
}

#[tokio::test]
async fn a_plain_value_is_recorded_and_a_secret_is_not() {
    let node = Node::new();
    let read = |context: &mut BasicContext| {
        let mut get = |key: &str| store::Host::get(&mut view(context), key.into()).unwrap().unwrap();
        let (plain, secret, none) = (get("gateway"), get("signing-key"), get("other"));
        (
            plain.unwrap(),
            secret.unwrap(),
            none,
            store::Host::get_all(&mut view(context)).unwrap().unwrap(),
        )
    };
    let mut context = node.attempt();
    let (plain, secret, none, all) = read(&mut context);
    assert_eq!(
        (plain.as_str(), secret.as_str(), none),
        ("https://first.example", "secret-first", None)
    );
    assert_eq!(all.len(), 2);
    node.flush(&context).await;

    node.configure("second");
    let (plain, secret, _, all) = read(&mut node.attempt());
    assert_eq!(
        (plain.as_str(), secret.as_str()),
        ("https://first.example", "secret-second")
    );
    assert_eq!(all, [("gateway".into(), plain), ("signing-key".into(), secret)]);
    let written = node.written();
    let holds = |text: &str| written.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("https://first.example") && !holds("secret-first"));
}

#[tokio::test]
async fn a_password_is_hashed_once_and_never_written() {
    let node = Node::new();
    let seen = twice(
        &node,
        |_| {},
        async |context| {
            let hash = passwords::Host::hash(&mut view(context), "correct horse".into())
                .await
                .unwrap()
                .unwrap();
            let mut verdicts = Vec::new();
            for (password, hash) in [
                ("correct horse", Some(hash.clone())),
                ("wrong horse", Some(hash.clone())),
                ("any", None),
            ] {
                let verdict = passwords::Host::verify(&mut view(context), password.into(), hash)
                    .await
                    .unwrap();
                verdicts.push((verdict.matches, verdict.outdated));
            }
            assert_eq!(verdicts, [(true, false), (false, false), (false, false)]);
            hash
        },
    );
    assert!(seen.await.starts_with("$argon2id$"), "the salt of the first attempt");
    assert!(!node.written().windows(5).any(|window| window == b"horse"));
    let long = passwords::Host::hash(&mut view(&mut node.attempt()), "x".repeat(1025))
        .await
        .unwrap();
    assert!(matches!(long, Err(passwords::Error::TooLong)));
}

#[tokio::test]
async fn tokens_are_signed_with_granted_keys_and_checked_with_recorded_time() {
    let node = Node::new();
    let payload = r#"{"sub":"7","exp":6}"#;
    let seen = twice(
        &node,
        |node| node.clock.set(7_000),
        async |context| {
            let token = tokens::Host::sign(&mut view(context), "access".into(), payload.into())
                .unwrap()
                .unwrap();
            let read = tokens::Host::verify(&mut view(context), "access".into(), token.clone()).unwrap();
            assert_eq!(
                read.unwrap(),
                payload,
                "not expired, whatever the time is at the replay"
            );
            let other = tokens::Host::verify(&mut view(context), "refresh".into(), token.clone()).unwrap();
            assert!(matches!(other, Err(tokens::Error::Invalid(_))));
            let print = tokens::Host::fingerprint(&mut view(context), "refresh".into(), token.clone())
                .unwrap()
                .unwrap();
            assert_eq!(print.len(), 64);
            format!("{token} {print}")
        },
    );
    let seen = seen.await;
    let token = seen.split(' ').next().unwrap();

    let later = Node::new();
    later.clock.set(6_000);
    let mut context = later.attempt();
    let expired = tokens::Host::verify(&mut view(&mut context), "access".into(), token.into()).unwrap();
    assert!(matches!(expired, Err(tokens::Error::Expired)));
    for refused in [
        tokens::Host::sign(&mut view(&mut context), "admin".into(), payload.into()).unwrap(),
        tokens::Host::verify(&mut view(&mut context), "admin".into(), token.into()).unwrap(),
        tokens::Host::fingerprint(&mut view(&mut context), "admin".into(), token.into()).unwrap(),
    ] {
        assert!(matches!(refused, Err(tokens::Error::UnknownKey(name)) if name == "admin"));
    }
    let bare = tokens::Host::sign(&mut view(&mut context), "access".into(), "[]".into()).unwrap();
    assert!(matches!(bare, Err(tokens::Error::Invalid(_))));
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_carries_who_wrote_it() {
    let (node, lines) = (Node::new(), Lines::default());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut context = node.attempt();
        let fields = vec![
            ("component.id".to_owned(), "forged".to_owned()),
            ("order".to_owned(), "7".to_owned()),
        ];
        log::Host::write(&mut view(&mut context), log::Level::Warn, "stock is low".into(), fields).unwrap();
        log::Host::write(&mut view(&mut context), log::Level::Info, "x".repeat(1 << 20), vec![]).unwrap();
    });
    let written = String::from_utf8(lines.0.lock().clone()).unwrap();
    let mut written = written.lines();
    let line = written.next().unwrap();
    for part in [
        r#""level":"WARN""#,
        r#""message":"stock is low""#,
        r#""component.id":"account""#,
        r#""invocation.id":"#,
        r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736""#,
        "forged",
    ] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert_eq!(line.matches(r#""component.id":"#).count(), 1, "{line}");
    assert!(written.next().unwrap().len() < 16 << 10);
}

#[tokio::test]
async fn a_line_is_not_written_again_by_a_replay() {
    let (node, lines) = (Node::new(), Lines::default());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let say = |context: &mut BasicContext, text: &str| {
        log::Host::write(&mut view(context), log::Level::Info, text.into(), vec![]).unwrap();
    };
    let mut first = node.attempt();
    say(&mut first, "begun");
    invocation::Host::now_ms(&mut view(&mut first)).unwrap();
    say(&mut first, "looked at the clock");
    node.flush(&first).await;

    let mut second = node.attempt();
    say(&mut second, "begun");
    invocation::Host::now_ms(&mut view(&mut second)).unwrap();
    say(&mut second, "looked at the clock");
    drop(second.recorder.external("test.flush", b"").await.unwrap());
    say(&mut second, "gone on");
    let written = String::from_utf8(lines.0.lock().clone()).unwrap();
    for line in ["begun", "looked at the clock", "gone on"] {
        assert_eq!(written.matches(line).count(), 1, "{line}: {written}");
    }
}
