//! Deployments, and how long they are kept.

use host_journal::{Append, AppendJournal, InvocationStatus};
use host_store::{ComponentWord, Error, Left, Retentions, Store};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId};

use crate::support::{Fixture, first_append, fixture, new_id, next_append, node};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn component(name: &'static str, wasm: &'static [u8]) -> (ComponentId, Digest, &'static [u8]) {
    (name.into(), Digest::of(wasm), wasm)
}

#[tokio::test]
async fn the_same_set_has_the_same_number_everywhere() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let set = [component("order", b"one"), component("cart", b"two")];
    let reversed = [set[1].clone(), set[0].clone()];
    let (here, there) = tokio::join!(
        fixture.store.register_deployment(&set, None),
        other.register_deployment(&reversed, None)
    );
    let number = here.unwrap();
    assert_eq!(there.unwrap(), number);
    assert_eq!(other.register_deployment(&set, None).await.unwrap(), number);

    let changed = [component("order", b"three"), component("cart", b"two")];
    let next = other.register_deployment(&changed, None).await.unwrap();
    assert!(next > number);
    let swapped = [component("order", b"two"), component("cart", b"one")];
    assert!(other.register_deployment(&swapped, None).await.unwrap() > next);

    let deployment = fixture.store.deployment(number).await.unwrap();
    assert_eq!(
        deployment.components,
        [
            ("cart".into(), Digest::of(b"two")),
            ("order".into(), Digest::of(b"one"))
        ]
    );
    assert_eq!(fixture.store.revision(Digest::of(b"three")).await.unwrap(), b"three");
}

#[tokio::test]
async fn a_set_under_another_manifest_is_another_deployment() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let set = [component("order", b"one")];
    let bare = store.register_deployment(&set, None).await.unwrap();
    let first = store.register_deployment(&set, Some("first")).await.unwrap();
    let second = store.register_deployment(&set, Some("second")).await.unwrap();
    assert!(bare < first && first < second);
    let members = [("order".into(), Digest::of(b"one"))];
    for (manifest, number) in [(None, bare), (Some("first"), first), (Some("second"), second)] {
        assert_eq!(store.register_set(&members, manifest).await.unwrap(), number);
        let deployment = store.deployment(number).await.unwrap();
        assert_eq!(
            (deployment.manifest.as_deref(), deployment.components.len()),
            (manifest, 1)
        );
    }
}

#[tokio::test]
async fn what_a_live_node_runs_on_is_known_to_the_others() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let small = other
        .register_deployment(&[component("order", b"one")], None)
        .await
        .unwrap();
    let large = [component("order", b"one"), component("cart", b"two")];
    let large = other.register_deployment(&large, None).await.unwrap();
    let [order, cart, news] = ["order", "cart", "news"].map(ComponentId::from);
    let runs =
        async |number, components: &[ComponentId]| fixture.store.runs_elsewhere(number, components).await.unwrap();
    assert!(!runs(large, &[]).await, "nobody said so yet");
    assert!(other.acknowledge_first(0, large).await.unwrap());
    assert!(runs(large, &[]).await);
    assert!(runs(small, &[cart.clone(), order]).await, "it has all of these");
    assert!(!runs(small, &[]).await, "of none nobody has more than others");
    assert!(!runs(small, &[cart.clone(), news]).await);
    assert!(!other.runs_elsewhere(large, &[]).await.unwrap(), "it is no other");
    other.drain(true).await.unwrap();
    assert!(!runs(large, &[cart]).await, "it takes nothing more");
}

#[tokio::test]
async fn what_is_given_back_is_anybodys_but_of_who_leaves_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let other = node(&fixture.database, "two").await;
    let deployment = store
        .register_deployment(&[component("order", b"one")], None)
        .await
        .unwrap();
    let invocation = pinned_to(store, deployment).await;
    // It is not the other's to give.
    other.give_back(invocation).await.unwrap();
    assert_eq!(other.due(9, &Left::default()).await.unwrap(), []);
    store.give_back(invocation).await.unwrap();
    let left = Left {
        deployments: vec![deployment],
        ..Left::default()
    };
    assert_eq!(store.due(9, &left).await.unwrap(), []);
    assert_eq!(other.due(9, &left).await.unwrap(), []);
    assert_eq!(other.due(9, &Left::default()).await.unwrap(), [(invocation, false)]);
    // No login of whoever gave notice is left half done: the server would drop no database until that one's time is over.
    store.close().await;
    other.close().await;
}

#[tokio::test]
async fn what_is_not_registered_is_named() {
    let fixture = fixture().await;
    let unknown = fixture.store.deployment(DeploymentNumber(99)).await.unwrap_err();
    assert!(matches!(unknown, Error::NotRegistered(_)), "{unknown:?}");
    let unknown = fixture.store.revision(Digest::of(b"")).await.unwrap_err();
    assert!(unknown.to_string().contains(&Digest::of(b"").to_string()));
}

/// An open invocation that is pinned to this deployment.
async fn pinned_to(store: &Store, deployment: DeploymentNumber) -> InvocationId {
    let invocation = new_id();
    let mut first = first_append(store, invocation);
    first.start.as_mut().unwrap().deployment = deployment;
    store.append(first).await.unwrap();
    invocation
}

impl Fixture {
    /// So many days ago were deployments and bytes last in use, and activations made.
    async fn last_used(&self, days_ago: u32) {
        for (table, column) in [
            ("deployment", "used_at"),
            ("revision", "used_at"),
            ("activation", "activated_at"),
        ] {
            self.superuser_executes(&format!(
                "UPDATE host.{table} SET {column} = now() - interval '{days_ago} days'"
            ))
            .await;
        }
    }

    /// Forgets as a database does whose invocations are kept for 30 days. Returns how much was forgotten.
    async fn forget(&self) -> u64 {
        let retentions = Retentions {
            default_ms: 30 * DAY_MS,
            ..Retentions::default()
        };
        let done = self.store.upkeep(&retentions).await.unwrap();
        done.expect("nobody else is at it").expired
    }

    async fn deployments(&self) -> i64 {
        self.value("SELECT count(*) FROM host.deployment").await
    }

    /// Puts these bytes in the place of the file, on top of what stands there. Returns the activation.
    async fn activate(&self, file: &[u8], wasm: &[u8]) -> i64 {
        let (store, component) = (&self.store, ComponentId::from("order"));
        store.keep_revision(Digest::of(wasm), wasm).await.unwrap();
        let below = store.activations(&component, Digest::of(file), 1).await.unwrap();
        let word = ComponentWord {
            operator: "ann".into(),
            verb: "activate",
            component,
            replaces: Digest::of(file),
            revision: Digest::of(wasm),
            below: below.first().map(|activation| activation.sequence),
            reason: String::new(),
            outcome: "active".into(),
        };
        let after = store.active(&[("order".into(), Digest::of(file))]).await.unwrap();
        store.activate(&word, after.sequence).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn deployments_that_nobody_uses_are_forgotten_with_bytes_that_nobody_else_has() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let release = |order| [component("order", order), component("cart", b"cart")];
    let pinned = store.register_deployment(&release(b"one"), None).await.unwrap();
    let unused = store.register_deployment(&release(b"two"), None).await.unwrap();
    let current = store.register_deployment(&release(b"three"), None).await.unwrap();
    let invocation = pinned_to(store, pinned).await;

    fixture.last_used(32).await;
    assert_eq!(fixture.forget().await, 0, "a node has not said yet what it runs on");
    assert!(store.acknowledge_first(0, current).await.unwrap());
    store
        .keep_revision(Digest::of(b"only kept"), b"only kept")
        .await
        .unwrap();
    fixture.last_used(32).await;
    let fresh = store.register_deployment(&release(b"four"), None).await.unwrap();
    assert_eq!(
        fixture.forget().await,
        3,
        "the deployment, its order, and what was only kept"
    );
    assert!(matches!(store.deployment(unused).await, Err(Error::NotRegistered(_))));
    for wasm in [b"two".as_slice(), b"only kept"] {
        assert!(matches!(
            store.revision(Digest::of(wasm)).await,
            Err(Error::NotRegistered(_))
        ));
    }
    for number in [pinned, current, fresh] {
        let deployment = store.deployment(number).await.unwrap();
        assert_eq!(deployment.components.len(), 2);
        for (_, digest) in deployment.components {
            store.revision(digest).await.unwrap();
        }
    }

    // An ended one can be run dry on what it began with for as long as it is kept itself.
    let status = Some(InvocationStatus::Completed);
    let last = next_append(store, invocation, 1);
    store.append(Append { status, ..last }).await.unwrap();
    fixture.last_used(30).await;
    assert_eq!(fixture.forget().await, 0);
    fixture.last_used(32).await;
    assert_eq!(fixture.forget().await, 4, "two deployments and their orders");
    assert!(matches!(store.deployment(pinned).await, Err(Error::NotRegistered(_))));
    // What is registered again is another one, and has its bytes.
    assert!(store.register_deployment(&release(b"two"), None).await.unwrap() > fresh);
    assert_eq!(store.revision(Digest::of(b"two")).await.unwrap(), b"two");
}

#[tokio::test]
async fn a_node_that_starts_keeps_what_it_is_about_to_run_on() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let set = [component("order", b"one")];
    let registered = store.register_deployment(&set, None).await.unwrap();
    let current = store
        .register_deployment(&[component("order", b"two")], None)
        .await
        .unwrap();
    assert!(store.acknowledge_first(0, current).await.unwrap());
    fixture.last_used(32).await;
    assert_eq!(store.register_deployment(&set, None).await.unwrap(), registered);
    fixture.forget().await;
    assert_eq!(fixture.deployments().await, 2);
    store.deployment(registered).await.unwrap();
}

#[tokio::test]
async fn what_stands_in_for_a_file_is_kept_while_somebody_runs_it_and_ten_steps_back() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let file = |wasm: &'static [u8]| [component("order", wasm)];
    store.register_deployment(&file(b"old file"), None).await.unwrap();
    fixture.activate(b"old file", b"old fix").await;
    store.register_deployment(&file(b"file"), None).await.unwrap();
    let mut sequences = Vec::new();
    for number in 0..14 {
        sequences.push(fixture.activate(b"file", format!("fix {number}").as_bytes()).await);
    }
    let newest = sequences[13];
    let running = store
        .register_set(&[("order".into(), Digest::of(b"fix 13"))], None)
        .await
        .unwrap();
    assert!(store.acknowledge_first(newest, running).await.unwrap());

    fixture.last_used(30).await;
    assert_eq!(fixture.forget().await, 0);
    fixture.last_used(32).await;
    assert!(fixture.forget().await > 0);
    let stack = store
        .activations(&"order".into(), Digest::of(b"file"), 100)
        .await
        .unwrap();
    let kept: Vec<_> = stack.iter().map(|activation| activation.sequence).collect();
    let last_ones: Vec<_> = sequences[3..].iter().rev().copied().collect();
    assert_eq!(kept, last_ones, "what is active, and ten to go back to");
    for activation in stack {
        store.revision(activation.revision).await.unwrap();
    }
    let active = store.active(&[("order".into(), Digest::of(b"file"))]).await.unwrap();
    assert_eq!(
        (active.sequence, active.components),
        (newest, vec![("order".into(), Digest::of(b"fix 13"))])
    );
    let old = store
        .active(&[("order".into(), Digest::of(b"old file"))])
        .await
        .unwrap();
    assert_eq!(old.components, [("order".into(), Digest::of(b"old file"))]);
    for wasm in [b"old file".as_slice(), b"old fix", b"fix 2"] {
        assert!(matches!(
            store.revision(Digest::of(wasm)).await,
            Err(Error::NotRegistered(_))
        ));
    }
}
