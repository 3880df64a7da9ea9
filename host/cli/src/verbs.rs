//! The verbs beside `up` and `build`, a file each.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod components;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod invocations;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod nodes;
pub(crate) mod promises;
pub(crate) mod replay;
pub(crate) mod seed;
pub(crate) mod steer;
