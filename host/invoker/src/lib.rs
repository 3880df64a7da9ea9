//! Runs invocations to their end: attempts, leases, retries, timers.
//!
//! One path for every failure of an append, whatever its cause: drop the instance, fence, reload, replay. Nothing here ever
//! concludes from a read that a commit did not happen.

mod admission;
mod backlog;
mod claims;
mod compensate;
mod cron;
mod database;
mod dead_letters;
mod deliveries;
mod deployments;
mod dry_run;
mod halt;
mod handlers;
mod http;
mod invoker;
mod lease;
mod listener;
mod metrics;
mod operate;
mod recovery;
mod revisions;
mod run;
mod scheduler;
mod stop;
mod strays;
mod streamed;
mod turns;
mod unrunnable;
mod waits;

pub use cron::Cron;
pub use database::{
    AppendFences, BeginDelivery, Database, DeliverEvents, FindWork, HearNodes, KeepLease, MeetTicks, ReadDeployments,
    ReadInvocations, TellNodes,
};
pub use dead_letters::{DeadLetters, Replayed};
pub use deliveries::Deliveries;
pub use deployments::NotBuilt;
pub use dry_run::{DryRun, DryRunOptions, Outcome, Replacement};
pub use handlers::{Deploy, Handlers};
/// Of a deployment.
pub use host_runtime::{FetchRevisions, Revision};
pub use invoker::{Invoker, InvokerOptions, MayWork};
pub use lease::{Lease, LeaseTerm};
pub use listener::Listener;
pub use operate::{Asked, OperateError};
pub use revisions::{Activated, First, Revisions, Standing, Uploaded};
pub use scheduler::Scheduler;
pub use strays::Strays;
pub use turns::TurnLimits;
