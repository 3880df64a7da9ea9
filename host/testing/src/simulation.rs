//! The host, simulated: the real journal, recorder and invoker of several nodes, against a database, a provider and people that a seed
//! decides about. Time is tokio's, paused, so that a minute passes in milliseconds; one thread runs everything, so that a seed
//! means the same every time.
//!
//! What is simulated is what the host stands on: the tables and functions of `migrations/host` (`tables.rs`), connections that lose
//! questions and answers (`session.rs`), modules' transactions (`transaction.rs`), processes that are killed, frozen and asked to stop
//! (`gate.rs`, `world.rs`), an outside provider (`provider.rs`). What runs in it is a market (`market.rs`) for people (`people.rs`). When
//! everything has come to its end, `auditor.rs` compares it with books of its own.

mod auditor;
mod dice;
mod gate;
mod instance;
mod market;
mod people;
mod provider;
mod sabotage;
mod session;
mod tables;
mod transaction;
mod world;

use std::fmt;

use host_journal::{Body, Entry, FenceReason};
use host_types::Fault;

use people::Told;
pub use sabotage::Sabotage;
use world::World;

/// A world that has come to its end as it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// The seed.
    pub seed: u64,
    /// Invocations that became durable.
    pub invocations: usize,
    /// Entries in their journals.
    pub entries: usize,
    /// Attempts after the first of each, and operators' words.
    pub fences: usize,
    /// Workflows that were begun.
    pub workflows: usize,
    /// Places for an exclusive key behind somebody else's.
    pub queued: usize,
    /// Ticks that began a run.
    pub ticks: usize,
    /// Events that were published.
    pub events: usize,
    /// Dead letters that an operator had delivered anew.
    pub renewed: usize,
    /// Orders that the seller confirmed.
    pub confirmed: usize,
    /// Orders that the seller rejected.
    pub rejected: usize,
    /// Effects in doubt that an operator answered.
    pub answered: usize,
    /// Promises that an operator completed.
    pub brought: usize,
    /// Nodes that were asked to stop.
    pub stopped: usize,
    /// Nodes that began with a clock that was far off.
    pub far_off: usize,
    /// Simulated time, milliseconds.
    pub time_ms: u64,
    /// Of everything that was written, in order: equal for equal seeds.
    pub digest: u64,
}

/// A world that has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// What is wrong, each beginning with the invariant.
    pub findings: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} violates:", self.seed)?;
        self.findings
            .iter()
            .try_for_each(|finding| writeln!(f, "  {finding}"))?;
        write!(
            f,
            "again: cargo run -p host-testing --bin simulate -- --seed {}",
            self.seed
        )
    }
}

impl std::error::Error for Violation {}

/// A world that ends in a panic is no [`Violation`], and its seed is to be known nevertheless.
struct Seeded(u64);

impl Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let findings = vec!["it ended in a panic".to_owned()];
            let seed = self.0;
            // Standard error goes with the panic's own message.
            eprintln!("{}", Violation { seed, findings });
        }
    }
}

/// Plays the world of this seed, with a bug planted or without.
pub fn play(seed: u64, sabotage: Option<Sabotage>) -> Result<Played, Violation> {
    played(seed, sabotage, |world, time_ms| {
        let findings = auditor::audit(world);
        if !findings.is_empty() {
            return Err(Violation { seed, findings });
        }
        let tables = world.database.tables.lock();
        let stored = || tables.invocations.values();
        let answered = world.answered.lock();
        let done_by = |word: &str| {
            let told = answered.by_key.iter().filter(|(key, _)| key.starts_with(word));
            told.filter(|(_, told)| matches!(told.first(), Some(Told::Response(200, _))))
                .count()
        };
        Ok(Played {
            seed,
            invocations: stored().count(),
            entries: stored().map(|stored| stored.bodies.len()).sum(),
            fences: stored().map(|stored| stored.row.attempt as usize).sum(),
            workflows: stored().filter(|stored| stored.row.function == market::FLOW).count(),
            queued: tables.queued,
            ticks: tables.ticks.iter().filter(|tick| tick.invocation.is_some()).count(),
            events: tables.events.len(),
            renewed: tables.renewed,
            confirmed: done_by("confirm"),
            rejected: done_by("reject"),
            answered: stored().map(|stored| answered_by_hand(&stored.bodies)).sum(),
            brought: tables.brought,
            stopped: tables.stopped,
            far_off: tables.far_off,
            time_ms,
            digest: tables.digest,
        })
    })
}

fn answered_by_hand(bodies: &[Vec<u8>]) -> usize {
    let entries = tables::entries(bodies);
    let is_answer = |entry: &&Entry| {
        let Body::Fence { reason, .. } = &entry.body else {
            return false;
        };
        matches!(reason, FenceReason::Answer { .. })
    };
    entries.iter().filter(is_answer).count()
}

/// The journals of this seed's world, each as its stored entries with the payloads in clear.
pub fn journals(seed: u64) -> Vec<Vec<Vec<u8>>> {
    played(seed, None, |world, _| {
        let tables = world.database.tables.lock();
        tables
            .invocations
            .values()
            .map(|stored| stored.bodies.clone())
            .collect()
    })
}

/// What today's handlers make of a recorded journal: what they return, or the fault that ends them. `None`: they ask for more than is
/// recorded, or an operator cancelled the invocation.
pub fn replay(bodies: &[Vec<u8>]) -> Option<Result<Vec<u8>, Fault>> {
    let (world, _) = World::new(0, None);
    auditor::replayed(&world, tables::entries(bodies))
}

/// What there is to see of a world at its end, and how long it lasted, milliseconds.
fn played<T>(seed: u64, sabotage: Option<Sabotage>, see: impl FnOnce(&World, u64) -> T) -> T {
    let _seeded = Seeded(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be made");
    runtime.block_on(async {
        let (world, notifications) = World::new(seed, sabotage);
        let begun_ms = world.database.now_ms();
        world.play(notifications).await;
        let time_ms = world.database.now_ms() - begun_ms;
        see(&world, time_ms)
    })
}
