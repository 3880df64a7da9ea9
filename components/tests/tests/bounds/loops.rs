//! A loop whose rounds are invocations, one after the other: its journal never grows, and a crash neither loses nor repeats a round.

use anyhow::{Result, ensure};
use component_tests::NexusOptions;
use serde_json::json;

use crate::world::World;

const LAPS: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_goes_on_as_a_new_invocation_whatever_the_moment_of_death() -> Result<()> {
    let mut world = World::start().await?;
    let body = json!({ "ticket": "loop", "laps": LAPS - 1 });
    ensure!(world.nexus.client().post("/crowd/loop", body).await?.status == 200);
    let laps = "SELECT count(*) FROM crowd.note WHERE ticket = 'loop'";
    for point in 1..=3 {
        world.nexus.kill()?;
        let environment = vec![("NEXUS_DIE_AT".to_owned(), point.to_string())];
        // It may die before it serves, or have nothing left to die of.
        if world
            .nexus
            .restart(NexusOptions {
                environment,
                ..NexusOptions::default()
            })
            .await
            .is_ok()
        {
            while !world.nexus.has_ended()? && world.audit.count(laps).await? < LAPS {
                tokio::task::yield_now().await;
            }
        }
        world.nexus.restart(NexusOptions::default()).await?;
    }
    world.audit.becomes(laps, LAPS).await?;
    world.audit.settled().await?;
    let distinct = "SELECT count(DISTINCT what) FROM crowd.note WHERE ticket = 'loop'";
    ensure!(world.audit.count(distinct).await? == LAPS);
    ensure!(world.audit.count(laps).await? == LAPS);
    let most = "SELECT max(entries) FROM (SELECT count(*) AS entries FROM host.journal_entry GROUP BY invocation_id) AS journals";
    ensure!(world.audit.count(most).await? < 15, "no journal grows with the loop");
    Ok(())
}
