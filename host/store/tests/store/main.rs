//! The store against a real PostgreSQL.

mod activations;
mod append;
mod batch;
mod deployments;
mod drops;
mod events;
mod examine;
mod exclusive;
mod fence;
mod invocations;
mod isolation;
mod key_values;
mod keys;
mod migrate;
mod nodes;
mod origin;
mod payloads;
mod promises;
mod provision;
mod proxy;
mod rate_limits;
mod starting;
mod support;
mod upkeep;
mod views;
mod wake;
