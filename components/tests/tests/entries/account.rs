//! Registering, signing in and moving: hashes of passwords, tokens, and what other modules say.

use anyhow::{Result, ensure};
use component_tests::{Client, Edited};
use host_testing::{TestApp, TestHost};
use serde_json::json;

use crate::{PATIENCE, ends_and_fails, nothing_is_held};

async fn registers(host: &TestHost, run: &str) -> Result<(bool, u16, u16, i64)> {
    let client = Client::new(host.url());
    let name = run.replace('-', "_");
    let body = json!({ "username": name, "password": "correct-horse", "country": "VN" });
    let registered = client
        .keyed(&format!("register-{run}"))
        .post_until_answered("/api/v1/account/auth/register/basic", &body, PATIENCE)
        .await?;
    let body = json!({ "id": name, "password": "correct-horse" });
    // Who asks again after the end of a sensitive request is told that its answer is nobody's to read any more.
    let is_registered = registered.status == 201 || registered.json["error"]["code"] == "idempotency_key_spent";
    let signed_in = client
        .post_until_answered("/api/v1/account/auth/login/basic", &body, PATIENCE)
        .await?;
    ensure!(signed_in.status == 200, "{}", signed_in.json);
    let me = client
        .signed_in(&signed_in.text(200, "access_token"))
        .get_until_answered("/api/v1/account/me", PATIENCE)
        .await?;
    nothing_is_held(host).await?;
    let accounts = format!("SELECT count(*) FROM account.account WHERE username = '{name}'");
    Ok((
        is_registered,
        signed_in.status.as_u16(),
        me.status.as_u16(),
        host.count(&accounts).await?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_and_signs_in() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    ends_and_fails(host, registers, 4).await?;
    Ok(())
}

async fn moves(host: &TestHost, run: &str) -> Result<(u16, u16, String)> {
    let client = Client::new(host.url());
    let body =
        json!({ "username": format!("m_{}", run.replace('-', "_")), "password": "correct-horse", "country": "VN" });
    client
        .keyed(&format!("register-{run}"))
        .post_until_answered("/api/v1/account/auth/register/basic", &body, PATIENCE)
        .await?;
    let body = json!({ "id": body["username"], "password": "correct-horse" });
    let signed_in = client
        .post_until_answered("/api/v1/account/auth/login/basic", &body, PATIENCE)
        .await?;
    let client = client
        .signed_in(&signed_in.text(200, "access_token"))
        .keyed(&format!("move-{run}"));
    let body = json!({ "country": "US" });
    let moved = client
        .patch_until_answered("/api/v1/account/profile/country", &body, PATIENCE)
        .await?;
    let me = client.get_until_answered("/api/v1/account/me", PATIENCE).await?;
    nothing_is_held(host).await?;
    Ok((
        signed_in.status.as_u16(),
        moved.status.as_u16(),
        me.text(200, "country"),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_to_another_country() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    ends_and_fails(host, moves, 6).await?;
    Ok(())
}
