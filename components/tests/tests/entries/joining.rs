//! Several calls at once: two that work and wait, begun and joined.

use anyhow::Result;
use host_testing::TestHost;
use serde_json::json;

use crate::{ask, ends_and_fails, nothing_is_held, start};

pub(crate) const MANIFEST: &str = "components/tests/joining/spin.toml";

pub(crate) async fn work(host: &TestHost, run: &str) -> Result<(Vec<String>, Vec<String>)> {
    let told = ask(host, run, "/joiner/work", json!({ "ticket": run, "ms": 20 })).await?;
    nothing_is_held(host).await?;
    let told = told["told"].as_array().cloned().unwrap_or_default();
    // The first word alone: the others say how long it took, and the last one of them is an id.
    let words = told.iter().take(2).filter_map(|text| text.as_str()?.split(' ').next());
    let notes = format!("SELECT what FROM joiner.note WHERE ticket = '{run}' ORDER BY what");
    Ok((words.map(str::to_owned).collect(), host.texts(&notes).await?))
}

/// Four that write, begun at once and beside a query, of one request.
async fn look(host: &TestHost, run: &str) -> Result<Vec<String>> {
    let what: Vec<_> = (0..4).map(|n| n.to_string()).collect();
    let told = ask(host, run, "/joiner/notes", json!({ "ticket": run, "what": what })).await?;
    nothing_is_held(host).await?;
    let told = told["told"].as_array().map_or(0, Vec::len);
    let notes = format!("SELECT what FROM joiner.note WHERE ticket = '{run}' ORDER BY what");
    let mut notes = host.texts(&notes).await?;
    notes.push(told.to_string());
    Ok(notes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_and_joined() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, work, 6).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn siblings_that_commit_and_queries_at_once() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, look, 5).await?;
    Ok(())
}
