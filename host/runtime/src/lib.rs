//! From an application and a component to a running instance.

mod answer;
mod begun;
mod capabilities;
mod component;
mod deployment;
mod dispatch;
mod error;
mod instance;
mod linked;
mod metrics;
mod runtime;
mod statements;
mod stock;

pub use capabilities::{PLATFORM, STOCK_PLATFORM};
pub use deployment::Deployment;
pub use error::{Error, NotFetched};
/// Of the record of a transaction.
pub use host_sql::is_committed;
pub use linked::{FetchRevisions, interfaces};
pub use runtime::{Outside, Revision, Runtime, RuntimeOptions};
pub use statements::{FailingStatement, failing_statements};
pub use stock::{CallModules, ModuleCall};
