//! The `Idempotency-Key` header. Its grammar is tested where it is parsed.

use crate::support::{Host, own_id};

#[tokio::test]
async fn a_key_counts_where_a_repetition_would_do_harm() {
    let host = Host::plain().await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"] {
        assert_eq!(host.ask(method, "/api/x", "Idempotency-Key: \"a b\"").await.status, 200);
    }
    let keys: Vec<_> = host
        .calls()
        .into_iter()
        .map(|call| call.idempotency_key.map(|key| key.0))
        .collect();
    let key = Some("a b".to_owned());
    assert_eq!(keys, [key.clone(), key.clone(), key.clone(), key, None, None]);
}

#[tokio::test]
async fn a_wrong_key_is_a_400_before_anything_runs_and_ignored_on_get() {
    let host = Host::plain().await;
    let long = format!("idempotency-key: {}", "k".repeat(256));
    let table = [
        (
            "idempotency-key:",
            "Idempotency-Key is empty; send 1 to 255 characters, or leave it out",
        ),
        (long.as_str(), "Idempotency-Key is longer than 255 characters"),
        (
            "idempotency-key: \"open",
            "Idempotency-Key is neither a quoted string nor a token of visible ASCII characters",
        ),
        (
            "idempotency-key: a\nidempotency-key: a",
            "Idempotency-Key is sent more than once",
        ),
    ];
    for (count, (header, text)) in table.iter().enumerate() {
        host.ask("POST", "/api/x", header)
            .await
            .is_error(400, "validation", text, own_id(count as u64));
    }
    assert!(host.calls().is_empty());
    for (header, _) in table {
        assert_eq!(host.ask("GET", "/api/x", header).await.status, 200);
    }
}
