//! The flow of a session: a workflow, under the session's id.

use anyhow::{Result, ensure};
use component_tests::{CHECKOUT, Opened, PaidShop};
use serde_json::{Value, json};

/// Every flow that was begun, whether an id leads to it or not.
const FLOWS: &str = "SELECT count(*) FROM host.invocation WHERE function LIKE 'shop:order/workflows%'";

/// What an operator reads of the flow that this id leads to.
async fn flow_of(world: &PaidShop, session: &str) -> Result<Value> {
    let found =
        format!("SELECT invocation_id::text FROM host_view.workflow WHERE component = 'order' AND id = '{session}'");
    let found = world.audit.texts(&found).await?;
    let [invocation] = &*found else {
        anyhow::bail!("the flows of session {session}: {found:?}");
    };
    let shown = world.nexus.run(&["invocations", "show", invocation, "--json"])?;
    Ok(serde_json::from_str(&shown)?)
}

/// The promise of its address is found by the session and its name, and has been told.
async fn has_told_its_address(world: &PaidShop, function: &str, session: &str) -> Result<()> {
    let named = json!({
        "function": function, "workflow": session, "name": "payment-url", "value": { "json": { "at": "elsewhere" } },
        "reason": "to see that it is told"
    });
    let answer = world.nexus.admin().post("/v1/promises", named).await?;
    ensure!(
        answer.status == 200 && answer.json["outcome"] == "already-completed",
        "{}",
        answer.json
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_of_a_session_is_the_workflow_of_that_id_and_the_only_one() -> Result<()> {
    const FUNCTION: &str = "shop:order/workflows.checkout";
    let world = PaidShop::start(&[]).await?;
    let client = world.buyer().keyed("once");
    let answer = client.post(CHECKOUT, world.checkout(1)).await?;
    let checkout = Opened::read(&answer, "checkout_session_id");
    world.audit.suspended(1).await?;
    let flow = flow_of(&world, &checkout.session).await?;
    ensure!(
        flow["workflow"] == json!([FUNCTION, checkout.session]),
        "{}",
        flow["workflow"]
    );
    ensure!(
        flow["invocation"]["parent"] == answer.headers["x-invocation-id"].to_str()?,
        "begun by the request: {}",
        flow["invocation"]
    );
    has_told_its_address(&world, FUNCTION, &checkout.session).await?;
    ensure!(client.post(CHECKOUT, world.checkout(1)).await?.bytes == answer.bytes);
    ensure!(world.audit.count(FLOWS).await? == 1);

    // Another checkout has another flow; each is paid on its own.
    let other = world.opens().await?;
    let beside = flow_of(&world, &other.session).await?;
    ensure!(beside["invocation"]["id"] != flow["invocation"]["id"]);
    ensure!(world.audit.count(FLOWS).await? == 2);
    world.settles(&checkout).await?;
    world.is(&other.session, "Pending").await?;
    world.settles(&other).await?;
    world.books_hold().await?;
    let flow = flow_of(&world, &checkout.session).await?;
    let flow = &flow["invocation"];
    ensure!(flow["status"] == "completed", "known beyond its end: {flow}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_of_a_confirmation_is_the_workflow_of_the_fees_session() -> Result<()> {
    const FUNCTION: &str = "shop:order/workflows.confirm";
    let world = PaidShop::start(&[]).await?;
    let (_, item) = world.pays().await?;
    let fee = world.confirms(&[item], "sandbox-redirect").await?;
    let flow = flow_of(&world, &fee.session).await?;
    ensure!(
        flow["workflow"] == json!([FUNCTION, fee.session]),
        "{}",
        flow["workflow"]
    );
    has_told_its_address(&world, FUNCTION, &fee.session).await?;
    world.settles(&fee).await?;
    world.books_hold().await?;
    let flows = world.audit.count(FLOWS).await?;
    ensure!(
        flows == 3,
        "{flows}: the checkout's, this one, and that of the order's parcel"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_waits_for_elsewhere_has_no_flow() -> Result<()> {
    let world = PaidShop::start(&[]).await?;
    let at_the_door = world.buyer().post(CHECKOUT, world.shop.checkout(1)).await?;
    let session = at_the_door.text(200, "checkout_session_id");
    ensure!(flow_of(&world, &session).await.is_err());
    ensure!(world.audit.count(FLOWS).await? == 0);
    Ok(())
}
