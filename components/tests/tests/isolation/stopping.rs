//! A node that stops takes nothing over, however long a guest keeps it: who is there for longer does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::NexusOptions;

use crate::attacked::{Attacked, begin_loop};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_leaves_what_a_dead_one_ran_to_others() -> Result<()> {
    let mut attacked = Attacked::start_without_time_limit().await?;
    let loops = "SELECT count(*) FROM host.invocation WHERE status = 'running'";
    let lost = begin_loop(&attacked.nexus);
    attacked.audit.becomes(loops, 1).await?;
    let id = attacked.audit.texts("SELECT id::text FROM host.invocation").await?;
    let id = id.first().context("an invocation")?;

    let at_once = NexusOptions::with(&[("NEXUS_DRAIN_GRACE_MS", 0)]);
    let mut stopping = attacked.nexus.second_node(at_once).await?;
    let held_up = begin_loop(&stopping);
    attacked.audit.becomes(loops, 2).await?;
    stopping.ask_to_stop()?;
    // Its last word to clients is that it listens no more: from then on it drains.
    while stopping.client().get("/livez").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    attacked.nexus.kill()?;
    ensure!(lost.await?.is_err());
    let gone = "SELECT count(*) FROM host.node WHERE gone_at IS NOT NULL";
    attacked.audit.becomes(gone, 1).await?;

    // Nobody else was there to declare it gone.
    let _heir = attacked.nexus.second_node(NexusOptions::default()).await?;
    let inherited = format!(
        "SELECT count(*) FROM host.invocation JOIN host.node ON node.id = node_id
         WHERE invocation.id = '{id}' AND gone_at IS NULL AND NOT draining"
    );
    attacked.audit.becomes(&inherited, 1).await?;
    ensure!(!stopping.has_ended()?, "the guest holds it up for longer");
    let attempt = format!("SELECT attempt::bigint FROM host.invocation WHERE id = '{id}'");
    let attempt = attacked.audit.count(&attempt).await?;
    ensure!(attempt == 1, "it has changed hands {attempt} times");
    drop(held_up);
    Ok(())
}
