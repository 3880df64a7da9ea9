//! The comparison's work as services on Restate: an empty handler, a chain of four, and a checkout of four calls.
//!
//! Written as a user of Restate would who cares for speed: a client per service, calls through the context, each transaction in
//! one `ctx.run`. What the handlers answer is what `nexus` answers to the same request.

mod chain;
mod checkout;
mod database;
mod empty;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use restate_sdk::prelude::{Endpoint, HttpServer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use database::Database;

/// The host's, so that no side pays for its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this process finds its database by; an argument would show in every list of processes.
const DATABASE_URL: &str = "NEXUS_BENCH_DATABASE_URL";

/// Serves on a free port, which it prints, until standard input ends.
#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var(DATABASE_URL).context(DATABASE_URL)?;
    let database = Arc::new(Database::new(&url)?);
    let endpoint = Endpoint::builder()
        .bind(empty::Empty)
        .bind(chain::First)
        .bind(chain::Second)
        .bind(chain::Third)
        .bind(chain::Fourth)
        .bind(checkout::Checkout)
        .bind(checkout::Pricing)
        .bind(checkout::Stock(Arc::clone(&database)))
        .bind(checkout::Payment)
        .bind(checkout::Orders(database))
        .build();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    // What is accepted inherits it. The SDK does not ask for it, and small frames would wait for acknowledgements.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (ending, ended) = oneshot::channel::<()>();
    // A thread of its own: one of the runtime's would keep that from ending.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ending.send(());
    });
    HttpServer::new(endpoint).serve_with_cancel(listener, ended).await;
    Ok(())
}
