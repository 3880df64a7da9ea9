//! Bodies that flow both ways, and what becomes of them when one side goes.

use anyhow::Result;

use crate::world::World;

/// Each part comes back before the next is written.
async fn flows(world: &World, path: &str, answers: [&str; 2]) -> Result<()> {
    let mut stream = world.stream(path).await?;
    stream.write("first").await?;
    assert_eq!(stream.read().await?.as_deref(), Some(answers[0]), "{path}");
    stream.write("second").await?;
    assert_eq!(stream.read().await?.as_deref(), Some(answers[1]), "{path}");
    stream.end();
    assert_eq!(stream.read().await?, None, "{path}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_flow_both_ways() -> Result<()> {
    let world = World::start().await?;
    flows(&world, "/spin/echo", ["first", "second"]).await?;
    flows(&world, "/spin/upper", ["FIRST", "SECOND"]).await?;
    flows(&world, "/wasi/echo", ["first", "second"]).await
}

/// More clients than the component may have instances, one after the other: each that leaves gives its instance back.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_the_component() -> Result<()> {
    let world = World::start().await?;
    for _ in 0..150 {
        let mut stream = world.stream("/spin/stuck").await?;
        stream.end();
        assert_eq!(stream.read().await?.as_deref(), Some("part"));
        stream.leave().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_does_not_look_complete() -> Result<()> {
    let world = World::start().await?;
    let mut stream = world.stream("/spin/broken").await?;
    stream.end();
    assert_eq!(stream.read().await?.as_deref(), Some("part"));
    assert!(stream.read().await.is_err(), "a panic is no end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_gives_nothing_more_is_cut_off() -> Result<()> {
    let world = World::start().await?;
    let mut stream = world.stream("/short/stuck").await?;
    stream.end();
    assert_eq!(stream.read().await?.as_deref(), Some("part"));
    assert!(stream.read().await.is_err(), "it waits for an hour");
    Ok(())
}
