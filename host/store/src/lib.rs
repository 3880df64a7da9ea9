//! All of the host's SQL: invocations, journals, leases, idempotency keys and deployments in PostgreSQL.
//!
//! The order at start is [`Store::connect`], [`Store::migrate_host`], [`Store::provision_module`] and
//! [`Store::migrate_module`] per schema, [`Store::register_node`]. From then on the node may write; [`Store::serve`] ends the start.

mod activations;
mod audit;
mod batch;
mod cron;
mod data_keys;
mod deliveries;
mod deployments;
mod drops;
mod error;
mod events;
mod examine;
mod exclusive;
mod fence;
mod idempotency;
mod invocations;
mod journal;
mod key_values;
mod master_key;
mod metrics;
mod migrate;
mod names;
mod nodes;
mod origin;
mod promises;
mod provision;
mod rate_limits;
mod restrict;
mod scram;
mod seal;
mod secrets;
mod store;
mod upkeep;
mod wake;
mod workflows;
mod writer;

pub use activations::{Activation, Active, Behind, ComponentWord, Known};
pub use audit::{AuditFilter, Said, Word};
pub use cron::{CronLine, Met, Tick};
pub use data_keys::DataKeyRow;
pub use deliveries::{Asked, Begun, DeadFilter, DeadLetter, Head, Retired, Subscription, SubscriptionId};
pub use deployments::Deployment;
pub use drops::MigrateOptions;
pub use error::{Error, Result, SQLSTATE_NODE_GONE, SQLSTATE_WRONG_TOKEN, append_error};
pub use events::{News, StoredEvent};
pub use examine::{Examined, examine};
pub use exclusive::{AwaitedKey, KeyPlace};
pub use fence::{Abandoned, Fence};
pub use idempotency::HeldKey;
pub use invocations::{DUE, Filter, InvocationRow, Left, Loaded, Page};
pub use key_values::KeyPage;
pub use metrics::OpenCounts;
pub use migrate::PendingMigration;
pub use nodes::{GoneBecause, Heartbeat, NodeRow, Registration, application_name};
pub use origin::{LastSeen, Restored};
pub use promises::{AwaitedPromise, PromiseOutcome, PromiseOwner, PromiseWord, StoredPromise};
pub use provision::ModuleLogin;
pub use rate_limits::RequestCount;
pub use secrets::Purpose;
pub use store::{NodeIdentity, Store, StoreOptions};
pub use upkeep::{Retentions, Upkeep};
pub use wake::{Wake, Wakeups};
pub use workflows::MAX_NAMED_PROMISES;
