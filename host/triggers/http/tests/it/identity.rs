//! A bearer token as an identity.

use host_types::{Claims, Identity};

use crate::support::Host;

#[tokio::test]
async fn a_token_becomes_an_identity() {
    let good = || {
        Identity::Verified(Claims {
            subject: "a1".to_owned(),
            payload: r#"{"sub":"a1","Account":{"Number":7}}"#.to_owned(),
        })
    };
    let invalid = |reason: &str| Identity::Invalid(reason.to_owned());
    let table = [
        ("", Identity::Anonymous),
        ("authorization:", Identity::Anonymous),
        ("authorization: Bearer good", good()),
        ("AUTHORIZATION: Bearer   good", good()),
        ("authorization: good", good()),
        (
            "authorization: Bearer numbered",
            Identity::Verified(Claims {
                subject: "7".into(),
                payload: r#"{"sub":7}"#.into(),
            }),
        ),
        // The prefix is case-sensitive: this whole text is taken for a token.
        ("authorization: bearer good", invalid("the token is expired")),
        ("authorization: Bearer old", invalid("the token is expired")),
        ("authorization: Bearer", invalid("the token is expired")),
        (
            "authorization: Bearer nameless",
            invalid("the token has no claim `sub`"),
        ),
        ("authorization: Bearer empty", invalid("the token has no claim `sub`")),
        ("authorization: Bearer array", invalid("the token has no claim `sub`")),
        (
            "authorization: Bearer good\nauthorization: Bearer good",
            invalid("the header Authorization is sent more than once"),
        ),
        (
            "authorization: Bearer caf\u{e9}",
            invalid("the header Authorization is not ASCII text"),
        ),
    ];
    let host = Host::plain().await;
    for (header, _) in &table {
        // Whether a caller without a right token is refused is the component's to say.
        assert_eq!(host.ask("GET", "/api/cart", header).await.status, 200, "{header}");
    }
    for (call, (header, identity)) in host.calls().into_iter().zip(table) {
        assert_eq!(call.request.identity, identity, "{header}");
    }
}

#[tokio::test]
async fn where_no_rule_says_how_tokens_are_verified_everybody_is_anonymous() {
    let host = Host::plain().await;
    host.ask("GET", "/api/orders", "authorization: Bearer good").await;
    let request = host.call().request;
    assert_eq!(request.identity, Identity::Anonymous);
    assert!(request.headers.iter().all(|(name, _)| name != "authorization"));
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_where_the_manifest_says_so_and_recorded_nowhere() {
    let host = Host::plain().await;
    for (path, header) in [
        ("/api/cart/stream/live?a=1&token=good&b=2&token=old", ""),
        ("/api/cart/stream/live?token=old", "authorization: Bearer good"),
        ("/api/cart/stream/other?token=good", ""),
        ("/api/cart/stream/live?token=", ""),
    ] {
        assert_eq!(host.ask("GET", path, header).await.status, 200);
    }
    let found: Vec<_> = host
        .calls()
        .into_iter()
        .map(|call| {
            (
                call.request.query,
                matches!(call.request.identity, Identity::Verified(_)),
            )
        })
        .collect();
    let expected = [("a=1&b=2", true), ("", true), ("token=good", false), ("", false)];
    assert_eq!(found, expected.map(|(query, verified)| (query.to_owned(), verified)));
}
