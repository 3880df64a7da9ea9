//! What happens to an account, streamed to it and to nobody else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Nexus, Shop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The head of the answer, and what comes at once.
async fn begin(nexus: &Nexus, path: &str) -> Result<String> {
    let address = nexus.url().strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
        .await?;
    let mut begun = Vec::new();
    while !begun.ends_with(b"retry: 3000\n\n\r\n") {
        let mut byte = [0];
        timeout(Duration::from_secs(20), stream.read_exact(&mut byte)).await??;
        begun.push(byte[0]);
    }
    Ok(String::from_utf8(begun)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_listens_with_its_token_in_the_address_and_it_is_kept_nowhere() -> Result<()> {
    const PATH: &str = "/api/v1/common/stream";
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 1).await?;
    let token = shop.buyer.client.token().context("signed in")?;
    let begun = begin(&nexus, &format!("{PATH}?token={token}")).await?;
    ensure!(begun.starts_with("HTTP/1.1 200 OK"), "{begun}");
    ensure!(begun.contains("content-type: text/event-stream"), "{begun}");
    ensure!(!begun.contains("nexus-stream"), "{begun}");

    nexus.client().get(PATH).await?.failed(401, "unauthorized");
    nexus
        .client()
        .get(&format!("{PATH}?token=none"))
        .await?
        .failed(401, "unauthorized");
    ensure!(!nexus.log()?.contains(token), "the token is in the log");
    Ok(())
}
