//! Workflows: under an id, once, awaited from elsewhere, over kills and restarts.

mod cron;
mod deadlines;
mod keys;
mod operators;
mod workflows;
mod world;
