//! What was found: as JSON for programs; `table.rs` has it for people.

use serde::Serialize;

use super::market::Work;
use crate::report::{DISTURBING_LOAD, Reach, Verdict, verdict};

/// All of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) conditions: Conditions,
    pub(super) compared: Vec<Compared>,
    pub(super) books: Books,
    pub(super) verdicts: Vec<Verdict>,
}

/// Under which the figures were measured.
#[derive(Debug, Serialize)]
pub(super) struct Conditions {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) restate: String,
    /// Not as it comes, but by a file that the run was given.
    pub(super) is_restate_configured: bool,
    pub(super) postgres: String,
    /// fsync and synchronous_commit are on, on both sides. That Restate flushes its log shows in its own counters.
    pub(super) is_durable: bool,
    /// Built for release; else the figures say nothing.
    pub(super) is_optimised: bool,
    pub(super) rounds: usize,
    pub(super) turn_s: f64,
}

/// Both sides on the same work with the same number of clients.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) work: Work,
    pub(super) title: &'static str,
    pub(super) clients: usize,
    /// Processors that neither the side in its turn nor the clients kept busy.
    pub(super) other_load: f64,
    pub(super) ratios: Ratios,
    pub(super) nexus: Figures,
    pub(super) restate: Figures,
}

/// Ours divided by Restate's: medians of the rounds' ratios.
#[derive(Debug, Serialize)]
pub(super) struct Ratios {
    pub(super) throughput: f64,
    pub(super) lowest_throughput: f64,
    pub(super) highest_throughput: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) cpu: f64,
    pub(super) memory: f64,
}

/// Of one side: medians of its turns. They say something about this machine only.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Of all rounds.
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) cpu_s_per_thousand: CpuS,
    /// They share the machine, and are in none of the ratios but throughput's.
    pub(super) clients_cpu_s_per_thousand: f64,
    /// Of all processes, when the clients had just ended; the most of all turns.
    pub(super) memory_mib: f64,
    pub(super) counts: Option<Counts>,
}

/// Processor time, seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CpuS {
    pub(super) server: f64,
    pub(super) service: f64,
    pub(super) postgres: f64,
}

impl CpuS {
    pub(super) fn all(self) -> f64 {
        self.server + self.service + self.postgres
    }
}

/// By PostgreSQL's and Restate's own counters, heartbeats and warm-up included.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Counts {
    pub(super) commits_per_request: f64,
    /// Of PostgreSQL's log to the disk.
    pub(super) postgres_flushes_per_request: f64,
    /// Of the logs of Restate's stores to the disk.
    pub(super) log_flushes_per_request: f64,
}

/// Checkouts that were answered, and transactions beyond the two of each. On our side there are none, or the run fails.
#[derive(Debug, Serialize)]
pub(super) struct Books {
    pub(super) nexus: u64,
    pub(super) restate: u64,
    pub(super) repeated_by_restate: u64,
}

impl Compared {
    /// Something else ran, and took from the sides unequally.
    pub(super) fn is_disturbed(&self) -> bool {
        self.other_load > DISTURBING_LOAD
    }
}

/// Of everything that was measured and has something to reach.
pub(super) fn verdicts(compared: &[Compared]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for compared in compared {
        let Ratios { throughput, p50, .. } = compared.ratios;
        let wanted = match compared.work {
            Work::Empty => Vec::new(),
            Work::Chain => vec![
                ("throughput", throughput, Reach::AtLeast(20.0)),
                ("p50", p50, Reach::AtMost(0.1)),
            ],
            Work::Checkout => vec![("throughput", throughput, Reach::AtLeast(20.0))],
        };
        verdicts.extend(wanted.into_iter().map(|(what, measured, reach)| Verdict {
            is_disturbed: compared.is_disturbed(),
            ..verdict(
                format!("{}, {} client(s): {what} ÷ Restate's", compared.title, compared.clients),
                measured,
                reach,
            )
        }));
    }
    verdicts
}
