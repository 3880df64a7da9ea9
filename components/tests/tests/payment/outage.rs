//! The operator's story: the gateway is down, checkouts try again and then wait for a person, who sees why; it comes back, and one command moves
//! them all on. Nothing happened twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{CHECKOUT, CONFIRM, Manner, Opened, PaidShop, STOCK, UNIT};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

const BUYERS: i64 = 4;
/// How long a resumed checkout may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A host that gives up soon.
const LINES: &str =
    "wait_hold_ms = 0\nrequest_timeout_ms = 1000\nretry = { attempts = 3, initial_ms = 10, max_ms = 50 }";
pub(crate) const PAUSED: &str = "SELECT count(*) FROM host.invocation WHERE status = 'paused'";

/// A marketplace whose gateway is down, with the checkouts of so many buyers, each of which is paused.
pub(crate) async fn stuck(buyers: i64) -> Result<PaidShop> {
    let mut world = PaidShop::start_with(&[], LINES).await?;
    world.gateway.goes_down().await;
    let asked = (0..buyers).map(|buyer| {
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
    world.audit.becomes(PAUSED, buyers).await?;
    Ok(world)
}

/// The checkouts of so many buyers are answered, and paid.
pub(crate) async fn have_bought(world: &PaidShop, buyers: i64) -> Result<()> {
    for buyer in 0..buyers {
        let client = world.buyer().keyed(&format!("buyer-{buyer}"));
        let answer = client
            .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
            .await?;
        world.is(&answer.text(200, "checkout_session_id"), "Success").await?;
    }
    Ok(())
}

/// Hours after a checkout of one unit is over its gateway is asked once more, and the money is the buyer's.
pub(crate) async fn is_given_back_hours_later(world: &PaidShop) -> Result<()> {
    let due =
        "UPDATE host.invocation SET due_at = now() WHERE component = 'order' AND ended_at IS NULL AND due_at > now()";
    ensure!(world.audit.change(due).await? > 0, "nothing waits to ask");
    let back = format!("SELECT count(*) FROM account.ledger_transfer WHERE id LIKE 'return:%' AND amount = {UNIT}");
    world.audit.becomes(&back, 1).await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT);
    Ok(())
}

async fn paused_id(world: &PaidShop) -> Result<String> {
    let paused = "SELECT id::text FROM host.invocation WHERE status = 'paused'";
    world.audit.texts(paused).await?.pop().context("a paused invocation")
}

/// Hides a table, so that whatever needs it fails.
async fn mislays(world: &PaidShop, table: &str) -> Result<()> {
    world
        .audit
        .change(&format!("ALTER TABLE {table} RENAME TO mislaid"))
        .await?;
    Ok(())
}

/// Brings it back.
pub(crate) async fn finds(world: &PaidShop, schema: &str, table: &str) -> Result<()> {
    world
        .audit
        .change(&format!("ALTER TABLE {schema}.mislaid RENAME TO {table}"))
        .await?;
    Ok(())
}

/// A checkout that is cancelled while what it held cannot be let go of. Returns it, paused because of that, and what counts it.
pub(crate) async fn stuck_undoing() -> Result<(PaidShop, String, String)> {
    let world = stuck(1).await?;
    let id = paused_id(&world).await?;
    mislays(&world, "inventory.reservation").await?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    let undoing_failed = format!(
        "SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'paused' AND cause NOT LIKE '%gateway%'"
    );
    world.audit.becomes(&undoing_failed, 1).await?;
    Ok((world, id, undoing_failed))
}

/// A person lets it go on, and its cancellation comes to its end.
pub(crate) async fn is_cancelled_once_resumed(world: &PaidShop, id: &str) -> Result<()> {
    world.nexus.run(&["invocations", "resume", id])?;
    let cancelled = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'cancelled'");
    world.audit.becomes(&cancelled, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_down_is_forgiven_by_one_command() -> Result<()> {
    let mut world = stuck(BUYERS).await?;
    world.gateway.behaves(Manner::Pays);
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
    have_bought(&world, BUYERS).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_down_may_come_back_with_another_secret() -> Result<()> {
    let mut world = stuck(1).await?;
    world.gateway.behaves(Manner::Pays);
    world.gateway.changes_secret("whsec-of-another-day");
    world.gateway.comes_back().await?;
    world.restart(&[]).await?;
    ensure!(world.audit.count(PAUSED).await? == 1, "it waits for a person");

    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "resume", &id])?;
    have_bought(&world, 1).await?;
    world.books_hold().await?;
    ensure!(world.gateway.refused().is_empty(), "{:?}", world.gateway.refused());
    let charges = world.gateway.charges();
    ensure!(
        charges.len() == 1 && charges[0].amount == UNIT && charges[0].requests == 1,
        "{charges:#?}"
    );
    // It began with the old secret and charged with the new one: a dry run proves nothing of it.
    let replayed = world.nexus.output(&["replay", &id])?;
    let told = String::from_utf8_lossy(&replayed.stdout);
    ensure!(
        !replayed.status.success() && told.contains("not comparable: a secret was changed"),
        "{told} {}",
        String::from_utf8_lossy(&replayed.stderr)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_answers_for_a_gateway_that_never_will() -> Result<()> {
    let world = stuck(1).await?;
    let client = world.buyer().keyed("buyer-0");
    let id = paused_id(&world).await?;

    let shown = world.nexus.run(&["invocations", "show", &id, "--json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let journal = shown["journal"].as_array().context("a journal")?;
    let completed = |position: &Value| {
        journal
            .iter()
            .any(|entry| entry["kind"] == "completion" && entry["position"] == *position)
    };
    let charge = journal.iter().find(|entry| {
        entry["kind"] == "call"
            && entry["target"]
                .as_str()
                .is_some_and(|target| target.ends_with(".charge"))
            && entry["answer"].is_null()
            && !completed(&entry["position"])
    });
    let charge = &charge.context("a charge without an answer")?["position"];
    let position = format!("{}#{}", charge["scope"].as_str().context("a scope")?, charge["n"]);
    let answers = |position: &str, answer: &str| {
        let verb = ["invocations", "complete-entry", &id, "--position", position];
        let given = [
            "--answer",
            answer,
            "--reason",
            "paid at the counter",
            "--as",
            "treasurer",
        ];
        world.nexus.output(&[&verb[..], &given].concat())
    };

    // What its type does not know, and what has no such entry, changes nothing.
    for (position, answer, said) in [
        (&*position, r#"{ "ok": { "lost": "R-1" } }"#, "settled"),
        ("/#99", r#"{ "ok": { "settled": "R-1" } }"#, "nothing is recorded there"),
    ] {
        let refused = answers(position, answer)?;
        let text = String::from_utf8(refused.stderr)?;
        ensure!(!refused.status.success() && text.contains(said), "{text}");
    }
    let answered = answers(&position, r#"{ "ok": { "settled": "R-1" } }"#)?;
    ensure!(answered.status.success(), "{}", String::from_utf8(answered.stderr)?);
    let again = answers(&position, r#"{ "ok": { "settled": "R-1" } }"#)?;
    ensure!(again.status.success(), "{}", String::from_utf8(again.stderr)?);
    let again = answers(&position, r#"{ "ok": { "settled": "R-2" } }"#)?;
    let text = String::from_utf8(again.stderr)?;
    ensure!(
        !again.status.success() && text.contains("it has an answer already"),
        "{text}"
    );

    world.nexus.run(&["invocations", "resume", &id])?;
    let answer = client
        .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
        .await?;
    world.is(&answer.text(200, "checkout_session_id"), "Success").await?;
    ensure!(world.gateway.charges().is_empty(), "the gateway is still down");
    world.audit.settled().await?;
    world.audit.books_hold().await?;
    let audited = "SELECT operator || ' ' || verb FROM host.audit WHERE verb = 'complete-entry'";
    ensure!(world.audit.texts(audited).await? == ["treasurer complete-entry"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_will_pay_is_given_up_by_one_command_and_undone() -> Result<()> {
    let world = stuck(BUYERS).await?;
    ensure!(world.shop.stock().await? == (STOCK - BUYERS, BUYERS));

    let all = ["invocations", "cancel", "--status", "paused", "--component", "order"];
    let counted = world.nexus.run(&all)?;
    ensure!(counted.contains(&format!("{BUYERS} would be chosen")), "{counted}");
    ensure!(
        world.audit.count(PAUSED).await? == BUYERS,
        "without --yes it only counts"
    );
    world.nexus.run(
        &[
            &all[..],
            &["--yes", "--reason", "the gateway is gone", "--as", "keeper"],
        ]
        .concat(),
    )?;
    world.audit.settled().await?;
    let cancelled = "SELECT count(*) FROM host.invocation WHERE status = 'cancelled'";
    ensure!(world.audit.count(cancelled).await? == BUYERS);
    ensure!(
        world.shop.stock().await? == (STOCK, 0),
        "what was held is for sale again"
    );
    world.books_hold().await?;

    // Who said so, and once, however often it is said.
    let said = "SELECT DISTINCT operator || ', ' || verb || ', ' || reason FROM host.audit";
    ensure!(world.audit.texts(said).await? == ["keeper, cancel, the gateway is gone"]);
    let id = "SELECT max(id::text) FROM host.invocation WHERE status = 'cancelled'";
    let id = world.audit.texts(id).await?.pop().context("a cancelled invocation")?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    ensure!(world.audit.count("SELECT count(*) FROM host.audit").await? == BUYERS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undoing_that_fails_waits_for_a_person_and_then_goes_on() -> Result<()> {
    let (world, id, undoing_failed) = stuck_undoing().await?;
    let shown = world.nexus.run(&["invocations", "show", &id])?;
    ensure!(
        shown.contains("reservation"),
        "it says what could not be undone: {shown}"
    );
    // Not even a person's word makes it an end: it is still to be undone.
    world.nexus.run(&["invocations", "resume", &id])?;
    world.audit.becomes(&undoing_failed, 1).await?;

    finds(&world, "inventory", "reservation").await?;
    is_cancelled_once_resumed(&world, &id).await?;
    world.audit.settled().await?;
    ensure!(
        world.shop.stock().await? == (STOCK, 0),
        "what was held is for sale again"
    );
    world.books_hold().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_answers_for_an_undoing_that_never_will() -> Result<()> {
    let (world, id, _) = stuck_undoing().await?;

    // What could not be undone is the last call without an answer.
    let shown = world.nexus.run(&["invocations", "show", &id, "--json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let has_run = |name: &str| {
        let compensations = shown["compensations"].as_array().into_iter().flatten();
        let mut named = compensations.filter(|compensation| compensation["name"] == name);
        named.next().and_then(|compensation| compensation["has_run"].as_bool())
    };
    ensure!(
        (has_run("close-checkout"), has_run("release-stock")) == (Some(true), Some(false)),
        "{shown}"
    );
    let journal = shown["journal"].as_array().context("a journal")?;
    let mut called = journal.iter().filter(|entry| {
        entry["target"]
            .as_str()
            .is_some_and(|target| target.ends_with("compensate.run"))
    });
    let position = &called.next_back().context("a compensation that was called")?["position"];
    let position = format!("{}#{}", position["scope"].as_str().context("a scope")?, position["n"]);
    let answers = || {
        let verb = ["invocations", "complete-entry", &id, "--position", &position];
        let given = ["--answer", "null", "--reason", "counted by hand", "--as", "keeper"];
        world.nexus.output(&[&verb[..], &given].concat())
    };
    let answered = answers()?;
    ensure!(answered.status.success(), "{}", String::from_utf8(answered.stderr)?);
    let again = answers()?;
    ensure!(again.status.success(), "{}", String::from_utf8(again.stderr)?);

    // It is not called again, and what was to be undone by hand is as the hand left it.
    is_cancelled_once_resumed(&world, &id).await?;
    finds(&world, "inventory", "reservation").await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));
    let audited = "SELECT operator || ' ' || verb FROM host.audit WHERE verb = 'complete-entry'";
    ensure!(world.audit.texts(audited).await? == ["keeper complete-entry"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_ended_after_its_money_came_still_books_it() -> Result<()> {
    let world = PaidShop::start_with(&[], LINES).await?;
    // A part of it is in the wallet, which holds it.
    world.audit.fill_wallet(&world.shop.buyer.id, 40_000, "share").await?;
    let mut body = world.checkout(1);
    body["use_wallet"] = json!(true);
    let paid = Opened::read(&world.buyer().post(CHECKOUT, body).await?, "checkout_session_id");
    // The session is settled, and what follows from it cannot be done.
    mislays(&world, "account.ledger_transfer").await?;
    world.gateway.is_paid(&world.gateway.leg_at(&paid.url)?).await?;
    world.is(&paid.session, "Success").await?;
    world.audit.becomes(PAUSED, 1).await?;
    let id = paused_id(&world).await?;
    let attempt = format!("SELECT attempt::bigint FROM host.invocation WHERE id = '{id}'");
    let attempt = world.audit.count(&attempt).await?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    let undoing_failed = format!(
        "SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'paused' AND attempt > {attempt} + 1"
    );
    world.audit.becomes(&undoing_failed, 1).await?;

    finds(&world, "account", "ledger_transfer").await?;
    is_cancelled_once_resumed(&world, &id).await?;
    world.audit.settled().await?;
    world.is(&paid.session, "Success").await?;
    ensure!(
        world.wallet_and_held(world.buyer()).await? == (0, 0),
        "it has paid its part"
    );
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_ended_after_its_commit_still_gives_the_money_back() -> Result<()> {
    let world = PaidShop::start_with(&[], LINES).await?;
    let (_, item) = world.pays().await?;
    world.audit.settled().await?;
    // The line is cancelled, and what follows from it cannot be done.
    mislays(&world, "account.ledger_transfer").await?;
    let path = format!("/api/v1/order/buyer/pending-items/{item}");
    let answer = world.buyer().delete(&path, None).await?;
    ensure!(answer.status == 503, "{}", answer.json);
    world.audit.becomes(PAUSED, 1).await?;
    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    let cancelled = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'cancelled'");
    world.audit.becomes(&cancelled, 1).await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "it was ended before that");

    finds(&world, "account", "ledger_transfer").await?;
    // What the commit left is done by its timer, now or, when that has tried already, when a person says so.
    let due = format!("UPDATE host.invocation SET due_at = now() WHERE parent = '{id}' AND due_at > now()");
    world.audit.change(&due).await?;
    world
        .nexus
        .run(&["invocations", "resume", "--status", "paused", "--yes"])?;
    world
        .audit
        .becomes(
            &format!("SELECT count(*) FROM host.invocation WHERE parent = '{id}' AND status = 'completed'"),
            1,
        )
        .await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT, "the money is back");
    ensure!(world.shop.stock().await? == (STOCK, 0), "and so are the goods");
    world.books_hold().await
}

/// Opens a checkout or a confirmation whose first attempt is over while its address is still good over there, and another is under way. Returns the
/// legs of both.
async fn tried_twice(world: &PaidShop, opened: &Opened, path: &str) -> Result<(String, String)> {
    let first = world.gateway.leg_at(&opened.url)?;
    let over = format!("SELECT count(*) FROM \"order\".transaction WHERE id = '{first}' AND status = 'Failed'");
    world.audit.becomes(&over, 1).await?;
    let path = format!("{path}/{}/payment-url", opened.session);
    let payer = if path.starts_with(CHECKOUT) {
        world.buyer()
    } else {
        world.seller()
    };
    let url = payer
        .keyed("second")
        .post_until_answered(&path, &json!({}), PATIENCE)
        .await?;
    let second = world.gateway.leg_at(&url.text(200, "payment_url"))?;
    ensure!(second != first);
    Ok((first, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_that_come_before_either_is_booked_one_goes_back() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_ATTEMPT_SECONDS", "1")], LINES).await?;
    let checkout = world.opens().await?;
    let (first, second) = tried_twice(&world, &checkout, CHECKOUT).await?;
    // The other one is reported and acknowledged while the goods of the first are being sold.
    world.audit.change("BEGIN").await?;
    let takes = "LOCK TABLE inventory.reservation IN ACCESS EXCLUSIVE MODE";
    world.audit.change(takes).await?;
    world.gateway.is_paid(&second).await?;
    let selling = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE datname = current_database() AND NOT granted AND relation = 'inventory.reservation'::regclass";
    world.audit.becomes(selling, 1).await?;
    world.gateway.is_paid(&first).await?;
    ensure!(world.wallet(world.buyer()).await? == 0);
    world.audit.change("COMMIT").await?;
    world.is(&checkout.session, "Success").await?;
    world.audit.settled().await?;
    ensure!(world.wallet(world.buyer()).await? == UNIT, "paid for nothing, and back");
    let mut legs = world.legs(&checkout.session).await?;
    legs.sort();
    let success = format!("Success {UNIT}");
    ensure!(
        legs == [format!("Success -{UNIT}"), success.clone(), success],
        "{legs:?}"
    );
    ensure!(world.shop.stock().await? == (STOCK - 1, 1), "bought once");
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_came_twice_is_the_platforms_once_also_when_its_confirmation_is_ended() -> Result<()> {
    const FEE: i64 = 15_000;
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_ATTEMPT_SECONDS", "1")], LINES).await?;
    let checkout = world.opens().await?;
    world.settles(&checkout).await?;
    let item = world.item_of(&checkout.session).await?;
    let fee = world.confirms(&[item], "sandbox-redirect").await?;
    let (first, second) = tried_twice(&world, &fee, CONFIRM).await?;
    // The order is placed, and its fee cannot be booked.
    mislays(&world, "account.ledger_transfer").await?;
    world.gateway.is_paid(&second).await?;
    world.is(&fee.session, "Success").await?;
    let stuck = "SELECT count(*) FROM host.invocation WHERE status = 'paused' AND function LIKE '%workflows%.confirm'";
    world.audit.becomes(stuck, 1).await?;
    finds(&world, "account", "ledger_transfer").await?;
    world.gateway.is_paid(&first).await?;
    ensure!(world.wallet(world.seller()).await? == FEE, "paid for nothing, and back");

    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    let cancelled = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'cancelled'");
    world.audit.becomes(&cancelled, 1).await?;
    let kept = "SELECT amount FROM account.ledger_transfer WHERE id LIKE 'fee:%'";
    ensure!(world.audit.count(kept).await? == FEE);
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_never_answered_is_asked_about_after_its_checkout_is_ended() -> Result<()> {
    let world = PaidShop::start_with(&[], LINES).await?;
    world.gateway.behaves(Manner::IsSilent);
    world.gateway.stumbles(true);
    let asked = world.buyer().post(CHECKOUT, world.checkout(1)).await?;
    ensure!(asked.status == 503, "{}", asked.json);
    world.audit.becomes(PAUSED, 1).await?;
    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "cancel", &id])?;
    let cancelled = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'cancelled'");
    world.audit.becomes(&cancelled, 1).await?;
    ensure!(world.shop.stock().await? == (STOCK, 0), "let go of");

    world.gateway.stumbles(false);
    // It had taken the money, and sent nobody anywhere.
    is_given_back_hours_later(&world).await?;
    world.books_hold().await
}

/// Its time is over, and the request that began it waits for its flow to end.
async fn is_waited_for_beyond_its_time(world: &PaidShop) -> Result<()> {
    let waits = "SELECT count(*) FROM host.promise_waiter JOIN host.promise ON id = promise_id WHERE name = ''";
    world.audit.becomes(waits, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_for_a_checkout_is_told_of_the_money_that_is_found_after_its_time() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_SESSION_SECONDS", "2")], LINES).await?;
    world.gateway.behaves(Manner::IsSilent);
    world.gateway.stumbles(true);
    let client = world.buyer().keyed("once");
    let asked = client.post(CHECKOUT, world.checkout(1)).await?;
    ensure!(asked.status == 503, "{}", asked.json);
    world.audit.becomes(PAUSED, 1).await?;
    is_waited_for_beyond_its_time(&world).await?;

    world.gateway.stumbles(false);
    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "resume", &id])?;
    let answer = client
        .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
        .await?;
    world.is(&answer.text(200, "checkout_session_id"), "Success").await?;
    ensure!(world.shop.stock().await? == (STOCK - 1, 1));
    world.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_for_a_checkout_that_is_ended_before_it_was_opened_is_told_so() -> Result<()> {
    let world = PaidShop::start_with(&[("SPIN_VARIABLE_SESSION_SECONDS", "2")], LINES).await?;
    mislays(&world, "inventory.reservation").await?;
    let client = world.buyer().keyed("once");
    let asked = client.post(CHECKOUT, world.checkout(1)).await?;
    ensure!(asked.status == 503, "{}", asked.json);
    world.audit.becomes(PAUSED, 1).await?;
    is_waited_for_beyond_its_time(&world).await?;
    finds(&world, "inventory", "reservation").await?;
    let id = paused_id(&world).await?;
    world.nexus.run(&["invocations", "cancel", &id])?;

    let answer = client
        .post_until_answered(CHECKOUT, &world.checkout(1), PATIENCE)
        .await?;
    answer.failed(409, "checkout_cancelled");
    ensure!(world.shop.stock().await? == (STOCK, 0));
    let sessions = "SELECT count(*) FROM \"order\".payment_session";
    ensure!(world.audit.count(sessions).await? == 0);
    world.books_hold().await
}
