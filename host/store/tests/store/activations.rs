//! What stands in for which file, in one order for all nodes, and how far each of them has followed.

use host_journal::{AppendJournal, Body, Entry, FenceReason, InvocationStatus, encode};
use host_store::{AuditFilter, ComponentWord, Fence, Known, Store, Word};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId};

use crate::support::{begun, fixture, node};

const FILE: &[u8] = b"file";

async fn keep(store: &Store, revisions: &[&[u8]]) {
    for wasm in revisions {
        store.keep_revision(Digest::of(wasm), wasm).await.unwrap();
    }
}

fn word(revision: &[u8], below: Option<i64>) -> ComponentWord {
    ComponentWord {
        operator: "ann".into(),
        verb: "activate",
        component: "order".into(),
        replaces: Digest::of(FILE),
        revision: Digest::of(revision),
        below,
        reason: "a fix".into(),
        outcome: "active".into(),
    }
}

fn files(order: &[u8]) -> [(ComponentId, Digest); 2] {
    [
        ("order".into(), Digest::of(order)),
        ("cart".into(), Digest::of(b"cart")),
    ]
}

#[tokio::test]
async fn a_revision_stands_in_for_the_file_it_was_activated_for_and_for_no_other() {
    let fixture = fixture().await;
    let store = &fixture.store;
    keep(store, &[FILE, b"fix", b"better"]).await;
    let active = store.active(&files(FILE)).await.unwrap();
    assert_eq!((active.sequence, &active.components[..]), (0, &files(FILE)[..]));

    let first = store.activate(&word(b"fix", None), 0).await.unwrap().unwrap();
    let active = store.active(&files(FILE)).await.unwrap();
    assert_eq!((active.sequence, &active.components[..]), (first, &files(b"fix")[..]));
    let released = store.active(&files(b"release")).await.unwrap();
    assert_eq!(
        (released.sequence, &released.components[..]),
        (first, &files(b"release")[..]),
        "another file is another matter, and the sequence is everybody's"
    );

    let second = store.activate(&word(b"better", Some(first)), first).await.unwrap();
    let stack = store.activations(&"order".into(), Digest::of(FILE), 10).await.unwrap();
    let revisions: Vec<_> = stack.iter().map(|activation| activation.revision).collect();
    assert_eq!(revisions, [Digest::of(b"better"), Digest::of(b"fix")]);
    let top = store.activations(&"order".into(), Digest::of(FILE), 1).await.unwrap();
    assert_eq!(top.first().map(|activation| activation.sequence), second);
    assert!(
        store
            .activations(&"cart".into(), Digest::of(b"cart"), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn of_two_that_were_checked_on_the_same_set_one_has_to_look_again() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    keep(&other, &[FILE, b"fix", b"better"]).await;
    let (fix, better) = (word(b"fix", None), word(b"better", None));
    let (here, there) = tokio::join!(fixture.store.activate(&fix, 0), other.activate(&better, 0));
    let won = [here.unwrap(), there.unwrap()];
    assert_eq!(won.iter().flatten().count(), 1, "{won:?}");
    let all = AuditFilter {
        limit: 10,
        ..AuditFilter::default()
    };
    let said = fixture.store.audit(&all).await.unwrap();
    assert_eq!(said.len(), 1, "no word without its effect");
    let word = &said[0];
    assert_eq!(
        (word.invocation, word.component.as_ref()),
        (None, Some(&"order".into()))
    );
    let winner = if won[0].is_some() { b"fix".as_slice() } else { b"better" };
    assert_eq!(word.revision, Some(Digest::of(winner)));
}

#[tokio::test]
async fn whoever_waits_is_told_of_live_nodes_that_serve_and_have_not_followed() {
    let fixture = fixture().await;
    let (one, two) = (&fixture.store, node(&fixture.database, "two").await);
    keep(one, &[FILE, b"fix"]).await;
    assert!(one.acknowledge_first(0, DeploymentNumber(1)).await.unwrap());
    let sequence = one.activate(&word(b"fix", None), 0).await.unwrap().unwrap();
    let names = |behind: Vec<host_store::Behind>| -> Vec<_> { behind.into_iter().map(|behind| behind.name).collect() };
    // The other one starts, and serves nothing before it has followed all there is.
    assert_eq!(names(one.behind(sequence).await.unwrap()), ["one"]);
    assert!(!two.acknowledge_first(0, DeploymentNumber(1)).await.unwrap());
    assert!(two.acknowledge_first(sequence, DeploymentNumber(1)).await.unwrap());
    assert_eq!(names(two.behind(sequence).await.unwrap()), ["one"]);
    one.cannot_activate("it does not link").await.unwrap();
    let behind = two.behind(sequence).await.unwrap();
    assert_eq!(behind[0].reason.as_deref(), Some("it does not link"));
    one.acknowledge(sequence, DeploymentNumber(1)).await.unwrap();
    assert!(two.behind(sequence).await.unwrap().is_empty());

    // A node of a version that knows nothing of this is never up to date; one whose lease is over is nobody's concern.
    fixture
        .superuser_executes("UPDATE host.node SET knows = 89, activation = NULL WHERE name = 'one'")
        .await;
    let behind = two.behind(sequence).await.unwrap();
    assert!(
        behind[0]
            .reason
            .as_deref()
            .is_some_and(|reason| reason.contains("older"))
    );
    assert_eq!(two.older_nodes().await.unwrap(), ["one"]);
    fixture
        .superuser_executes("UPDATE host.node SET heartbeat_at = now() - interval '1 h' WHERE name = 'one'")
        .await;
    assert!(two.behind(sequence).await.unwrap().is_empty());
    assert!(two.older_nodes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_revision_is_known_of_the_components_it_was_registered_for() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let set = [
        ("order".into(), Digest::of(FILE), FILE),
        ("cart".into(), Digest::of(b"cart"), b"cart".as_slice()),
    ];
    let number = store.register_deployment(&set).await.unwrap();
    assert_eq!(store.register_set(&files(FILE)).await.unwrap(), number);
    let known = |component: &str, wasm: &[u8]| {
        let (component, revision) = (ComponentId::from(component), Digest::of(wasm));
        async move { store.known_revision(&component, revision).await.unwrap() }
    };
    assert_eq!(known("order", FILE).await, Known::Yes);
    assert_eq!(known("order", b"cart").await, Known::OfOthers(vec!["cart".into()]));
    assert_eq!(known("order", b"nothing").await, Known::No);
}

#[tokio::test]
async fn a_move_changes_the_row_and_what_is_loaded_and_not_the_record() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let invocation = begun(store).await;
    let fence = |next_index| {
        let body = Body::Fence {
            attempt: 1,
            node: store.node(),
            reason: FenceReason::TakeOver,
        };
        let entry = Entry {
            index: next_index,
            body,
        };
        Fence {
            invocation,
            next_index,
            bodies: vec![encode(&entry, &*store.seal(invocation, None))],
            start: None,
            status: InvocationStatus::Paused,
            owner: None,
            attempt: 1,
            failures: 0,
            due_ms: None,
            cause: None,
        }
    };
    let entries = store.load(invocation).await.unwrap().unwrap().entries.len() as u32;
    let before = store.bodies(invocation).await.unwrap();
    let moved = move_word(invocation);
    assert!(
        store.fence_with_word(&fence(0), &moved).await.is_err(),
        "the journal is longer"
    );
    assert_eq!(
        store.row(invocation).await.unwrap().unwrap().deployment,
        DeploymentNumber(1)
    );

    store.fence_with_word(&fence(entries), &moved).await.unwrap();
    let loaded = store.load(invocation).await.unwrap().unwrap();
    let Some(Body::Started(header)) = loaded.entries.first().map(|entry| &entry.body) else {
        panic!("it begins with its start");
    };
    assert_eq!(
        (loaded.row.deployment, header.deployment),
        (DeploymentNumber(7), DeploymentNumber(7))
    );
    let after = store.bodies(invocation).await.unwrap();
    assert_eq!(after[..before.len()], before[..]);
}

fn move_word(invocation: InvocationId) -> Word {
    Word {
        operator: "ann".into(),
        verb: "move",
        invocation,
        successor: None,
        promise_key: None,
        deployment: Some(DeploymentNumber(7)),
        reason: String::new(),
        outcome: "pinned".into(),
    }
}
