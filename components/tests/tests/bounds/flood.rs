//! A flood: many more requests at once than a host has turns and room to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::world::World;

/// Each on a connection of its own: a host lets 12,288 in.
const REQUESTS: usize = 10_000;
/// What a host may grow by, bytes: so many connections with what waits on them, and the instances of 128 attempts.
const GROWTH_BYTES: u64 = 512 << 20;
/// A neighbour's client is served within this, connecting included.
const NEIGHBOURLY: Duration = Duration::from_secs(5);

/// A figure of `/proc/<pid>/status`, bytes.
fn memory_bytes(pid: u32, figure: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let kibibytes = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB"));
    Ok(kibibytes.context("a figure in kB")?.trim().parse::<u64>()? << 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_flood_every_answer_is_right_or_a_503_and_the_neighbour_is_served() -> Result<()> {
    let world = World::start().await?;
    let client = world.nexus.client();
    ensure!(client.get("/neighbour/greeting").await?.status == 200);
    let before = memory_bytes(world.nexus.pid(), "VmRSS")?;

    let over = Arc::new(AtomicBool::new(false));
    let neighbour = {
        let (over, nexus) = (Arc::clone(&over), world.nexus.client());
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                // Each time on a connection of its own: that, too, has to be let in.
                let client = nexus.anew();
                let asked = Instant::now();
                let answer = tokio::time::timeout(NEIGHBOURLY, client.get("/neighbour/greeting")).await??;
                ensure!(answer.status == 200, "{}", answer.json);
                slowest = slowest.max(asked.elapsed());
                served += 1;
            }
            Ok((served, slowest))
        })
    };
    let flood = (0..REQUESTS).map(|_| {
        // Each on a connection of its own: one that is reused may be closed by its host at that moment.
        let client = client.anew();
        let body = json!({ "ticket": "flood", "ms": 200 });
        tokio::spawn(async move { client.post("/crowd/idle", body).await })
    });
    let mut answered = 0;
    for answer in try_join_all(flood).await? {
        let answer = answer?;
        match answer.status.as_u16() {
            200 => {
                ensure!(answer.data(200)["told"] == "idled", "{}", answer.json);
                answered += 1;
            }
            503 => ensure!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers),
            status => anyhow::bail!("{status}: {}", answer.json),
        }
    }
    over.store(true, Ordering::Relaxed);
    let (served, slowest) = neighbour.await??;
    let grown = memory_bytes(world.nexus.pid(), "VmHWM")?.saturating_sub(before);
    tracing_line(&format!(
        "{answered} of {REQUESTS} answered; the neighbour {served} times, at most after {slowest:?}; grown by {} MiB",
        grown >> 20
    ));
    ensure!(answered >= 128, "only {answered} were answered");
    ensure!(served > 0);
    ensure!(grown <= GROWTH_BYTES, "grown by {} MiB", grown >> 20);

    // What was let in is finished, and afterwards there is room again.
    world.audit.settled().await?;
    let answer = client.post("/crowd/idle", json!({ "ticket": "calm", "ms": 1 })).await?;
    ensure!(answer.status == 200, "{}", answer.json);
    Ok(())
}

/// Where whoever runs the test alone sees it.
fn tracing_line(text: &str) {
    use std::io::Write;

    let _ = writeln!(std::io::stderr(), "{text}");
}
