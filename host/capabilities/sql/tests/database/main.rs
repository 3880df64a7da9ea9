//! `nexus:sql` against a real PostgreSQL.

mod limits;
mod linking;
mod rules;
mod support;
mod transactions;
mod values;
