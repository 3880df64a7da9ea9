//! A rolling restart: each of two nodes stops and starts again under load, behind a load balancer that asks whether they are ready, and
//! no request fails. With another version before it is a release: `cargo xtask upgrade`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Client, NexusOptions};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::World;

/// How often the load balancer asks a node whether it is ready.
const LOOK: Duration = Duration::from_millis(50);
const CLIENTS: usize = 8;
/// Whoever naps is asleep when its node stops, again and again.
const NAP_MS: u64 = 700;

/// Sends each request to a node that said it was ready when it was last asked.
struct Balancer {
    nodes: [watch::Sender<Option<Client>>; 2],
    next: AtomicUsize,
}

impl Balancer {
    fn new(first: Client, second: Client) -> Arc<Self> {
        Arc::new(Self {
            nodes: [watch::Sender::new(Some(first)), watch::Sender::new(Some(second))],
            next: AtomicUsize::new(0),
        })
    }

    /// Looks after one node until it is not ready, and then takes it out.
    async fn watch(&self, node: usize, client: Client) {
        self.nodes[node].send_replace(Some(client.clone()));
        while client.get("/ready").await.is_ok_and(|answer| answer.status == 200) {
            tokio::time::sleep(LOOK).await;
        }
        self.nodes[node].send_replace(None);
    }

    fn pick(&self) -> Result<Client> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let ready = (0..2).find_map(|offset| self.nodes[(first + offset) % 2].borrow().clone());
        ready.ok_or_else(|| anyhow::anyhow!("no node is ready"))
    }
}

/// What runs before: the version that `NEXUS_BINARY_BEFORE` names, or this one.
fn before() -> NexusOptions {
    NexusOptions {
        binary: std::env::var_os("NEXUS_BINARY_BEFORE").map(Into::into),
        ..NexusOptions::default()
    }
}

/// Requests, one after the other, until told to stop. Returns how many.
async fn load(balancer: Arc<Balancer>, number: usize, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let ticket = format!("{number}-{sent}");
        // Every other one has a key; one client of two naps.
        let client = balancer.pick()?;
        let client = if sent % 2 == 0 { client } else { client.keyed(&ticket) };
        let (path, told) = match number % 2 {
            0 => ("/crowd/note", "noted"),
            _ => ("/crowd/nap", "napped"),
        };
        let answer = client.post(path, json!({ "ticket": ticket, "ms": NAP_MS })).await?;
        ensure!(
            answer.status == 200,
            "{path} {ticket}: {} {}",
            answer.status,
            answer.json
        );
        ensure!(answer.data(200)["told"] == told, "{}", answer.json);
        if sent % 2 == 1 {
            let other = balancer.pick()?.keyed(&ticket);
            let again = other.post(path, json!({ "ticket": ticket, "ms": NAP_MS })).await?;
            ensure!(
                (again.status, &again.bytes) == (answer.status, &answer.bytes),
                "{ticket} again: {}",
                again.json
            );
            ensure!(
                again.headers.contains_key("idempotency-replayed"),
                "{ticket} was run again"
            );
        }
        sent += 1;
    }
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_restarted_in_turn_and_no_request_fails() -> Result<()> {
    let mut world = World::start_with(before()).await?;
    let mut second = world.nexus.second_node(before()).await?;
    let balancer = Balancer::new(world.nexus.client(), second.client());
    let watch = |node: usize, client: Client| {
        let balancer = Arc::clone(&balancer);
        tokio::spawn(async move { balancer.watch(node, client).await })
    };
    let watching = [watch(0, world.nexus.client()), watch(1, second.client())];

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(load(Arc::clone(&balancer), number, Arc::clone(&stop)));
    }
    // More than one node can run at once waits here as ids when it is asked to stop, and must not wait for it.
    world.send_jobs("later", 400, 2_000).await?;
    let due = "UPDATE host.invocation SET due_at = now() WHERE status = 'running' AND node_id IS NULL";
    ensure!(world.audit.change(due).await? > 0);

    ensure!(world.nexus.terminate().await?.success());
    world.nexus.restart(NexusOptions::default()).await?;
    let again = watch(0, world.nexus.client());
    // For a while one of each version is at work.
    world.noted_more(20).await?;
    ensure!(second.terminate().await?.success());
    second.restart(NexusOptions::default()).await?;
    let _again = [again, watch(1, second.client())];

    // Both have had their turn since; the load goes on for a moment with both.
    world.noted_more(20).await?;
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    while let Some(client) = clients.join_next().await {
        sent += client??;
    }
    drop(watching);

    // Each request once, whoever ran it.
    let noted = world.noted("noted").await?;
    let of_clients = "SELECT count(*) FROM crowd.note WHERE what = 'after' AND ticket <> 'later'";
    let napped = world.audit.count(of_clients).await?;
    ensure!(noted + napped == sent as i64, "{noted} + {napped} of {sent}");
    // Nobody had to wait for a lease to run out.
    let gone = "SELECT count(*) FROM host.node WHERE gone_at - heartbeat_at > interval '3 s'";
    ensure!(world.audit.count(gone).await? == 0);
    world
        .audit
        .becomes(
            "SELECT count(*) FROM crowd.note WHERE ticket = 'later' AND what = 'before'",
            400,
        )
        .await
}
