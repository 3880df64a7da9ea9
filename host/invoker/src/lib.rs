//! Attempts, leases, retries, timers
