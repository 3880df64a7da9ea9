//! Keys are replaced by an operator while nodes run and answer.

use std::path::Path;

use anyhow::{Result, ensure};
use component_tests::NexusOptions;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_and_what_it_wraps_are_replaced_without_a_stop() -> Result<()> {
    let mut world = World::start().await?;
    let mut second = world.nexus.second_node(NexusOptions::default()).await?;
    let url = world.nexus.database_url().to_owned();
    let keys = |arguments: &[&str]| {
        let all = [&["keys"], arguments, &["--database-url", &url]].concat();
        world.nexus.run(&all)
    };
    let ask = async |client: component_tests::Client, ticket: &str| {
        let answer = client
            .keyed(ticket)
            .post("/crowd/note", json!({ "ticket": ticket, "ms": 0 }))
            .await?;
        ensure!(answer.status == 200, "{}", answer.json);
        anyhow::Ok(answer.bytes)
    };
    let first = ask(world.nexus.client(), "first").await?;
    let listed = keys(&["list"])?;
    ensure!(
        listed.matches("seals").count() == 1 && !listed.contains("opens"),
        "{listed}"
    );
    keys(&["rotate"])?;
    keys(&["rotate", "--tokens"])?;
    let listed = keys(&["list"])?;
    ensure!(
        listed.matches("seals").count() == 1 && listed.matches("opens").count() == 1,
        "{listed}"
    );
    ensure!(
        ask(second.client(), "first").await? == first,
        "what the old key sealed is read, and found by its request's key"
    );

    let said = keys(&["rotate-master"])?;
    ensure!(said.contains("master.key"), "{said}");
    let key = |folder: &Path| std::fs::read_to_string(folder.join("master.key"));
    let (new, old) = (key(world.nexus.data_dir())?, key(second.data_dir())?);
    ensure!(new != old);
    ask(world.nexus.client(), "meanwhile").await?;
    // Node by node.
    world.nexus.terminate().await?;
    world.nexus.restart(NexusOptions::default()).await?;
    ensure!(ask(world.nexus.client(), "meanwhile").await? == ask(second.client(), "meanwhile").await?);
    second.terminate().await?;
    std::fs::write(second.data_dir().join("master.key"), &new)?;
    second.restart(NexusOptions::default()).await?;
    world.audit.becomes("SELECT count(*) FROM host.master_key", 1).await?;
    ensure!(ask(second.client(), "first").await? == first);

    // Who comes late with the old one is told.
    second.terminate().await?;
    std::fs::write(second.data_dir().join("master.key"), &old)?;
    let refused = second
        .restart(NexusOptions::default())
        .await
        .expect_err("the old key opens nothing");
    ensure!(refused.to_string().contains("master key"), "{refused}");
    Ok(())
}
