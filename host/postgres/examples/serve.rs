//! Starts the private PostgreSQL of a data directory, prints its URL and holds the directory until standard input ends;
//! then stops the server. Killed, it leaves the server running for the next to adopt. Without a data directory the
//! server is a temporary one that goes away in either case.
//!
//! `cargo run -p host-postgres --example serve -- [DATA_DIR]`

use std::io::{Read, Write};

use host_postgres::test_support::TestServer;
use host_postgres::{DataDir, Options, Programs, Server, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let programs = Programs::find_or_install(&mut |line| drop(writeln!(std::io::stderr(), "{line}"))).await?;
    let Some(path) = std::env::args_os().nth(1) else {
        let server = TestServer::start(&programs, Settings::test()).await?;
        return hold(&server.url());
    };
    let data_dir = DataDir::lock(path)?;
    let server = Server::start(&programs, &data_dir, &Options::default()).await?;
    hold(&server.connection().url())?;
    Ok(server.stop().await?)
}

/// Prints `url` and waits for the end of standard input.
fn hold(url: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{url}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
