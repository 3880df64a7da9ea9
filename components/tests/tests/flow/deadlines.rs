//! A deadline travels with the calls, is kept over a death, and ends every wait with a value.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_awaits_comes_before_its_deadline_or_ends_with_a_value() -> Result<()> {
    let mut world = World::start().await?;
    let start = json!({ "id": "7", "ticket": "7", "what": "await" });
    ensure!(world.ask("flow/start", start).await? == "started");
    // In another component, below: its sleep is over, too.
    let hurry = json!({
        "id": "7", "name": "paid", "desk": "a", "ticket": "hurried", "what": "600000", "timeout_ms": 400
    });
    let begun = Instant::now();
    let told = world.ask("other/hurry", hurry.clone()).await?;
    ensure!(told == "timed out; served; still hurried: false", "{told}");
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // A key is not waited for longer, and no place is left.
    let holder = world.begin(
        "flow/serve",
        "holder",
        json!({ "desk": "b", "ticket": "holder", "what": "600000" }),
    );
    world
        .audit
        .becomes("SELECT count(*) FROM host.exclusive_place", 1)
        .await?;
    let mut queued = hurry.clone();
    queued["desk"] = json!("b");
    let told = world.ask("flow/hurry", queued).await?;
    ensure!(told.contains("failed: the deadline came before its turn"), "{told}");
    ensure!(world.audit.count("SELECT count(*) FROM host.exclusive_place").await? == 1);

    // That of the manifest is counted from the begin, whoever dies meanwhile.
    let hurried = json!({ "id": "7", "name": "paid" });
    let waiting = world.begin("flow/hurried", "hurried", hurried.clone());
    world.audit.suspended(3).await?;
    world.nexus.kill()?;
    ensure!(waiting.await?.is_err() && holder.await?.is_err());
    world.restart(&[]).await?;
    ensure!(world.answered("flow/hurried", "hurried", &hurried).await? == "timed out");
    Ok(())
}
