//! What a component may use up, and that others do not notice.

use anyhow::Result;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_loops_grows_or_panics_is_stopped_and_others_go_on() -> Result<()> {
    let world = World::start().await?;
    let spoilt = ["/short/loop", "/short/grow", "/short/panic", "/spin/panic"];
    let spoilt = futures_util::future::join_all(spoilt.map(|path| world.get(path)));
    let (spoilt, other) = tokio::join!(spoilt, world.get("/spin/environment"));
    assert_eq!(other?.bytes, "hello");
    for answer in spoilt {
        answer?.failed(500, "internal");
    }
    assert_eq!(world.get("/short/environment").await?.status, 200);
    Ok(())
}

/// What lies behind handles is not in the instance's own memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_hoards_in_the_hosts_memory_is_stopped() -> Result<()> {
    let world = World::start().await?;
    world.get("/short/hoard").await?.failed(500, "internal");
    let log = world.nexus.log()?;
    assert!(
        log.contains("an instance may have 512 handles of the host at once"),
        "{log}"
    );
    for path in ["/spin/names", "/wasi/names"] {
        let told = world.get(path).await?.bytes;
        assert_eq!(told, "[true, true, true] [false, false, false]", "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_answer_is_not_waited_for() -> Result<()> {
    let world = World::start().await?;
    world.get("/short/late").await?.failed(504, "timeout");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_its_limit_is_refused() -> Result<()> {
    let world = World::start().await?;
    assert_eq!(world.post("/short/length", &"x".repeat(1024)).await?.bytes, "1024");
    world
        .post("/short/length", &"x".repeat(1025))
        .await?
        .failed(413, "payload_too_large");
    // One that does not say how long it is breaks off for the component.
    let mut stream = world.stream("/short/length").await?;
    for _ in 0..3 {
        stream.write("0123456789012345678901234567890123456789").await?;
    }
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    stream.write(long).await?;
    stream.end();
    let error = stream.read().await.expect_err("too long").to_string();
    assert!(error.contains("500"), "{error}");
    Ok(())
}
