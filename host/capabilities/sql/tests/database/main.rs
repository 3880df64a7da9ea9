//! `nexus:sql` against a real PostgreSQL.

mod limits;
mod rules;
mod support;
mod transactions;
mod values;
