//! Bounds: what a crowd costs, and who notices.

mod backup;
mod flood;
mod keys;
mod loops;
mod open;
mod rolling;
mod takeover;
mod world;
