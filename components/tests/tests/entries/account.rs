//! Registering, signing in, being signed in for longer, saving an address and moving: hashes of passwords, tokens, and what other modules
//! say.

use anyhow::{Result, ensure};
use component_tests::{ADDRESS, Client, Edited, Person};
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
    let body = json!({ "refresh_token": signed_in.text(200, "refresh_token") });
    let refreshed = client
        .post_until_answered("/api/v1/account/auth/refresh", &body, PATIENCE)
        .await?;
    let me = client
        .signed_in(&refreshed.text(200, "access_token"))
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
async fn who_registers_signs_in_and_stays() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    ends_and_fails(host, registers, 6).await?;
    Ok(())
}

/// What a flow begins with: an account of its own.
async fn account(host: &TestHost, run: &str) -> Result<Client> {
    let name = format!("a_{}", run.replace('-', "_"));
    let register = json!({ "username": name, "password": "correct-horse", "country": "VN" });
    let login = json!({ "id": name, "password": "correct-horse" });
    let client = Client::new(host.url());
    let signs_in = async {
        let registered = client.keyed(&format!("register-{run}"));
        registered
            .post_until_answered("/api/v1/account/auth/register/basic", &register, PATIENCE)
            .await?;
        client
            .post_until_answered("/api/v1/account/auth/login/basic", &login, PATIENCE)
            .await
    };
    let signed_in = host.aside(signs_in).await?;
    Ok(client.signed_in(&signed_in.text(200, "access_token")))
}

/// Saves two addresses, changes one and deletes the other.
async fn saves(host: &TestHost, client: &Client, run: &str) -> Result<(Vec<u16>, Vec<String>)> {
    const CONTACT: &str = "/api/v1/account/contact";
    let client = client.at(host.url());
    let mut answers = Vec::new();
    for name in ["first", "second"] {
        let body = json!({ "full_name": format!("{name} {run}"), "phone": "+84912345678", "address": ADDRESS, "address_type": "Home" });
        let client = client.keyed(&format!("{name}-{run}"));
        answers.push(client.post_until_answered(CONTACT, &body, PATIENCE).await?);
    }
    let [first, second] = [0, 1].map(|at: usize| answers[at].json["data"]["id"].clone());
    let change = json!({ "contact_id": second, "address": format!("9{ADDRESS}") });
    let changes = client.keyed(&format!("change-{run}"));
    answers.push(changes.patch_until_answered(CONTACT, &change, PATIENCE).await?);
    let deletes = client.keyed(&format!("delete-{run}"));
    let gone = json!({ "contact_id": first });
    answers.push(deletes.delete_until_answered(CONTACT, Some(&gone), PATIENCE).await?);
    nothing_is_held(host).await?;
    let left = format!(
        "SELECT split_part(full_name, ' ', 1) || ' ' || left(address, 2) FROM account.contact
         WHERE full_name LIKE '% {run}' ORDER BY 1"
    );
    let statuses = answers.iter().map(|answer| answer.status.as_u16());
    Ok((statuses.collect(), host.texts(&left).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saves_addresses() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    // It has an address before: the default one, which stays.
    let client = Person::register(&Client::new(host.url()), "buyer").await?.client;
    let flow = async |host: &TestHost, run: &str| saves(host, &client, run).await;
    ends_and_fails(host, flow, 8).await?;
    Ok(())
}

async fn moves(host: &TestHost, run: &str) -> Result<(u16, String)> {
    let client = account(host, run).await?.keyed(&format!("move-{run}"));
    let body = json!({ "country": "US" });
    let moved = client
        .patch_until_answered("/api/v1/account/profile/country", &body, PATIENCE)
        .await?;
    let me = client.get_until_answered("/api/v1/account/me", PATIENCE).await?;
    nothing_is_held(host).await?;
    Ok((moved.status.as_u16(), me.text(200, "country")))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_moves_to_another_country() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    ends_and_fails(host, moves, 2).await?;
    Ok(())
}
