//! Deployments.

use host_store::Error;
use host_types::{ComponentId, DeploymentNumber, Digest};

use crate::support::{fixture, node};

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
        fixture.store.register_deployment(&set),
        other.register_deployment(&reversed)
    );
    let number = here.unwrap();
    assert_eq!(there.unwrap(), number);
    assert_eq!(other.register_deployment(&set).await.unwrap(), number);

    let changed = [component("order", b"three"), component("cart", b"two")];
    let next = other.register_deployment(&changed).await.unwrap();
    assert!(next > number);
    let swapped = [component("order", b"two"), component("cart", b"one")];
    assert!(other.register_deployment(&swapped).await.unwrap() > next);

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
async fn what_is_not_registered_is_named() {
    let fixture = fixture().await;
    let unknown = fixture.store.deployment(DeploymentNumber(99)).await.unwrap_err();
    assert!(matches!(unknown, Error::NotRegistered(_)), "{unknown:?}");
    let unknown = fixture.store.revision(Digest::of(b"")).await.unwrap_err();
    assert!(unknown.to_string().contains(&Digest::of(b"").to_string()));
}
