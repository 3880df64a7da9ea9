//! What stands in for which file, in one order for all nodes, and how far each of them has followed.

use host_journal::{AppendJournal, Body, Entry, FenceReason, InvocationStatus, encode};
use host_store::{AuditFilter, ComponentWord, Fence, Known, Store, Word};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId};

use crate::proxy::frozen_after_each_question;
use crate::support::{Fixture, begun, execute, fixture, node};

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
    let isolation = format!(
        "ALTER DATABASE \"{}\" SET default_transaction_isolation = 'repeatable read'",
        fixture.database.name()
    );
    fixture.superuser_executes(&isolation).await;
    let one = node(&fixture.database, "first").await;
    let other = node(&fixture.database, "second").await;
    keep(&other, &[FILE, b"fix", b"better"]).await;
    let (fix, better) = (word(b"fix", None), word(b"better", None));
    // Both have asked before either can go on.
    let mut holder = fixture.superuser().await;
    execute(&mut holder, "BEGIN; LOCK TABLE host.activation IN SHARE MODE")
        .await
        .unwrap();
    let let_go = async {
        fixture.waiting_for_activations(2).await;
        execute(&mut holder, "COMMIT").await.unwrap();
    };
    let (here, there, ()) = tokio::join!(one.activate(&fix, 0), other.activate(&better, 0), let_go);
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
async fn a_node_that_starts_while_something_is_activated_follows_that_first() {
    let fixture = fixture().await;
    keep(&fixture.store, &[FILE, b"fix"]).await;
    // As nodes of the version before activate.
    let mut activating = fixture.superuser().await;
    let (file, fix) = (Digest::of(FILE), Digest::of(b"fix"));
    let insert = format!(
        "BEGIN; LOCK TABLE host.activation IN SHARE ROW EXCLUSIVE MODE;
         INSERT INTO host.activation (component, replaces, revision) VALUES ('order', '\\x{file}', '\\x{fix}')"
    );
    execute(&mut activating, &insert).await.unwrap();
    let mut acknowledging = std::pin::pin!(fixture.store.acknowledge_first(0, DeploymentNumber(1)));
    tokio::select! {
        said = &mut acknowledging => panic!("it did not wait for what is being activated: {said:?}"),
        () = fixture.waiting_for_activations(1) => {}
    }
    execute(&mut activating, "COMMIT").await.unwrap();
    assert!(!acknowledging.await.unwrap());
    let started = "SELECT count(*) FROM host.node WHERE activation IS NOT NULL";
    assert_eq!(fixture.value(started).await, 0);
    assert!(fixture.store.acknowledge_first(1, DeploymentNumber(1)).await.unwrap());
    assert_eq!(fixture.value(started).await, 1);
}

#[tokio::test]
async fn a_node_that_freezes_while_it_activates_or_starts_keeps_no_other_from_either() {
    let fixture = fixture().await;
    let store = &fixture.store;
    keep(store, &[FILE, b"fix"]).await;
    let newest = async |store: &Store| store.active(&files(FILE)).await.unwrap().sequence;
    let activate = async |store: &Store| {
        let after = newest(store).await;
        store.activate(&word(b"fix", None), after).await.unwrap().unwrap()
    };
    let others_do = async |_| {
        let sequence = activate(store).await;
        assert!(store.acknowledge_first(sequence, DeploymentNumber(1)).await.unwrap());
    };
    let activates = async |node: &Store, _| {
        activate(node).await;
    };
    frozen_after_each_question(&fixture.database, activates, others_do).await;
    let starts = async |node: &Store, _| {
        let sequence = newest(node).await;
        assert!(node.acknowledge_first(sequence, DeploymentNumber(1)).await.unwrap());
    };
    frozen_after_each_question(&fixture.database, starts, others_do).await;
}

impl Fixture {
    /// Returns when so many statements wait for the lock on activations.
    async fn waiting_for_activations(&self, statements: i64) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'host.activation'::regclass
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while self.value(waiting).await < statements {}
    }
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
    let number = store.register_deployment(&set, None).await.unwrap();
    assert_eq!(store.register_set(&files(FILE), None).await.unwrap(), number);
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
        gives_up: Vec::new(),
        reason: String::new(),
        outcome: "pinned".into(),
    }
}
