//! Marketplace flows over HTTP, with every component loaded in a real host. This library is what the tests share.

mod audit;
mod client;
pub mod courier;
mod gateway;
mod nexus;
mod notice;
mod paid;
mod proxy;
mod revision;
mod shop;
mod wire;

pub use audit::Audit;
pub use client::{Answer, Client};
pub use gateway::{Charge, Gateway, Manner};
pub use nexus::{
    AddedMigration, Edited, Nexus, NexusOptions, binary, check_application, data_dir, guest, target_dir, until_ready,
    workspace,
};
pub use notice::Notice;
pub use paid::{CHECKOUT, CONFIRM, Opened, PaidShop, STOCK, UNIT};
pub use proxy::{Fault, Proxy};
pub use revision::{Guests, other_build};
pub use shop::{ADDRESS, Listing, Person, Shop};
pub use wire::Commit;
