//! `spin.toml` read into a checked [`App`]. Nobody else reads that file.
//!
//! [`App::load`] takes the text and the variables, so this crate does no I/O. It reports everything wrong with the manifest at once
//! ([`Errors`]), each problem with its line, its column and a way out. What only the compiled components can tell (their imports and
//! exports) is checked afterwards by [`App::check_links`]. Whether the files named as sources exist is for the caller to find out.

mod app;
mod cron;
mod deadline;
mod delivery;
mod document;
mod error;
mod events;
mod exclusive;
mod interface;
mod links;
mod load;
mod names;
mod outbound;
mod pinned;
mod rate_limit;
mod retention;
mod retry;
mod route;
mod suggest;
mod variable;

pub use app::{Answer, App, Build, Component, Dependency, IdentityRule, Limits, Providers, RequestPattern, Route};
pub use cron::{CronRule, Overlap, Schedule};
pub use deadline::DeadlineRule;
pub use delivery::Delivery;
pub use error::{Error, Errors, Location, Problem};
pub use events::{AfterDeadLetter, EventRules, Subscription, TopicPattern, is_topic};
pub use exclusive::ExclusiveRule;
pub use host_types::ComponentId;
pub use interface::{InterfaceName, InvalidInterfaceName};
pub use links::{Interfaces, Offered};
pub use names::{KeyName, SchemaName, StoreName};
pub use outbound::{EffectRule, HostPattern, OutboundHost, Scheme, Unknown};
pub use pinned::NotPinned;
pub use rate_limit::{LimitedBy, LimitedRoute, Member, RateLimit, Spelling, Uncounted};
pub use retention::{KeyRetention, Retention};
pub use retry::{Retried, RetryPolicy, RetryRule};
pub use route::{RoutePattern, Segment};
pub use variable::ConfigValue;
