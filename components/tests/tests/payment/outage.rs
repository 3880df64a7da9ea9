//! The operator's story: the gateway is down, checkouts try again and then wait for a person, who sees why; it comes back, and one command moves
//! them all on. Nothing happened twice.

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, Manner, PaidShop, STOCK, UNIT};
use futures_util::future::try_join_all;
use serde_json::Value;

const BUYERS: i64 = 4;
/// A host that gives up soon.
const LINES: &str =
    "wait_hold_ms = 0\nrequest_timeout_ms = 1000\nretry = { attempts = 3, initial_ms = 10, max_ms = 50 }";
const PAUSED: &str = "SELECT count(*) FROM host.invocation WHERE status = 'paused'";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_down_is_forgiven_by_one_command() -> Result<()> {
    let mut world = PaidShop::start_with(&[], LINES).await?;
    world.gateway.behaves(Manner::Pays);
    world.gateway.goes_down().await;
    let asked = (0..BUYERS).map(|buyer| {
        let client = world.buyer().keyed(&format!("buyer-{buyer}"));
        let body = world.checkout(1);
        async move { client.post(CHECKOUT, body).await }
    });
    for answer in try_join_all(asked).await? {
        ensure!(
            answer.status == 503 && answer.headers.contains_key("retry-after"),
            "{}",
            answer.json
        );
    }
    world.audit.becomes(PAUSED, BUYERS).await?;
    ensure!(world.shop.stock().await? == (STOCK - BUYERS, BUYERS), "held, each once");

    // The list says why, and how often it was tried.
    let listed = world
        .nexus
        .run(&["invocations", "list", "--status", "paused", "--json"])?;
    let paused: Vec<Value> = listed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(paused.len() as i64 == BUYERS, "{listed}");
    for invocation in &paused {
        let text = invocation.to_string();
        ensure!(text.contains("the gateway does not answer"), "{text}");
        ensure!(invocation["component"] == "order", "{text}");
        let tries = format!(
            "SELECT failures::bigint FROM host.invocation WHERE id = '{}'",
            invocation["id"].as_str().context("an id")?
        );
        ensure!(world.audit.count(&tries).await? == 3, "{text}");
    }
    ensure!(world.gateway.charges().is_empty());

    // Resumed while it is still down, they are where they were.
    let resume = ["invocations", "resume", "--status", "paused", "--component", "order"];
    world.nexus.run(&resume)?;
    world.audit.becomes(PAUSED, BUYERS).await?;

    world.gateway.comes_back().await?;
    world.nexus.run(&resume)?;
    for buyer in 0..BUYERS {
        let client = world.buyer().keyed(&format!("buyer-{buyer}"));
        let answer = client
            .post_until_answered(CHECKOUT, &world.checkout(1), std::time::Duration::from_secs(30))
            .await?;
        world.is(&answer.text(200, "checkout_session_id"), "Success").await?;
    }
    world.books_hold().await?;
    let charges = world.gateway.charges();
    ensure!(charges.len() as i64 == BUYERS, "{charges:#?}");
    ensure!(
        charges
            .iter()
            .all(|charge| charge.amount == UNIT && charge.status == "succeeded"),
        "{charges:#?}"
    );
    ensure!(world.shop.stock().await? == (STOCK - BUYERS, BUYERS));
    let sessions = "SELECT count(*) FROM \"order\".payment_session";
    ensure!(world.audit.count(sessions).await? == BUYERS);
    ensure!(world.wallet(world.buyer()).await? == 0);
    Ok(())
}
