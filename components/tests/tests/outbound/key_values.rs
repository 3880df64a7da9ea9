//! Key-value stores: who reaches which, and what is left after the process is gone.

use anyhow::Result;
use component_tests::Answer;
use serde_json::{Value, json};

use crate::world::{World, error};

impl World {
    async fn pair(&self, path: &str, store: &str, key: &str, value: &str) -> Result<Answer> {
        let pair = json!({ "store": store, "key": key, "value": value });
        self.nexus.client().post(path, pair).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_outlive_the_process() -> Result<()> {
    let mut world = World::start().await?;
    assert_eq!(
        world.pair("/sender/get", "seen", "a", "").await?.data(200)["value"],
        Value::Null
    );
    world.pair("/sender/set", "seen", "a", "first").await?.data(200);
    world.pair("/sender/set", "seen", "a", "second").await?.data(200);
    world.nexus.kill()?;
    world.restart(&[]).await?;
    assert_eq!(
        world.pair("/sender/get", "seen", "a", "").await?.data(200)["value"],
        "second"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_reached_by_those_who_are_granted_its_name() -> Result<()> {
    let world = World::start().await?;
    world.pair("/sender/set", "seen", "a", "mine").await?.data(200);
    world.pair("/sender/set", "shared", "a", "ours").await?.data(200);
    assert_eq!(
        world.pair("/stranger/get", "shared", "a", "").await?.data(200)["value"],
        "ours"
    );
    for (path, store) in [
        ("/stranger/get", "seen"),
        ("/stranger/set", "seen"),
        ("/sender/get", "other"),
    ] {
        let refused = world.pair(path, store, "a", "theirs").await?;
        assert!(
            error(&refused).contains("AccessDenied"),
            "{path} {store}: {}",
            refused.json
        );
    }
    assert_eq!(
        world.pair("/sender/get", "seen", "a", "").await?.data(200)["value"],
        "mine"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_value_beyond_the_bounds_is_an_error_and_nothing_is_written() -> Result<()> {
    let world = World::start().await?;
    let (longest, beyond) = ("k".repeat(255), "k".repeat(256));
    world.pair("/sender/set", "seen", &longest, "v").await?.data(200);
    let refused = world.pair("/sender/set", "seen", &beyond, "v").await?;
    assert!(error(&refused).contains("255"), "{}", refused.json);
    let refused = world
        .pair("/sender/set", "seen", "big", &"v".repeat((256 << 10) + 1))
        .await?;
    assert!(error(&refused).contains("262144"), "{}", refused.json);
    assert_eq!(
        world.pair("/sender/get", "seen", "big", "").await?.data(200)["value"],
        Value::Null
    );
    Ok(())
}
