//! Marketplace flows over HTTP, with every component loaded in a real host. This library is what the tests share.

mod audit;
mod client;
mod nexus;
mod shop;

pub use audit::Audit;
pub use client::{Answer, Client};
pub use nexus::{Nexus, NexusOptions, Node, check_application, guest};
pub use shop::{ADDRESS, Listing, Person, Shop};
