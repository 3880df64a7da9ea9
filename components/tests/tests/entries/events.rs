//! Publishing, and telling each subscription once; what one did not take is delivered anew.

use anyhow::{Context, Result};
use host_testing::TestHost;
use serde_json::json;

use crate::{ask, ends_and_fails, nothing_is_held, start};

pub(crate) const MANIFEST: &str = "components/tests/events/spin.toml";

pub(crate) async fn news(host: &TestHost, run: &str) -> Result<Vec<String>> {
    let body = json!({ "topic": "news.good", "key": run });
    ask(host, run, "/teller/tell", body).await?;
    nothing_is_held(host).await?;
    let heard = format!("SELECT subscription || ' ' || content FROM listener.heard WHERE key = '{run}' ORDER BY 1");
    host.texts(&heard).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_and_delivered() -> Result<()> {
    // The publisher's transaction, the begin of the deliveries, their transactions and their ends: before and after each.
    ends_and_fails(start(MANIFEST).await?, news, 10).await?;
    Ok(())
}

/// Two events that are not taken: one before anything was done about it, and one after. Then they are, because an operator says so.
async fn old_news(host: &TestHost, run: &str) -> Result<Vec<String>> {
    let keys = ["before", "after"].map(|when| (format!("{run}-{when}"), format!("reject {when}")));
    let tells = async {
        for (key, mood) in &keys {
            // Changed by what is no part of the flow, so that it stays as it is when this is done again.
            let is_set = format!(
                "WITH new AS (INSERT INTO listener.mood (key, mood) VALUES ('{key}', '{mood}') ON CONFLICT DO NOTHING)
                 SELECT count(*) FROM listener.mood"
            );
            host.count(&is_set).await?;
            let body = json!({ "topic": "news.bad", "key": key });
            ask(host, key, "/teller/tell", body).await?;
        }
        Ok(())
    };
    host.aside(tells).await?;
    for (key, _) in &keys {
        let better = format!(
            "WITH better AS (UPDATE listener.mood SET mood = '' WHERE key = '{key}') SELECT count(*) FROM listener.mood"
        );
        host.count(&better).await?;
        let dead = format!("SELECT invocation_id::text FROM host.delivery WHERE key = '{key}' AND state = 'dead'");
        if let Some(letter) = host.texts(&dead).await?.pop() {
            host.redeliver(&letter).await.context("an operator's word")?;
        }
        host.settled().await?;
    }
    nothing_is_held(host).await?;
    let heard = format!(
        "SELECT split_part(key, '-', -1) || ' ' || subscription || ' ' || content FROM listener.heard
         WHERE key LIKE '{run}-%' ORDER BY 1"
    );
    host.texts(&heard).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_and_is_delivered_anew() -> Result<()> {
    ends_and_fails(start(MANIFEST).await?, old_news, 8).await?;
    Ok(())
}
