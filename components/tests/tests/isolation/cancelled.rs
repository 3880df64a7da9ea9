//! A guest that runs for long is stopped where it is when an operator ends its invocation: it would find out at its next append only.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Nexus, NexusOptions};
use tokio::time::timeout;

use crate::attacked::{Attacked, invocation};

/// Enough for an operator's word to reach a guest on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many attempts could begin at once.
async fn turns_free(attacked: &Attacked) -> Result<f64> {
    let (_, samples) = attacked.nexus.scrape().await?;
    samples.get("nexus_turns_free").copied().context("nexus_turns_free")
}

async fn turns_become(attacked: &Attacked, wanted: f64) -> Result<()> {
    let became = async {
        while turns_free(attacked).await? != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, became)
        .await
        .with_context(|| format!("there are not {wanted} turns"))?
}

/// A guest computes at the first host, and an operator cancels its invocation at `said_at`.
async fn is_cancelled_at(attacked: &Attacked, said_at: &Nexus) -> Result<()> {
    let idle = turns_free(attacked).await?;
    let cancels = async {
        let running = "SELECT count(*) FROM host.invocation WHERE status = 'running'";
        attacked.audit.becomes(running, 1).await?;
        ensure!(turns_free(attacked).await? == idle - 1.0, "it runs");
        let id = attacked.audit.texts("SELECT id::text FROM host.invocation").await?;
        let id = id.first().context("an invocation")?;
        said_at.run(&["invocations", "cancel", id])?;
        Ok(())
    };
    let (answer, ()) = tokio::try_join!(attacked.misdeed_after_append("loop"), cancels)?;
    answer.failed(409, "cancelled");
    let id = invocation(&answer)?;
    turns_become(attacked, idle).await?;
    let cancelled = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'cancelled'");
    ensure!(attacked.audit.count(&cancelled).await? == 1);
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_is_stopped_when_its_invocation_is_cancelled() -> Result<()> {
    let attacked = Attacked::start_without_time_limit().await?;
    is_cancelled_at(&attacked, &attacked.nexus).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_is_stopped_when_its_invocation_is_cancelled_at_another_node() -> Result<()> {
    let attacked = Attacked::start_without_time_limit().await?;
    let second = attacked.nexus.second_node(NexusOptions::default()).await?;
    is_cancelled_at(&attacked, &second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_stopped_also_when_what_the_other_node_says_is_lost() -> Result<()> {
    let attacked = Attacked::start_without_time_limit().await?;
    // Whatever nodes say that begin from here on goes into a table, and to nobody.
    for statement in [
        "CREATE TABLE public.said (word text)",
        "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.said VALUES ($2)'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$",
    ] {
        attacked.audit.change(statement).await?;
    }
    let second = attacked.nexus.second_node(NexusOptions::default()).await?;
    is_cancelled_at(&attacked, &second).await?;
    let lost = "SELECT count(*) FROM public.said WHERE word LIKE 'halt %'";
    ensure!(attacked.audit.count(lost).await? == 1, "it was told after all");
    Ok(())
}
