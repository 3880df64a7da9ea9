//! What the clock begins: three lines, two of which take a while.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use host_testing::TestHost;

use crate::{ends_and_fails, nothing_is_held, start};

const MANIFEST: &str = "components/tests/cron/spin.toml";
/// Lines of that manifest.
const LINES: i64 = 3;
/// How long the longer ones take.
const WHILE: Duration = Duration::from_secs(600);

const RUNS: &str = "SELECT count(*) FROM host.invocation WHERE function = 'nexus:durable/scheduled.run'";

/// What the runs have left so far.
async fn notes(host: &TestHost) -> Result<BTreeMap<String, i64>> {
    let notes = host.texts("SELECT ticket || ' ' || what FROM flow.note").await?;
    let mut counts = BTreeMap::new();
    for note in notes {
        *counts.entry(note).or_default() += 1;
    }
    Ok(counts)
}

/// As if a year had passed since the lines were looked at.
async fn a_year_passes(host: &TestHost) -> Result<()> {
    // By some hours more, never the same: ticks that were met before are no ticks' neighbours.
    let passes = "WITH moved AS (
             UPDATE host.cron_tick SET tick = tick - make_interval(days => 400, secs => random() * 86400) RETURNING 1
         ) SELECT count(*) FROM moved";
    ensure!(host.count(passes).await? >= LINES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_clock_begins() -> Result<()> {
    let host = start(MANIFEST).await?;
    host.becomes("SELECT count(*) FROM host.cron_tick", LINES).await?;
    // Of each run: how many runs of lines there were before it, and what they had left. It is there once the year has passed.
    let mut before = BTreeMap::new();
    let flow = async |host: &TestHost, run: &str| {
        if !before.contains_key(run) {
            before.insert(run.to_owned(), (host.count(RUNS).await?, notes(host).await?));
            a_year_passes(host).await?;
        }
        let (runs, left) = before[run].clone();
        host.becomes(RUNS, runs + LINES).await?;
        host.settled().await?;
        host.skip(WHILE).await?;
        nothing_is_held(host).await?;
        let notes = notes(host).await?.into_iter().map(|(what, count)| {
            let before = left.get(&what).copied().unwrap_or_default();
            (what, count - before)
        });
        Ok(notes.collect::<BTreeMap<_, _>>())
    };
    // Of each line the commit that meets its tick and the run's own; of two of them the sleep, too.
    ends_and_fails(host, flow, 20).await?;
    Ok(())
}
