//! Invocations, journals, leases and timers in PostgreSQL
