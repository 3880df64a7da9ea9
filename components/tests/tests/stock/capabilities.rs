//! What a component is granted, and what not.

use anyhow::Result;
use http::Method;

use crate::world::{TOKEN, World};

impl World {
    async fn told(&self, method: Method, path: &str, body: &str) -> Result<(u16, String)> {
        let answer = self.send(method, path, body).await?;
        Ok((
            answer.status.as_u16(),
            String::from_utf8_lossy(&answer.bytes).into_owned(),
        ))
    }
}

#[track_caller]
fn assert_told(told: &(u16, String), status: u16, text: &str) {
    assert!(
        told.0 == status && told.1.contains(text),
        "{told:?} is not {status} {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_outlive_the_process() -> Result<()> {
    let mut world = World::start().await?;
    assert_told(
        &world.told(Method::GET, "/store/pairs/default/a", "").await?,
        200,
        "none",
    );
    for (key, value) in [("a", "first"), ("b", "other"), ("a", "second"), ("c", "gone")] {
        let path = format!("/store/pairs/default/{key}");
        assert_told(&world.told(Method::PUT, &path, value).await?, 200, "done");
    }
    assert_told(
        &world.told(Method::DELETE, "/store/pairs/default/c", "").await?,
        200,
        "done",
    );
    world.nexus.kill()?;
    world.restart().await?;
    assert_told(
        &world.told(Method::GET, "/store/pairs/default/a", "").await?,
        200,
        "second",
    );
    assert_told(
        &world.told(Method::GET, "/store/pairs/default/c", "").await?,
        200,
        "none",
    );
    assert_eq!(
        world.told(Method::GET, "/store/pairs/default", "").await?,
        (200, "a b".to_owned())
    );
    assert_told(&world.told(Method::GET, "/store/pairs/shared", "").await?, 200, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_reached_by_those_who_are_granted_its_name() -> Result<()> {
    let world = World::start().await?;
    assert_told(
        &world.told(Method::PUT, "/store/pairs/shared/a", "ours").await?,
        200,
        "done",
    );
    assert_told(
        &world.told(Method::GET, "/other/pairs/shared/a", "").await?,
        200,
        "ours",
    );
    for path in ["/other/pairs/default/a", "/store/pairs/unheard-of/a"] {
        assert_told(&world.told(Method::PUT, path, "theirs").await?, 400, "NoSuchStore");
    }
    let (longest, beyond) = ("k".repeat(255), "k".repeat(256));
    let path = |key: &str| format!("/store/pairs/shared/{key}");
    assert_told(&world.told(Method::PUT, &path(&longest), "v").await?, 200, "done");
    assert_told(&world.told(Method::PUT, &path(&beyond), "v").await?, 400, "255");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_reads_its_own_variables() -> Result<()> {
    let world = World::start().await?;
    assert_told(
        &world.told(Method::GET, "/store/variables/region", "").await?,
        200,
        "eu",
    );
    assert_told(
        &world.told(Method::GET, "/store/variables/token", "").await?,
        200,
        TOKEN,
    );
    assert_told(
        &world.told(Method::GET, "/other/variables/token", "").await?,
        400,
        "Undefined",
    );
    assert_told(
        &world.told(Method::GET, "/store/variables/No-Name", "").await?,
        400,
        "InvalidName",
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_spins_older_sdks_have_the_same_stores_and_variables() -> Result<()> {
    let world = World::start().await?;
    assert_told(
        &world.told(Method::GET, "/wasi/visits", "").await?,
        200,
        r#"1 ["visits"] eu"#,
    );
    assert_told(
        &world.told(Method::GET, "/wasi/visits", "").await?,
        200,
        r#"2 ["visits"] eu"#,
    );
    assert_told(
        &world.told(Method::GET, "/other/pairs/shared/visits", "").await?,
        200,
        "xx",
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_where_it_is_granted() -> Result<()> {
    let world = World::start().await?;
    let peer = world.peer;
    let there = format!("http://{peer}/there?x=1");
    let answer = "200 peer answers GET /there?x=1";
    assert_told(&world.told(Method::POST, "/spin/fetch", &there).await?, 200, answer);
    let wasi = world.told(Method::POST, "/wasi/fetch", &peer.to_string()).await?;
    assert_told(&wasi, 200, "peer answers GET /");
    // Neither another port, nor another component's grant, nor the same address by another name.
    let elsewhere = format!("http://127.0.0.1:{}/", peer.port() ^ 1);
    let by_name = format!("http://localhost:{}/", peer.port());
    for (path, address) in [
        ("/spin/fetch", &elsewhere),
        ("/spin/fetch", &by_name),
        ("/short/fetch", &there),
    ] {
        assert_told(
            &world.told(Method::POST, path, address).await?,
            200,
            "HttpRequestDenied",
        );
    }
    let denied = world
        .told(Method::POST, "/wasi/fetch", &format!("localhost:{}", peer.port()))
        .await?;
    assert_told(&denied, 502, "HttpRequestDenied");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_asks_its_own_schema_a_statement_at_a_time() -> Result<()> {
    let mut world = World::start().await?;
    let insert = "INSERT INTO item VALUES ($1, $2)";
    assert_told(
        &world.told(Method::POST, "/shelf/execute/shelf", insert).await?,
        200,
        "1",
    );
    // What is answered is committed.
    world.nexus.kill()?;
    world.restart().await?;
    let select = "SELECT name, quantity FROM item";
    let read = world.told(Method::POST, "/shelf/query/shelf", select).await?;
    assert_told(&read, 200, r#"Some("cup") Some(3)"#);
    assert_told(
        &world.told(Method::POST, "/shelf/execute/shelf", insert).await?,
        400,
        "23505",
    );
    let returning = "UPDATE item SET quantity = quantity + 1 RETURNING name, quantity";
    let read = world.told(Method::POST, "/shelf/query/shelf", returning).await?;
    assert_told(&read, 200, r#"Some("cup") Some(4)"#);
    for control in ["BEGIN", "commit", "/* */ ROLLBACK"] {
        let refused = world.told(Method::POST, "/shelf/execute/shelf", control).await?;
        assert_told(&refused, 400, "each statement commits by itself");
    }
    let foreign = world
        .told(Method::POST, "/shelf/query/shelf", "SELECT * FROM host.invocation")
        .await?;
    assert_told(&foreign, 400, "42501");
    let elsewhere = world.told(Method::POST, "/shelf/query/postgres", select).await?;
    assert_told(&elsewhere, 400, "ConnectionFailed");
    assert_told(
        &world
            .told(Method::POST, "/shelf/execute/shelf", "DROP TABLE item")
            .await?,
        400,
        "SELECT, INSERT",
    );
    Ok(())
}
