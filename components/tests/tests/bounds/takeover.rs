//! Ten thousand open invocations of a host that was killed: each has an owner again before long, whoever it is, and they go on without
//! keeping others from their answers.

use anyhow::{Result, ensure};
use component_tests::NexusOptions;

use crate::world::World;

const JOBS: i64 = 10_000;
/// After the old owner is known to be dead, milliseconds.
const ALL_OWNED_MS: i64 = 3_000;

impl World {
    /// What a killed host would have been working on, if it could work on so many at once.
    async fn give_jobs_to(&self, node: &str) -> Result<()> {
        let given = format!(
            "UPDATE host.invocation SET node_id = '{node}', due_at = NULL WHERE status = 'running' AND node_id IS NULL"
        );
        ensure!(self.audit.change(&given).await? > 0);
        Ok(())
    }

    async fn owned_by(&self, node: &str) -> Result<i64> {
        let owned = format!("SELECT count(*) FROM host.invocation WHERE node_id = '{node}'");
        self.audit.count(&owned).await
    }

    /// Some more have taken their first step, and a neighbour is answered meanwhile. Their naps last until the hour they were to begin in.
    async fn goes_on(&self, client: &component_tests::Client) -> Result<()> {
        let before = self.noted("before").await?;
        while self.noted("before").await? < before + 200 {
            let answer = client.get("/neighbour/greeting").await?;
            ensure!(answer.status == 200, "{}", answer.json);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_invocations_have_an_owner_again_within_seconds() -> Result<()> {
    let mut world = World::start().await?;
    for part in 0..4 {
        world.send_jobs(&format!("part-{part}"), 2_500, 0).await?;
    }
    // Those who sent them are done: what is open then are the jobs.
    world.audit.settled().await?;
    let first = world.living_node().await?;
    world.nexus.kill()?;
    world.give_jobs_to(&first).await?;
    ensure!(world.owned_by(&first).await? == JOBS);

    // The same data directory: it knows at once that its predecessor is dead, and serves when nothing is left to take.
    world.nexus.restart(NexusOptions::default()).await?;
    ensure!(world.owned_by(&first).await? == 0);
    let second = world.living_node().await?;
    let took = format!(
        "SELECT (extract(epoch FROM clock_timestamp() - started_at) * 1000)::bigint FROM host.node WHERE id = '{second}'"
    );
    let took_ms = world.audit.count(&took).await?;
    ensure!(
        took_ms <= ALL_OWNED_MS,
        "{took_ms} ms from the registration of the node"
    );
    let unfenced =
        "SELECT count(*) FROM host.invocation WHERE status = 'running' AND attempt = 0 AND parent IS NOT NULL";
    ensure!(world.audit.count(unfenced).await? == 0);
    world.goes_on(&world.nexus.client()).await?;

    // Another node: it learns of the death when the lease has run out.
    let heir = world.nexus.second_node(NexusOptions::default()).await?;
    world.nexus.kill()?;
    let left = world.owned_by(&second).await?;
    ensure!(left > JOBS / 2, "{left} are left");
    world
        .audit
        .becomes(
            &format!("SELECT count(*) FROM host.invocation WHERE node_id = '{second}'"),
            0,
        )
        .await?;
    let took = format!(
        "SELECT (extract(epoch FROM clock_timestamp() - gone_at) * 1000)::bigint FROM host.node WHERE id = '{second}'"
    );
    let took_ms = world.audit.count(&took).await?;
    ensure!(
        took_ms <= ALL_OWNED_MS,
        "{left} were owned {took_ms} ms after their node was declared gone"
    );
    world.goes_on(&heir.client()).await?;
    // However often they changed hands, each job takes its first step once.
    ensure!(world.noted("before").await? <= JOBS);
    Ok(())
}
