//! The clock's calls: one run for each tick over all nodes, whatever dies, and one for all that were missed.

use std::path::Path;

use anyhow::{Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions};

/// Relative to the workspace.
const MANIFEST: &str = "components/tests/cron/spin.toml";
/// The same with a deadline, and one line.
const HURRIED: &str = "components/tests/hurried/spin.toml";
const OPEN: &str = "SELECT count(*) FROM host.invocation WHERE status <> 'completed'";
/// Lines of that manifest.
const LINES: i64 = 3;

async fn start() -> Result<(Nexus, Audit)> {
    let nexus = Nexus::start_application(Path::new(MANIFEST), NexusOptions::default()).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    // From now on their ticks count.
    audit.becomes("SELECT count(*) FROM host.cron_tick", LINES).await?;
    Ok((nexus, audit))
}

/// As if this many years had passed since a line was looked at.
async fn pass_years(audit: &Audit, name: &str, years: u32) -> Result<()> {
    let past = format!("UPDATE host.cron_tick SET tick = tick - interval '{years} years' WHERE name = '{name}'");
    ensure!(audit.change(&past).await? > 0);
    Ok(())
}

fn runs(name: &str) -> String {
    format!("SELECT count(*) FROM host.cron_tick WHERE name = '{name}' AND invocation_id IS NOT NULL")
}

fn noted(name: &str, what: &str) -> String {
    format!("SELECT count(*) FROM flow.note WHERE ticket = '{name}' AND what = '{what}'")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_nodes_one_meets_a_tick_and_what_was_missed_is_made_up_for_once() -> Result<()> {
    let (mut nexus, audit) = start().await?;
    let second = nexus.second_node(NexusOptions::default()).await?;
    ensure!(second.client().get("/livez").await?.status == 200);
    for round in 1..=3 {
        // Several ticks are past: the last of them is met, by one of both.
        pass_years(&audit, "yearly", 2).await?;
        audit.becomes(&noted("yearly", "ran quick"), round).await?;
        // A run that is open would have the next tick left out.
        audit.becomes(OPEN, 0).await?;
    }
    ensure!(audit.count(&runs("yearly")).await? == 3);

    // Nobody is there when the time comes; the first that is makes up for it.
    drop(second);
    nexus.kill()?;
    pass_years(&audit, "yearly", 3).await?;
    nexus.restart(NexusOptions::default()).await?;
    audit.becomes(&noted("yearly", "ran quick"), 4).await?;
    nexus.restart(NexusOptions::default()).await?;
    audit.becomes(OPEN, 0).await?;
    ensure!(audit.count(&runs("yearly")).await? == 4 && audit.count(&noted("yearly", "ran quick")).await? == 4);
    let functions =
        "SELECT count(*) FROM host.invocation WHERE function <> 'nexus:durable/scheduled.run' OR component <> 'flow'";
    ensure!(audit.count(functions).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_predecessor_still_runs_is_left_out_unless_the_line_says_otherwise() -> Result<()> {
    let (nexus, audit) = start().await?;
    for line in ["long", "side-by-side"] {
        pass_years(&audit, line, 1).await?;
        audit.becomes(&noted(line, "begun"), 1).await?;
        pass_years(&audit, line, 1).await?;
    }
    // Both have met two ticks.
    let met = "SELECT count(*) FROM host.cron_tick WHERE name IN ('long', 'side-by-side')";
    audit.becomes(met, 2 * (1 + 2)).await?;
    audit.becomes(&noted("side-by-side", "begun"), 2).await?;
    ensure!(audit.count(&runs("long")).await? == 1 && audit.count(&runs("side-by-side")).await? == 2);
    ensure!(
        nexus
            .log()?
            .contains("a tick is left out: the run of an earlier one is still open")
    );
    Ok(())
}

/// Before and after each: the commit that meets the tick, and the run's own.
const POINTS: i64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_moment_of_death_a_tick_runs_once() -> Result<()> {
    let (mut nexus, audit) = start().await?;
    for point in 1.. {
        pass_years(&audit, "yearly", 2).await?;
        let environment = vec![("NEXUS_DIE_AT".to_owned(), point.to_string())];
        nexus
            .restart(NexusOptions {
                environment,
                ..NexusOptions::default()
            })
            .await?;
        let ran = noted("yearly", "ran quick");
        while !nexus.has_ended()? && (audit.count(&ran).await? < point || audit.count(OPEN).await? > 0) {}
        if !nexus.has_ended()? {
            ensure!(point > POINTS, "only {} points were reached", point - 1);
            break;
        }
        nexus.restart(NexusOptions::default()).await?;
        audit.becomes(&noted("yearly", "ran quick"), point).await?;
        audit.becomes(OPEN, 0).await?;
        ensure!(
            audit.count(&noted("yearly", "ran quick")).await? == point,
            "point {point}"
        );
        ensure!(audit.count(&runs("yearly")).await? == point, "point {point}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_than_the_manifest_lets_it() -> Result<()> {
    let nexus = Nexus::start_application(Path::new(HURRIED), NexusOptions::default()).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    audit.becomes("SELECT count(*) FROM host.cron_tick", 1).await?;
    pass_years(&audit, "hurried", 1).await?;
    audit.becomes(&noted("hurried", "ran 600000"), 1).await
}
