//! `nexus:sql` against a real PostgreSQL.

mod limits;
mod linking;
mod rules;
mod siblings;
mod support;
mod tls;
mod transactions;
mod values;
