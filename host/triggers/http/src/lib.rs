//! The HTTP trigger: a request becomes an invocation's input, and its output the response.
//!
//! [`Server`] routes by the manifest, checks what can be checked before a component runs (limits, size, time, key, token), calls the
//! [`InvocationClient`](host_types::InvocationClient) and renders its outcome. How a component answers is not its business.

mod body;
mod connections;
mod cors;
mod error;
mod health;
mod idempotency_key;
mod identity;
mod metrics;
mod named;
mod proxies;
mod rate_limits;
mod request;
mod response;
mod router;
mod server;
mod streamed;
mod streams;
mod trace_parent;

pub use connections::{ConnectionLimits, serve};
pub use health::{Check, Readiness};
pub use identity::{Verified, VerifyToken};
pub use metrics::HttpMetrics;
pub use proxies::{NoProxy, TrustedProxies, TrustedProxy};
pub use rate_limits::{CountAnswer, CountRequests, Counted};
pub use server::{Limits, Server, ServerOptions};
pub use streams::{EventLog, LogAnswer, LoggedEvent, News, Streams};
