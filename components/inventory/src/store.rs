//! The schema `inventory`: one file per aggregate, one function per statement.

pub(crate) mod history;
pub(crate) mod reservation;
pub(crate) mod serial;
pub(crate) mod stock;
