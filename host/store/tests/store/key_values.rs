//! The pairs of key-value stores: what is kept, what is listed, and who may no longer write.

use host_store::{Error, GoneBecause, KeyPage, SQLSTATE_WRONG_TOKEN};

use crate::support::{execute, fixture, node};

#[tokio::test]
async fn what_is_put_under_a_key_is_found_there_until_it_is_removed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    assert_eq!(store.key_value("cart", "a").await.unwrap(), None);
    store.set_key_value("cart", "a", b"one").await.unwrap();
    store.set_key_value("cart", "a", b"two").await.unwrap();
    store.set_key_value("cart", "empty", b"").await.unwrap();
    assert_eq!(store.key_value("cart", "a").await.unwrap(), Some(b"two".to_vec()));
    assert_eq!(store.key_value("cart", "empty").await.unwrap(), Some(Vec::new()));
    assert!(store.key_value_exists("cart", "empty").await.unwrap());
    assert!(!store.key_value_exists("seen", "a").await.unwrap(), "stores are apart");
    store.delete_key_value("cart", "a").await.unwrap();
    store.delete_key_value("cart", "a").await.unwrap();
    assert!(!store.key_value_exists("cart", "a").await.unwrap());
}

#[tokio::test]
async fn a_key_that_stays_is_in_exactly_one_page() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for key in ["c", "a", "d", "b"] {
        store.set_key_value("cart", key, b"").await.unwrap();
    }
    store.set_key_value("other", "x", b"").await.unwrap();
    let first = store.key_page("cart", None, 2).await.unwrap();
    assert_eq!(first.keys, ["c", "a"]);
    assert!(first.last_mark.is_some());
    store.delete_key_value("cart", "c").await.unwrap();
    store.set_key_value("cart", "a", b"again").await.unwrap();
    store.set_key_value("cart", "c", b"new").await.unwrap();
    let second = store.key_page("cart", first.last_mark, 3).await.unwrap();
    let expected = KeyPage {
        keys: vec!["d".into(), "b".into(), "c".into()],
        last_mark: None,
    };
    assert_eq!(second, expected);
}

#[tokio::test]
async fn a_node_that_was_taken_over_from_writes_nothing_more() {
    let fixture = fixture().await;
    fixture.store.set_key_value("cart", "a", b"mine").await.unwrap();
    let successor = node(&fixture.database, "two").await;
    assert!(
        successor
            .mark_gone(fixture.store.node(), GoneBecause::ProcessEnded)
            .await
            .unwrap()
    );
    let set = fixture.store.set_key_value("cart", "a", b"late").await;
    assert!(matches!(set, Err(Error::NodeGone)), "{set:?}");
    let deleted = fixture.store.delete_key_value("cart", "a").await;
    assert!(matches!(deleted, Err(Error::NodeGone)), "{deleted:?}");
    assert_eq!(successor.key_value("cart", "a").await.unwrap(), Some(b"mine".to_vec()));
}

#[tokio::test]
async fn a_module_reaches_no_pair_but_through_the_capability() {
    let fixture = fixture().await;
    fixture.store.set_key_value("cart", "a", b"mine").await.unwrap();
    let (_, mut session) = fixture.module("shelf").await;
    // The functions are the host's way to write in a module's commit: they demand the token of a node, which no guest sees.
    for (statement, code) in [
        ("SELECT value FROM host.key_value", "42501"),
        (
            "INSERT INTO host.key_value (store, key, value) VALUES ('cart', 'b', '')",
            "42501",
        ),
        (
            "SELECT host.set_key_value(gen_random_uuid(), '\\x00', 'cart', 'a', '')",
            SQLSTATE_WRONG_TOKEN,
        ),
        (
            "SELECT host.delete_key_value(gen_random_uuid(), '\\x00', 'cart', 'a')",
            SQLSTATE_WRONG_TOKEN,
        ),
    ] {
        let refused = execute(&mut session, statement).await.unwrap_err();
        let sqlstate = refused.as_database_error().and_then(|answer| answer.code());
        assert_eq!(sqlstate.as_deref(), Some(code), "{statement}: {refused}");
    }
    assert_eq!(
        fixture.store.key_value("cart", "a").await.unwrap().as_deref(),
        Some(&b"mine"[..])
    );
}
