//! A person answers for a gateway that never will: one command, for all whom it has kept waiting.

use anyhow::{Result, ensure};

use crate::outage::{PAUSED, finds, have_bought, is_cancelled_once_resumed, stuck, stuck_undoing};

const BUYERS: i64 = 3;
const CHARGE: &str = "shop:payment/provider.charge";
const SETTLED: &str = r#"{ "ok": { "settled": "R-1" } }"#;
const ANSWERED: &str = "SELECT count(DISTINCT invocation_id) FROM host.audit WHERE verb = 'complete-entry'";

/// The command that answers what all paused checkouts have asked for, or counts them.
fn words<'a>(target: &'a str, answer: &'a str, yes: bool) -> Vec<&'a str> {
    let mut words = vec![
        "invocations",
        "complete-entry",
        "--status",
        "paused",
        "--component",
        "order",
    ];
    words.extend(["--target", target, "--answer", answer]);
    words.extend(["--reason", "paid at the counter", "--as", "treasurer"]);
    words.extend(yes.then_some("--yes"));
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_answers_every_charge_that_a_gateway_never_will() -> Result<()> {
    let world = stuck(BUYERS).await?;

    let counted = world.nexus.run(&words(CHARGE, SETTLED, false))?;
    ensure!(counted.contains("3 would be chosen; add --yes"), "{counted}");
    ensure!(
        counted.contains("paused because: ") && counted.contains("the gateway does not answer"),
        "{counted}"
    );
    let counted = world
        .nexus
        .run(&words("shop:payment/provider.refund", SETTLED, false))?;
    ensure!(
        counted.contains("0 would be chosen") && counted.contains("3 are left alone"),
        "{counted}"
    );
    // The same is recorded of every request, whatever was asked for.
    let http = words("wasi:http/outgoing-handler.handle", r#"{ "status": 200 }"#, true);
    let refused = world.nexus.output(&http)?;
    let text = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && text.contains("every HTTP request"),
        "{text}"
    );
    // What its type does not know is nobody's answer.
    let refused = world
        .nexus
        .output(&words(CHARGE, r#"{ "ok": { "lost": "R-1" } }"#, true))?;
    let text = String::from_utf8(refused.stderr)?;
    ensure!(
        !refused.status.success() && text.contains("3 of 3 were refused"),
        "{text}"
    );
    ensure!(world.audit.count(ANSWERED).await? == 0);

    let said = world.nexus.run(&words(CHARGE, SETTLED, true))?;
    ensure!(said.contains("complete-entry: 3 of 3"), "{said}");
    let again = world.nexus.run(&words(CHARGE, SETTLED, true))?;
    ensure!(
        again.contains("complete-entry: 0 of 3") && again.contains("3 are left alone"),
        "{again}"
    );
    ensure!(
        world.audit.count(PAUSED).await? == BUYERS,
        "an answer sets nothing going"
    );

    let resume = ["invocations", "resume", "--status", "paused", "--component", "order"];
    let said = world.nexus.run(&resume)?;
    ensure!(said.contains("resume: 3 of 3"), "{said}");
    have_bought(&world, BUYERS).await?;
    ensure!(world.gateway.charges().is_empty(), "the gateway is still down");
    world.audit.settled().await?;
    world.audit.books_hold().await?;

    // One word of each, however often it was said.
    let audited = "SELECT operator || ', ' || reason FROM host.audit WHERE verb = 'complete-entry'";
    ensure!(world.audit.texts(audited).await? == ["treasurer, paid at the counter"; 3]);
    ensure!(world.audit.count(ANSWERED).await? == BUYERS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_not_answered_for_a_checkout_that_is_being_undone() -> Result<()> {
    let (world, id, _) = stuck_undoing().await?;
    let counted = world.nexus.run(&words(CHARGE, SETTLED, false))?;
    ensure!(
        counted.contains("0 would be chosen") && counted.contains("1 are left alone"),
        "{counted}"
    );
    let said = world.nexus.run(&words(CHARGE, SETTLED, true))?;
    ensure!(
        said.contains("complete-entry: 0 of 1") && said.contains("1 are left alone"),
        "{said}"
    );
    ensure!(world.audit.count(ANSWERED).await? == 0);

    finds(&world, "inventory", "reservation").await?;
    is_cancelled_once_resumed(&world, &id).await?;
    world.audit.settled().await?;
    world.books_hold().await?;
    Ok(())
}
