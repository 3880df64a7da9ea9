//! Keys are replaced while nodes run, and go when nothing needs them.

use host_journal::AppendJournal;
use host_store::{Error, GoneBecause, Retentions, Store, StoreOptions};
use host_types::InvocationId;

use crate::support::{Fixture, MASTER_KEY, MODULE_SESSIONS, begun, fixture, next_append, node, options, started};

const NEW_KEY: [u8; 32] = [42; 32];

async fn reads(store: &Store, invocation: InvocationId) -> bool {
    store.load(invocation).await.unwrap().unwrap().entries[0] == started(0)
}

async fn upkeep(store: &Store) {
    let kept = Retentions {
        default_ms: 3_600_000,
        ..Retentions::default()
    };
    store.upkeep(&kept).await.unwrap().expect("nobody else is at it");
}

/// A node with the new master key, registered under this name.
async fn with_new_key(fixture: &Fixture, name: &str) -> Store {
    let options = StoreOptions {
        master_key: NEW_KEY,
        ..options()
    };
    let store = Store::connect(fixture.database.url(), options).await.unwrap();
    store.migrate_host().await.unwrap();
    store.register_node(name, MODULE_SESSIONS).await.unwrap();
    store
}

#[tokio::test]
async fn a_data_key_goes_with_the_last_that_it_sealed_and_not_while_a_node_seals_with_it() {
    let fixture = fixture().await;
    let other = node(&fixture.database, "two").await;
    let old = begun(&fixture.store).await;
    fixture.store.rotate_data_key().await.unwrap();
    fixture.store.refresh_keys().await.unwrap();
    let keys = async || fixture.value("SELECT count(*) FROM host.data_key").await;
    let unused = async || {
        fixture
            .value("SELECT count(*) FROM host.data_key WHERE unused_since IS NOT NULL")
            .await
    };

    // The other node has not heard of it.
    let by_other = begun(&other).await;
    upkeep(&fixture.store).await;
    assert_eq!((keys().await, unused().await), (2, 0));
    other.refresh_keys().await.unwrap();
    upkeep(&fixture.store).await;
    assert_eq!((keys().await, unused().await), (2, 1), "what it sealed is still there");
    assert!(reads(&fixture.store, by_other).await && reads(&other, old).await);

    // An invocation that begins later is none of its own.
    fixture
        .superuser_executes(
            "UPDATE host.data_key SET unused_since = unused_since - interval '2 minutes' WHERE retired_at IS NOT NULL;
             DELETE FROM host.invocation",
        )
        .await;
    let new = begun(&other).await;
    upkeep(&fixture.store).await;
    assert_eq!(keys().await, 1);
    // A node that has it open still is not disturbed.
    fixture
        .store
        .append(next_append(&fixture.store, begun(&fixture.store).await, 1))
        .await
        .unwrap();
    let third = node(&fixture.database, "three").await;
    assert!(reads(&third, new).await);
    assert_eq!(third.data_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_master_key_is_replaced_node_by_node_and_the_old_one_then_opens_nothing() {
    let fixture = fixture().await;
    let old = &fixture.store;
    let before = begun(old).await;
    let login = old.provision_module("order").await.unwrap();
    let tokens = old.secret("tokens").await.unwrap();
    old.rotate_master_key(&NEW_KEY).await.unwrap();
    old.rotate_master_key(&NEW_KEY).await.unwrap();
    let refused = old.rotate_master_key(&[43; 32]).await.unwrap_err();
    assert!(matches!(refused, Error::RotationUnderWay), "{refused:?}");

    // Both keys are good: each node reads what the other writes, also under keys that either makes meanwhile.
    let new = with_new_key(&fixture, "new").await;
    assert!(reads(&new, before).await);
    new.rotate_data_key().await.unwrap();
    let by_new = begun(&new).await;
    assert!(reads(old, by_new).await);
    old.rotate_data_key().await.unwrap();
    let by_old = begun(old).await;
    assert!(reads(&new, by_old).await);
    assert_eq!(
        new.provision_module("order").await.unwrap(),
        login,
        "modules keep their logins"
    );
    assert_eq!(new.secret("tokens").await.unwrap(), tokens);
    upkeep(&new).await;
    let restarted = node(&fixture.database, "one").await;
    assert!(reads(&restarted, by_new).await, "the old key still starts a node");

    for node in [old, &restarted] {
        new.mark_gone(node.node(), GoneBecause::ProcessEnded).await.unwrap();
    }
    upkeep(&new).await;
    assert_eq!(fixture.value("SELECT count(*) FROM host.master_key").await, 1);
    let late = Store::connect(fixture.database.url(), options()).await.unwrap();
    let refused = late.migrate_host().await.unwrap_err();
    assert!(matches!(refused, Error::MasterKey { .. }), "{refused:?}");
    // Had it opened everything before the end, and registered after.
    let refused = restarted.register_node("one", MODULE_SESSIONS).await.unwrap_err();
    assert!(matches!(refused, Error::WrongMasterKey), "{refused:?}");
    let again = with_new_key(&fixture, "newer").await;
    for invocation in [before, by_new, by_old] {
        assert!(reads(&again, invocation).await);
    }
    assert_eq!(again.secret("tokens").await.unwrap(), tokens);
    // And back, for a second time.
    again.rotate_master_key(&MASTER_KEY).await.unwrap();
}

#[tokio::test]
async fn a_new_version_of_a_secret_waits_until_all_nodes_know_it_and_the_old_one_is_kept_for_a_month() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = store.secret("tokens").await.unwrap();
    assert_eq!(first, [[9; 32]]);
    store.rotate_secret("tokens").await.unwrap();
    let made = store.secret("tokens").await.unwrap();
    assert_eq!((made.len(), made[0]), (2, first[0]), "known, and not yet in use");
    fixture
        .superuser_executes("UPDATE host.secret SET created_at = now() - interval '31 s' WHERE version = 2")
        .await;
    let settled = store.secret("tokens").await.unwrap();
    assert_eq!(settled, [made[1], made[0]]);
    upkeep(store).await;
    assert_eq!(store.secret("tokens").await.unwrap().len(), 2);
    fixture
        .superuser_executes(
            "UPDATE host.secret SET retired_at = now() - interval '32 days' WHERE retired_at IS NOT NULL",
        )
        .await;
    upkeep(store).await;
    assert_eq!(store.secret("tokens").await.unwrap(), [made[1]]);
}
