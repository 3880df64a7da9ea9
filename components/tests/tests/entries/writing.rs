//! Transactions of every kind: serializable, with savepoints, rolled back, refused at the commit.

use anyhow::{Result, ensure};
use host_testing::TestHost;
use serde_json::{Value, json};

use crate::{ask, ends_and_fails, nothing_is_held, start};

const MANIFEST: &str = "components/tests/writing/spin.toml";

async fn write(host: &TestHost, run: &str) -> Result<(Value, Vec<String>)> {
    let told = ask(host, run, "/clerk/write", json!({ "ticket": run })).await?;
    nothing_is_held(host).await?;
    let told = told["told"].clone();
    ensure!(
        told == json!(["0 before", "1 before", "in parts", "rolled back", "refused", "5 after"]),
        "{told}"
    );
    let notes = format!("SELECT what FROM clerk.note WHERE ticket = '{run}' ORDER BY what");
    Ok((told, host.texts(&notes).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_every_kind() -> Result<()> {
    // Before each of the four commits and the one that is refused, and the output.
    ends_and_fails(start(MANIFEST).await?, write, 6).await?;
    Ok(())
}
