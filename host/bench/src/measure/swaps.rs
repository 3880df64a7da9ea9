//! Another revision of a module while clients ask for its work: whether one of them fails, how much later they are answered, and how soon the
//! revision answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_admin::{Activating, RevisionDigest, Uploading};
use host_postgres::test_support::TestDatabase;
use host_types::{Clock, ComponentId, Digest, SystemClock};

use super::Extent;
use crate::database::{Database, OURS};
use crate::load::{Client, Job, Load, Sample, Until, Work, run, run_beside};
use crate::nexus::{Nexus, NexusOptions};
use crate::report::{Beside, Swaps};
use crate::statistics::median;
use crate::workspace::Workspace;

/// They keep the host busy, and leave it something to compile with.
const CLIENTS: usize = 4;
/// An upload or an activation is given up by the host long before.
const LONGEST: Duration = Duration::from_secs(120);
const PROBE: &str = "/bench/item/1";

/// Orders, and who was not answered rightly: counted here, and sent no second time.
#[derive(Debug, Clone)]
struct Orders {
    address: SocketAddr,
    failed: Arc<AtomicU64>,
}

impl Job for Orders {
    async fn request(self, client: &mut Client, item: u64) -> Result<()> {
        if let Err(error) = Work::Post.request(client, item).await {
            if self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                crate::progress(&format!("a request failed: {error:#}"));
            }
            *client = Client::connect(self.address).await?;
        }
        Ok(())
    }
}

/// The three turns of a round.
struct Round {
    alone: Sample,
    uploading: Sample,
    activating: Sample,
    upload_ms: f64,
    activate_ms: f64,
    first_answer_ms: f64,
}

/// On a database of its own.
pub(crate) async fn measure(
    workspace: &Workspace,
    server_url: &str,
    scratch: &Path,
    extent: Extent,
    progress: &dyn Fn(&str),
) -> Result<Swaps> {
    let own = TestDatabase::create(server_url, "bench_swaps").await?;
    let database = Database::open(own.url()).await?;
    let nexus = Nexus::start(&NexusOptions {
        binary: &workspace.nexus(),
        manifest: &workspace.bench_app(),
        data_dir: &scratch.join("swapped"),
        target_dir: workspace.target_dir(),
        database_url: Some(own.url()),
        probe: PROBE,
    })
    .await?;
    let wasm = std::fs::read(workspace.guest("guest_bench_shop.wasm")).context("the module's bytes")?;
    let failed = Arc::<AtomicU64>::default();
    let load = |until, seed| Load {
        work: Orders {
            address: nexus.address,
            failed: Arc::clone(&failed),
        },
        clients: CLIENTS,
        until,
        seed,
    };
    let mut requests = run(nexus.address, load(Until::Passed(extent.warm_up), 0))
        .await?
        .requests;
    let mut rounds = Vec::new();
    for number in 1..=extent.rounds {
        progress(&format!("swaps under load: round {number} of {}", extent.rounds));
        let revision = revision(&wasm, number);
        let round = swap(&nexus, &revision, extent.turn, |until| load(until, number as u64)).await?;
        let turns = [&round.alone, &round.uploading, &round.activating];
        requests += turns.map(|sample| sample.requests).iter().sum::<u64>();
        rounds.push(round);
    }
    let failed = failed.load(Ordering::Relaxed);
    if failed == 0 {
        database.check_orders(OURS, requests).await?;
    }
    let answered = database.deployments().await?;
    ensure!(
        answered == extent.rounds as i64 + 1,
        "of {} revisions and the file before them, {answered} have answered",
        extent.rounds
    );
    nexus.stop()?;
    report(&rounds, requests, failed).context("a round was measured")
}

async fn swap(nexus: &Nexus, wasm: &[u8], turn: Duration, load: impl Fn(Until) -> Load<Orders>) -> Result<Round> {
    let admin = nexus.admin().await?;
    let component = ComponentId::from("shop");
    let mut prober = Client::connect(nexus.address).await?;
    let alone = run(nexus.address, load(Until::Passed(turn))).await?;

    let upload = async {
        let began = SystemClock.boot_ns();
        let uploading = Uploading {
            wasm: wasm.to_owned().into(),
            ..Uploading::default()
        };
        admin.upload(&component, uploading).await?;
        Ok(ms_since(began))
    };
    let (uploading, upload_ms) = run_beside(nexus.address, load(Until::Passed(LONGEST)), upload).await?;

    let activate = async {
        // The load before and after it, too, so that the turns are of a length.
        tokio::time::sleep(turn / 2).await;
        let began = SystemClock.boot_ns();
        let activating = Activating {
            digest: RevisionDigest(Digest::of(wasm)),
            reason: String::new(),
        };
        let activated = admin.activate(&component, &activating).await?;
        let activate_ms = ms_since(began);
        ensure!(!activated.was_active, "the revision was active before it was activated");
        // It was told that what begins now runs on the revision.
        prober.get(PROBE).await?;
        let first_answer_ms = ms_since(began);
        tokio::time::sleep(turn / 2).await;
        Ok((activate_ms, first_answer_ms))
    };
    let (activating, (activate_ms, first_answer_ms)) =
        run_beside(nexus.address, load(Until::Passed(LONGEST)), activate).await?;
    Ok(Round {
        alone,
        uploading,
        activating,
        upload_ms,
        activate_ms,
        first_answer_ms,
    })
}

fn ms_since(began_ns: u64) -> f64 {
    (SystemClock.boot_ns() - began_ns) as f64 / 1e6
}

/// The same component under another digest: with one more custom section, which means nothing to anybody.
fn revision(wasm: &[u8], number: usize) -> Vec<u8> {
    const CUSTOM: u8 = 0;
    const NAME: &[u8] = b"revision";
    let number = (number as u64).to_le_bytes();
    let mut revision = wasm.to_owned();
    // Both lengths fit into one byte.
    revision.extend([CUSTOM, (1 + NAME.len() + number.len()) as u8, NAME.len() as u8]);
    revision.extend_from_slice(NAME);
    revision.extend_from_slice(&number);
    revision
}

fn report(rounds: &[Round], requests: u64, failed: u64) -> Option<Swaps> {
    let middle = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    let beside = |turn: fn(&Round) -> &Sample| {
        let ratio = |value: fn(&Sample) -> f64| {
            let ratios = rounds.iter().map(|round| value(turn(round)) / value(&round.alone));
            median(ratios)
        };
        Some(Beside {
            throughput: ratio(|sample| sample.per_second)?,
            p50: ratio(|sample| sample.p50_us)?,
            p99: ratio(|sample| sample.p99_us)?,
        })
    };
    Some(Swaps {
        swaps: rounds.len(),
        clients: CLIENTS,
        requests,
        failed,
        uploading: beside(|round| &round.uploading)?,
        activating: beside(|round| &round.activating)?,
        upload_ms: middle(|round| round.upload_ms)?,
        activate_ms: middle(|round| round.activate_ms)?,
        first_answer_ms: middle(|round| round.first_answer_ms)?,
        slowest_first_answer_ms: rounds.iter().map(|round| round.first_answer_ms).fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_of_a_component_are_components_and_differ() {
        // An empty component: magic, version 13 of the layer of components.
        let empty = *b"\0asm\x0d\0\x01\0";
        let engine = wasmtime::Engine::default();
        let revisions = [1, 2].map(|number| revision(&empty, number));
        for revision in &revisions {
            wasmtime::component::Component::from_binary(&engine, revision).unwrap();
        }
        assert_ne!(revisions[0], revisions[1]);
    }
}
