//! What was found: as JSON for programs, as a table for people.

mod table;
mod targets;

use serde::Serialize;

pub(crate) use table::{render, write_verdicts};
pub(crate) use targets::{Reach, Verdict, verdict};

/// All of a run. A part that was not measured is empty.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) conditions: Conditions,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) counts: Vec<Counts>,
    pub(crate) calls: Option<Calls>,
    pub(crate) starts: Vec<Start>,
    pub(crate) swaps: Option<Swaps>,
    pub(crate) takeovers: Option<Takeovers>,
    pub(crate) verdicts: Vec<Verdict>,
    /// Parts that could not be measured to their end, and why. What the others found is shown all the same.
    pub(crate) failed: Vec<String>,
}

impl Report {
    /// What was measured, or a line on why not.
    pub(crate) fn keep<T>(&mut self, part: &str, measured: anyhow::Result<T>) -> Option<T> {
        measured
            .map_err(|error| self.failed.push(format!("{part}: {error:#}")))
            .ok()
    }
}

/// Under which the figures were measured.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) postgres: String,
    /// fsync and synchronous_commit are on.
    pub(crate) is_durable: bool,
    /// Built for release; else the figures say nothing.
    pub(crate) is_optimised: bool,
    pub(crate) rounds: usize,
    pub(crate) turn_s: f64,
    /// Sessions of the component, and of each native pool.
    pub(crate) sessions: usize,
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// The component in `nexus`.
    Nexus,
    /// hyper and tokio-postgres.
    TokioPostgres,
    /// hyper and sqlx.
    Sqlx,
}

/// Servers on the same work with the same number of clients.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) work: &'static str,
    pub(crate) clients: usize,
    /// Processors that neither server, database nor clients kept busy: the kernel's interrupts, and whatever else ran.
    pub(crate) other_load: f64,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) figures: Vec<Figures>,
}

/// Ours divided by a native server's: medians of the rounds' ratios.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) against: Peer,
    pub(crate) throughput: f64,
    pub(crate) lowest_throughput: f64,
    pub(crate) highest_throughput: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Of one server: medians of its turns. They say something about this machine only.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) server: Peer,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us_per_request: CpuUs,
    pub(crate) written_transactions_per_request: f64,
    pub(crate) wal_bytes_per_request: f64,
}

/// Processor time, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CpuUs {
    pub(crate) server: f64,
    pub(crate) postgres: f64,
    pub(crate) clients: f64,
}

/// By PostgreSQL's statistics, with one client. The host's heartbeats are in ours.
#[derive(Debug, Serialize)]
pub(crate) struct Counts {
    pub(crate) work: &'static str,
    pub(crate) server: Peer,
    pub(crate) commits_per_request: f64,
    pub(crate) wal_syncs_per_request: f64,
}

/// Calls from component to component.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) calls_per_request: u32,
    pub(crate) us_per_call: f64,
    pub(crate) us_per_instantiation: f64,
    /// Median of the rounds' ratios.
    pub(crate) ratio: f64,
}

/// Starts of an application.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) application: &'static str,
    pub(crate) database: &'static str,
    /// From the start of the process; median.
    pub(crate) first_answer_ms: f64,
    pub(crate) slowest_ms: f64,
    /// After the first answer.
    pub(crate) resident_idle_mib: f64,
    /// After `requests` more.
    pub(crate) resident_mib: f64,
    pub(crate) requests: usize,
}

/// Another revision of a module, uploaded and activated while clients ask for its work.
#[derive(Debug, Serialize)]
pub(crate) struct Swaps {
    pub(crate) swaps: usize,
    pub(crate) clients: usize,
    /// All that were sent, with and without a swap.
    pub(crate) requests: u64,
    /// Of these, those without the right answer.
    pub(crate) failed: u64,
    /// While the revision is compiled and checked.
    pub(crate) uploading: Beside,
    /// While it is activated.
    pub(crate) activating: Beside,
    /// Medians, as all that follow but the slowest.
    pub(crate) upload_ms: f64,
    pub(crate) activate_ms: f64,
    /// From asking for the activation to an answer of the revision.
    pub(crate) first_answer_ms: f64,
    pub(crate) slowest_first_answer_ms: f64,
}

/// Something beside the load, divided by the load alone: medians of the rounds' ratios.
#[derive(Debug, Serialize)]
pub(crate) struct Beside {
    pub(crate) throughput: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Open invocations of a host that was killed, until another one has finished them.
#[derive(Debug, Serialize)]
pub(crate) struct Takeovers {
    /// Of the killed host.
    pub(crate) lease_ms: f64,
    /// That it owned.
    pub(crate) owned: i64,
    /// That nobody owned: they slept.
    pub(crate) suspended: i64,
    /// From when the host was declared gone until somebody owned all it had owned.
    pub(crate) owned_again_ms: f64,
    /// What another host owned that was killed and started again.
    pub(crate) owned_at_restart: i64,
    /// From the start of its process until it owned all that again.
    pub(crate) owned_after_restart_ms: f64,
    /// From the kill until the last had ended.
    pub(crate) finished_ms: f64,
    /// The same, divided by the lease.
    pub(crate) finished_leases: f64,
    /// Ended per second from when the host was declared gone.
    pub(crate) recovered_per_second: f64,
    /// The same jobs on a host that nobody kills.
    pub(crate) normal_per_second: f64,
    /// The first divided by the second.
    pub(crate) throughput: f64,
}

/// More than the kernel's own work takes, in processors.
pub(crate) const DISTURBING_LOAD: f64 = 0.3;

impl Comparison {
    /// Something else ran, and took from the servers unequally: the figures may be wrong either way.
    fn is_disturbed(&self) -> bool {
        self.other_load > DISTURBING_LOAD
    }
}

impl Report {
    /// Compares what was found with what was to be reached.
    pub(crate) fn judge(&mut self) {
        self.verdicts = targets::verdicts(self);
    }
}
