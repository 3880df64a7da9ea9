//! Publishing, and telling each subscription once.

use anyhow::Result;
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
