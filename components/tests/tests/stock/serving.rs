//! Serving: what a component is told of a request, and that nothing of it is recorded.

use anyhow::Result;
use http::Method;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_built_with_spins_sdk_7_runs_unmodified() -> Result<()> {
    let world = World::start().await?;
    let client = world.nexus.client().signed_in("of-nobody");
    let answer = client.get("/spin/told?a=b").await?;
    assert_eq!(answer.status, 200);
    let host = world.nexus.url().trim_start_matches("http://").to_owned();
    let expected = format!("GET http://{host}/spin/told?a=b /spin Bearer of-nobody");
    assert_eq!(String::from_utf8_lossy(&answer.bytes), expected);
    assert!(answer.headers.contains_key("x-invocation-id"));
    let answer = world.post("/spin/length", &"x".repeat(5_000_000)).await?;
    assert_eq!(answer.bytes, "5000000");
    assert_eq!(world.get("/spin/environment").await?.bytes, "hello");
    assert_eq!(world.get("/spin/nothing").await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_wasi_http_0_2_is_served_as_well() -> Result<()> {
    let world = World::start().await?;
    let long = "0123456789".repeat(5_000);
    let answer = world.post("/wasi/echo", &long).await?;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (200, long.len()));
    assert_eq!(world.get("/wasi/nothing").await?.status, 404);
    world.get("/wasi/panic").await?.failed(500, "internal");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_request_is_recorded() -> Result<()> {
    let world = World::start().await?;
    assert_eq!(
        world.send(Method::PUT, "/store/pairs/default/a", "kept").await?.status,
        200
    );
    assert_eq!(world.post("/spin/echo", "passing by").await?.bytes, "passing by");
    let listed = world.nexus.admin().get("/v1/invocations").await?;
    assert_eq!(listed.status, 200);
    assert!(!listed.json.to_string().contains("store"), "{}", listed.json);
    assert!(!listed.json.to_string().contains("spin"), "{}", listed.json);
    Ok(())
}
