//! How often a caller may ask. How requests are counted is tested where that is done.

use std::sync::atomic::Ordering;

use host_metrics::{Exposition, Registry};

use crate::support::{Answer, Host, head, own_id};

const BUY: &str = "/api/cart/all/buy";
const SIGN_IN: &str = "/api/cart/door/sign-in";
const GOOD: &str = "authorization: Bearer good";
const OTHER: &str = "authorization: Bearer other";

/// What an answer says of its limit.
fn said(answer: &Answer) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    let header = |name| answer.header(name);
    (
        answer.status,
        header("ratelimit-policy"),
        header("ratelimit"),
        header("retry-after"),
    )
}

#[tokio::test]
async fn requests_of_one_limit_share_a_quota_and_who_has_used_it_up_is_told_when_to_come_back() {
    let host = Host::plain().await;
    let policy = Some("\"buy\";q=2;w=60");
    for (path, remaining) in [
        (BUY, "\"buy\";r=1;t=37"),
        ("/api/cart/7/b%75y/again/", "\"buy\";r=0;t=37"),
    ] {
        let answer = host.ask("POST", path, GOOD).await;
        assert_eq!(said(&answer), (200, policy, Some(remaining), None), "{path}");
    }
    for count in 2..5 {
        let answer = host.ask("POST", "/api/cart/8/buy/again", GOOD).await;
        assert_eq!(said(&answer), (429, policy, Some("\"buy\";r=0;t=37"), Some("37")));
        let text = "more than 2 requests in 60 s are too many here (`buy`); try again in 37 s";
        answer.is_error(429, "too_many_requests", text, own_id(count));
    }
    assert_eq!(host.calls().len(), 2);
    let counted = host.counter.counts();
    assert_eq!(
        counted.get("cart/buy/60 account a1"),
        Some(&3),
        "a spent window is not asked for again: {counted:?}"
    );
}

#[tokio::test]
async fn each_account_has_a_quota_of_its_own_and_the_rest_have_that_of_their_address() {
    let host = Host::plain().await;
    for header in [GOOD, OTHER, "", "authorization: Bearer old"] {
        let answer = host.ask("POST", BUY, header).await;
        assert_eq!(answer.status, 200, "{header}");
    }
    let counted: Vec<_> = host.counter.counts().into_iter().collect();
    let expected = [
        ("cart/buy/60 account a1", 1),
        ("cart/buy/60 account a2", 1),
        ("cart/buy/60 address 127.0.0.1", 2),
    ];
    assert_eq!(counted, expected.map(|(bucket, count)| (bucket.to_owned(), count)));
}

#[tokio::test]
async fn a_limit_by_address_asks_not_for_accounts_nor_for_what_a_client_says_of_itself() {
    let host = Host::plain().await;
    assert_eq!(host.ask("POST", SIGN_IN, GOOD).await.status, 200);
    let forwarded = "x-forwarded-for: 192.0.2.1\nforwarded: for=192.0.2.1\nspin-client-addr: 192.0.2.1";
    let answer = host.ask("POST", SIGN_IN, &format!("{OTHER}\n{forwarded}")).await;
    assert_eq!(answer.status, 429);
}

#[tokio::test]
async fn whatever_is_not_limited_is_not_counted_and_says_nothing() {
    let host = Host::plain().await;
    for (method, path) in [
        ("GET", BUY),
        ("POST", "/api/cart"),
        ("POST", "/api/x"),
        ("OPTIONS", BUY),
    ] {
        let answer = host.ask(method, path, "").await;
        let (_, policy, limit, _) = said(&answer);
        assert_eq!((policy, limit), (None, None), "{method} {path}");
    }
    assert!(host.counter.counts().is_empty());
}

#[tokio::test]
async fn who_is_refused_has_neither_its_key_nor_its_body_looked_at() {
    let host = Host::plain().await;
    host.ask("POST", SIGN_IN, "").await;
    for headers in ["idempotency-key:", "content-length: 9999999999\nexpect: 100-continue"] {
        assert_eq!(host.ask("POST", SIGN_IN, headers).await.status, 429, "{headers}");
    }
    // Of those that pass the limit, the key is looked at, and the answer says how they stand all the same.
    let answer = host.ask("POST", BUY, "idempotency-key:").await;
    assert_eq!(
        said(&answer),
        (400, Some("\"buy\";q=2;w=60"), Some("\"buy\";r=1;t=37"), None)
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_counted_passes_or_not_as_its_limit_says() {
    let host = Host::plain().await;
    for failure in [&host.counter.is_broken, &host.counter.is_silent] {
        failure.store(true, Ordering::Relaxed);
        let answer = host.ask("POST", BUY, "").await;
        assert_eq!(said(&answer), (200, Some("\"buy\";q=2;w=60"), None, None));
        let answer = host.ask("POST", SIGN_IN, "").await;
        assert_eq!(said(&answer), (503, Some("\"sign-in\";q=1;w=3600"), None, Some("1")));
        assert_eq!(answer.json()["error"]["code"], "unavailable");
    }
    assert_eq!(host.calls().len(), 2);
}

#[tokio::test]
async fn what_limits_say_is_counted_by_policy() {
    let host = Host::plain().await;
    for _ in 0..3 {
        host.ask("POST", SIGN_IN, "").await;
    }
    host.counter.is_broken.store(true, Ordering::Relaxed);
    host.ask("POST", BUY, "").await;
    let mut registry = Registry::default();
    host.metrics.register(&mut registry);
    let text = Exposition::new(registry).render("").await.text;
    for sample in [
        "nexus_rate_limited_requests_total{component=\"cart\",policy=\"sign-in\",outcome=\"allowed\"} 1",
        "nexus_rate_limited_requests_total{component=\"cart\",policy=\"sign-in\",outcome=\"refused\"} 2",
        "nexus_rate_limited_requests_total{component=\"cart\",policy=\"buy\",outcome=\"uncounted\"} 1",
    ] {
        assert!(text.contains(sample), "no {sample} in\n{text}");
    }
}

#[tokio::test]
async fn whom_a_request_names_is_counted_whoever_asks() {
    let host = Host::plain().await;
    let limits = |answer: &Answer| {
        let policies = answer.headers("ratelimit-policy").join(", ");
        (answer.status, policies, answer.headers("ratelimit").join(", "))
    };
    let policies = "\"buy\";q=2;w=60, \"thing\";q=1;w=60".to_owned();
    let answer = host.post(BUY, r#"{"count": [1, 2], "id": "lamp"}"#).await;
    let left = "\"buy\";r=1;t=37, \"thing\";r=0;t=37".to_owned();
    assert_eq!(limits(&answer), (200, policies.clone(), left));
    // The caller has one left, and the thing none.
    let answer = host.post(BUY, r#"{"id": "lamp"}"#).await;
    let left = "\"buy\";r=0;t=37, \"thing\";r=0;t=37".to_owned();
    assert_eq!(limits(&answer), (429, policies, left));
    let text = "more than 1 requests in 60 s are too many here (`thing`); try again in 37 s";
    answer.is_error(429, "too_many_requests", text, own_id(1));
    assert_eq!(answer.header("retry-after"), Some("37"));
    // Refused as a caller, nobody is named any more.
    let answer = host.post(BUY, r#"{"id": "chair"}"#).await;
    let policy = "\"buy\";q=2;w=60".to_owned();
    assert_eq!(limits(&answer), (429, policy, "\"buy\";r=0;t=37".to_owned()));
    assert_eq!(host.calls().len(), 1);
    let counted: Vec<_> = host.counter.counts().into_keys().collect();
    assert_eq!(counted, ["cart/buy/60 address 127.0.0.1", "cart/thing/60 named lamp"]);
}

#[tokio::test]
async fn whom_a_request_names_is_the_same_however_it_is_spelt() {
    let host = Host::plain().await;
    for (id, status) in [("lamp", 200), (" LAMP\u{a0}", 429)] {
        let body = serde_json::json!({ "id": id }).to_string();
        assert_eq!(host.post(BUY, &body).await.status, status, "{id:?}");
    }
    let counted: Vec<_> = host.counter.counts().into_keys().collect();
    assert_eq!(counted, ["cart/buy/60 address 127.0.0.1", "cart/thing/60 named lamp"]);
}

#[tokio::test]
async fn whoever_names_nobody_is_counted_as_a_caller_alone() {
    let host = Host::plain().await;
    for body in [r#"{"id": 7}"#, "no JSON"] {
        assert_eq!(host.post(BUY, body).await.status, 200, "{body}");
    }
    let counted: Vec<_> = host.counter.counts().into_keys().collect();
    assert_eq!(counted, ["cart/buy/60 address 127.0.0.1"]);
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_requests_it_brings() {
    let host = Host::plain().await;
    for (address, forwarded) in [
        ("127.0.0.2", "x-forwarded-for: 203.0.113.5, 192.0.2.1"),
        ("127.0.0.2", "x-forwarded-for: 192.0.2.2"),
        ("127.0.0.2", "x-other: 1"),
        ("127.0.0.3", "x-forwarded-for: 192.0.2.1"),
    ] {
        let mut client = host.connect_from(address).await;
        client.write(&head("POST", BUY, forwarded)).await;
        assert_eq!(client.read().await.status, 200, "{address} {forwarded}");
    }
    let asked: Vec<_> = host.calls().into_iter().map(|call| call.request.peer).collect();
    assert_eq!(asked, ["192.0.2.1", "192.0.2.2", "127.0.0.2", "127.0.0.3"]);
    let counted: Vec<_> = host.counter.counts().into_keys().collect();
    let expected = ["127.0.0.2", "127.0.0.3", "192.0.2.1", "192.0.2.2"];
    assert_eq!(
        counted,
        expected.map(|address| format!("cart/buy/60 address {address}"))
    );
}
