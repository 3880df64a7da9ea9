//! What an operator finds from the command line, and by which marks.

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions, Shop};
use serde_json::{Value, json};

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";

/// What a verb prints with `--json`, an object a line.
fn printed(nexus: &Nexus, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = nexus.run(&[arguments, &["--json"]].concat())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn ids(listed: &[Value]) -> Vec<&str> {
    listed.iter().filter_map(|listed| listed["id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_is_found_by_what_a_client_or_a_log_tells_of_it() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let answer = shop.buyer.client.keyed("once").post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    audit.settled().await?;
    let checkout = answer.headers["x-invocation-id"].to_str()?.to_owned();

    let list = ["invocations", "list"];
    let keyed = |subject: &str| {
        printed(
            &nexus,
            &[&list[..], &["--idempotency-key", "once", "--subject", subject]].concat(),
        )
    };
    assert_eq!(ids(&keyed(&shop.buyer.id)?), [checkout.as_str()]);
    assert_eq!(ids(&keyed(&shop.seller.id)?), [] as [&str; 0], "a key is its owner's");

    audit
        .change(&format!(
            "UPDATE host.invocation SET status = 'paused', ended_at = NULL, cause = 'the carrier answered 503' WHERE id = '{checkout}'"
        ))
        .await?;
    let by_cause = [&list[..], &["--cause", "Carrier Answered", "--component", "order"]].concat();
    let found = printed(&nexus, &by_cause)?;
    assert_eq!(ids(&found), [checkout.as_str()]);
    assert_eq!(found[0]["status"], "paused");
    let text = nexus.run(&by_cause)?;
    ensure!(
        text.starts_with("ID ") && text.contains("the carrier answered 503"),
        "{text}"
    );
    // A word takes the same marks; this one is only counted.
    let counted = nexus.run(&["invocations", "cancel", "--cause", "carrier answered"])?;
    ensure!(counted.contains("1 would be chosen"), "{counted}");

    // The reservation expires later: it is due and waits for nobody.
    let pages = printed(&nexus, &[&list[..], &["--limit", "1"]].concat())?;
    assert_eq!(pages.len(), 1);
    let more = nexus.run(&[&list[..], &["--limit", "1"]].concat())?;
    let cursor = more
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("more with --cursor "));
    let next = printed(
        &nexus,
        &[
            &list[..],
            &["--limit", "1", "--cursor", cursor.context("there is more")?],
        ]
        .concat(),
    )?;
    assert_ne!(ids(&next), ids(&pages));

    let refused = nexus.output(&[&list[..], &["--waiting-for", "godot"]].concat())?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        said.contains("--waiting-for") && said.contains("promise, time, or a promise's id"),
        "{said}"
    );

    let nodes = printed(&nexus, &["nodes"])?;
    assert_eq!((nodes.len(), &nodes[0]["status"]), (1, &"alive".into()));
    let text = nexus.run(&["nodes"])?;
    ensure!(text.starts_with("ID ") && text.contains("  alive  "), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_is_done_again_only_for_who_insists_and_then_once() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let answer = shop.buyer.client.keyed("once").post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    audit.settled().await?;
    let checkout = answer.headers["x-invocation-id"].to_str()?.to_owned();

    let restart = [
        "invocations",
        "restart",
        &checkout,
        "--reason",
        "the buyer wants the same again",
    ];
    let refused = nexus.output(&restart)?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        said.contains("would do again what stands") && said.contains("transaction") && said.contains("force"),
        "it tells what would be repeated, and the way out: {said}"
    );
    ensure!(shop.stock().await? == (8, 2), "nothing was done");
    // Whoever chooses many is told the same of each.
    let many = [
        "invocations",
        "restart",
        "--status",
        "completed",
        "--function",
        "nexus:http/handler.handle",
        "--component",
        "order",
        "--yes",
    ];
    let refused = nexus.output(&many)?;
    ensure!(!refused.status.success());
    let said = String::from_utf8(refused.stdout)?;
    ensure!(said.contains("restart: 0 of 1") && said.contains(&checkout), "{said}");

    // The key still leads to what has answered it, and not to what is begun in its place: who says it twice chooses the same.
    let forced_many = [
        &many[..],
        &[
            "--idempotency-key",
            "once",
            "--subject",
            shop.buyer.id.as_str(),
            "--reason",
            "the buyer wants the same again",
            "--force",
        ],
    ]
    .concat();
    for _ in 0..2 {
        let said = nexus.run(&forced_many)?;
        ensure!(said.contains("restart: 1 of 1"), "{said}");
    }
    let forced = [&restart[..], &["--force"]].concat();
    let first = printed(&nexus, &forced)?;
    let second = printed(&nexus, &forced)?;
    audit.settled().await?;
    ensure!(shop.stock().await? == (6, 4), "done again, and only once");
    ensure!(
        first[0]["id"] == second[0]["id"] && first[0]["id"] != checkout.as_str(),
        "{first:?}, {second:?}"
    );
    let words = printed(&nexus, &["audit", "--invocation", &checkout])?;
    let restarts: Vec<&Value> = words.iter().filter(|word| word["verb"] == "restart").collect();
    ensure!(
        restarts.len() == 1
            && restarts[0]["reason"] == "the buyer wants the same again"
            && restarts[0]["successor"] == first[0]["id"],
        "{words:?}"
    );
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_host_that_was_still_saying_goodbye() -> Result<()> {
    let mut nexus = Nexus::start_with(NexusOptions::with(&[("NEXUS_DRAIN_GRACE_MS", 600_000)])).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    shop.buyer.client.post(CHECKOUT, shop.checkout(2)).await?.data(200);
    nexus.ask_to_stop()?;
    while nexus.client().get("/ready").await?.status != 503 {
        tokio::task::yield_now().await;
    }
    // It says that it is about to stop, and takes requests all the same.
    shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?.data(200);
    let ended = nexus.terminate().await?;
    ensure!(ended.code() == Some(1), "{ended}");

    nexus.restart(NexusOptions::default()).await?;
    audit.settled().await?;
    ensure!(shop.at(nexus.url()).stock().await? == (7, 3));
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signed_in_before_tokens_have_a_new_key_stays_so_until_the_old_one_is_forgotten() -> Result<()> {
    let mut nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 1).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let url = nexus.database_url().to_owned();
    nexus.run(&["keys", "rotate", "--tokens", "--database-url", &url])?;
    // As if it were a minute ago: by then every node has the new key.
    let settled =
        "UPDATE host.secret SET created_at = created_at - interval '1 minute' WHERE purpose = 'tokens' AND version = 2";
    ensure!(audit.change(settled).await? == 1);
    nexus.terminate().await?;
    nexus.restart(NexusOptions::default()).await?;

    let me = "/api/v1/account/me";
    let before = shop.buyer.client.at(nexus.url());
    let credentials = json!({ "id": "buyer", "password": "correct-horse" });
    let login = nexus
        .client()
        .post("/api/v1/account/auth/login/basic", credentials)
        .await?;
    let since = nexus.client().signed_in(&login.text(200, "access_token"));
    for client in [&before, &since] {
        client.get(me).await?.data(200);
    }
    let refresh = json!({ "refresh_token": login.text(200, "refresh_token") });
    let refreshed = nexus.client().post("/api/v1/account/auth/refresh", refresh).await?;
    let refreshed = nexus.client().signed_in(&refreshed.text(200, "access_token"));

    // A month later nothing that it signed is of any use.
    let later =
        "UPDATE host.secret SET retired_at = retired_at - interval '32 days' WHERE purpose = 'tokens' AND version = 1";
    ensure!(audit.change(later).await? == 1);
    nexus.terminate().await?;
    nexus.restart(NexusOptions::default()).await?;
    audit
        .becomes("SELECT count(*) FROM host.secret WHERE purpose = 'tokens'", 1)
        .await?;
    // What a node knows of keys, it knows from its start and from looks that are seconds apart.
    nexus.terminate().await?;
    nexus.restart(NexusOptions::default()).await?;
    before.at(nexus.url()).get(me).await?.failed(401, "unauthorized");
    for client in [since, refreshed] {
        client.at(nexus.url()).get(me).await?.data(200);
    }
    Ok(())
}
