//! A parcel of which its carrier says nothing for so long that a person is asked: the carrier reports it after all, or the person says what
//! became of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::Manner;
use host_testing::TestHost;
use serde_json::json;

use super::{CameTo, Market, TERM, survives};

/// How long a carrier may say nothing.
const SILENCE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What waits for a person then, under the order's id, and the name of what it waits for.
const ASKED: &str = "shop:order/workflows.missing";
const WORD: &str = "word";

impl Market {
    /// The carrier of an order says nothing for so long that a person is asked; then it reports after all.
    async fn missing(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let session = self.confirmed(host, run).await?;
        self.time_passes(host, SILENCE).await?;
        self.parcel(host, &session, "delivered").await?;
        self.time_passes(host, TERM).await?;
        self.came_to(host, &session, &[]).await
    }

    /// What a flow begins with: an order that is to be paid at the door, and a person who is asked for its parcel. Its checkout, and the order.
    async fn asked_for(&self, host: &TestHost, run: &str) -> Result<(String, String)> {
        let session = self.confirmed(host, run).await?;
        host.aside(self.time_passes(host, SILENCE)).await?;
        let order = format!("SELECT order_id::text FROM \"order\".item WHERE payment_session_id = '{session}'");
        let order = host.texts(&order).await?.pop().context("an order")?;
        Ok((session, order))
    }

    /// The person says this of it, and its money goes where it belongs: these rows are among those that it came to, whatever failed once.
    async fn is_told(&self, host: &TestHost, run: &str, word: &str, rows: [&str; 2]) -> Result<CameTo> {
        let (session, order) = self.asked_for(host, run).await?;
        // Said again after the end of a process it changes nothing.
        host.complete_named(ASKED, &order, WORD, &json!(word)).await?;
        self.time_passes(host, TERM).await?;
        let came_to = self.came_to(host, &session, &[]).await?;
        for row in rows {
            ensure!(came_to.1.iter().any(|found| found == row), "no {row:?}: {came_to:#?}");
        }
        Ok(came_to)
    }

    /// The buyer has it: its seller is paid when the buyer has had it for a while.
    async fn found(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let rows = ["parcel Success, booked", "line, cancelled: false"];
        self.is_told(host, run, "delivered", rows).await
    }

    /// The buyer will not have it: nothing is paid, and the goods are on the shelf again.
    async fn not_found(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let rows = ["parcel Cancelled, booked", "line, cancelled: true"];
        self.is_told(host, run, "not_delivered", rows).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_parcel_is_missing_and_found() -> Result<()> {
    survives(Manner::Waits, Market::missing, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_parcel_a_person_finds() -> Result<()> {
    survives(Manner::Waits, Market::found, 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_parcel_a_person_gives_up() -> Result<()> {
    survives(Manner::Waits, Market::not_found, 8).await?;
    Ok(())
}
