//! Payments that are made elsewhere, at a gateway that answers at once, late, twice, or never.

mod answered;
mod authorisation;
mod busy;
mod cancelling;
mod confirming;
mod holding;
mod outage;
mod over;
mod paying;
mod reports;
mod wallet;
mod workflows;
