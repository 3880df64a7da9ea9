//! A component that is not journaled calls a module, which is: each call is an invocation of its own.

use anyhow::Result;
use component_tests::Audit;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_module_is_an_invocation_of_its_own() -> Result<()> {
    let mut world = World::start().await?;
    let reserved = world.get("/caller/reserve/7/2").await?;
    assert_eq!(
        String::from_utf8_lossy(&reserved.bytes),
        "reservation 1",
        "{}",
        reserved.status
    );
    // An error of its interface is an answer.
    let refused = world.get("/caller/reserve/7/1000000000").await?;
    let reason = String::from_utf8_lossy(&refused.bytes);
    assert_eq!(
        (refused.status.as_u16(), &*reason),
        (409, "no_stock: there are not enough of it")
    );
    // What was answered was committed, and is recorded as the module's.
    world.nexus.kill()?;
    world.restart().await?;
    let listed = world.nexus.admin().get("/v1/invocations?component=stock").await?;
    let listed = listed.json.to_string();
    assert!(listed.contains("bench:market/stock@0.1.0.reserve"), "{listed}");
    let rest = world.get("/caller/reserve/7/999999998").await?;
    assert_eq!(String::from_utf8_lossy(&rest.bytes), "reservation 2", "two were taken");
    assert_eq!(world.get("/caller/reserve/7/1").await?.status, 409);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_module_belongs_to_the_trace_of_the_request() -> Result<()> {
    let world = World::start().await?;
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = world.nexus.client().with_header("traceparent", sent);
    assert_eq!(client.get("/caller/reserve/7/2").await?.status, 200);
    let audit = Audit::open(world.nexus.database_url()).await?;
    let recorded =
        "SELECT DISTINCT trace_parent FROM host_view.journal_entry WHERE target LIKE 'stock:%' AND kind = 'started'";
    assert_eq!(audit.texts(recorded).await?, [sent]);
    Ok(())
}
