//! Cross-origin requests.

use crate::support::{Answer, Host};

fn permissions(answer: &Answer) -> Vec<(&str, &str)> {
    let is_permission = |name: &str| name.starts_with("access-control-");
    let mut found: Vec<_> = (answer.headers.iter())
        .filter(|(name, _)| is_permission(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_every_response() {
    let host = Host::plain().await;
    for (path, status) in [("/api/x", 200), ("/health", 200), ("/unknown", 404)] {
        let answer = host.ask("GET", path, "origin: https://page.test").await;
        assert_eq!(answer.status, status);
        let exposed = "Idempotency-Replayed,Link,RateLimit,RateLimit-Policy,Retry-After,X-Invocation-Id";
        let expected = [
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", exposed),
        ];
        assert_eq!(permissions(&answer), expected, "{path}");
        assert_eq!(answer.headers("vary"), ["origin"]);
    }
}

#[tokio::test]
async fn without_an_origin_there_is_no_permission() {
    let host = Host::plain().await;
    for (method, status) in [("GET", 200), ("OPTIONS", 204)] {
        let answer = host.ask(method, "/api/x", "").await;
        assert_eq!((answer.status, permissions(&answer)), (status, vec![]));
        assert_eq!(answer.headers("vary"), ["origin"]);
    }
}

#[tokio::test]
async fn a_preflight_is_allowed_what_it_asks_for() {
    let host = Host::plain().await;
    for path in ["/api/x", "/unknown", "*"] {
        let headers = "origin: https://page.test\naccess-control-request-method: PATCH\n\
            access-control-request-headers: authorization,x-custom";
        let answer = host.ask("OPTIONS", path, headers).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(
            permissions(&answer),
            [
                ("access-control-allow-headers", "authorization,x-custom"),
                ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
                ("access-control-allow-origin", "*"),
            ]
        );
        let vary = [
            "access-control-request-method",
            "access-control-request-headers",
            "origin",
        ];
        assert_eq!(answer.headers("vary"), vary);
        assert!(answer.header("x-invocation-id").is_some());
    }
    assert!(host.calls().is_empty());
}
