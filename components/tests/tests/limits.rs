//! How often a caller may ask: what the marketplace's own manifest says, counted by real hosts in a real database.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, Audit, Client, Edited, Nexus, NexusOptions, Shop, workspace};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
/// Of a session that nobody has: it counts, and does nothing.
const PAYMENT_URL: &str = "/api/v1/order/buyer/checkout/018f3b1e-9f7a-7c31-b6a3-0d3c5a0e7a11/payment-url";
/// Longer than it takes until a database that answers again is asked again.
const PATIENCE: Duration = Duration::from_secs(20);
const LOGIN: &str = "/api/v1/account/auth/login/basic";

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).and_then(|value| value.to_str().ok())
}

/// What is left of a quota, and in how many seconds there is a whole one again; none when the answer does not say.
fn left(answer: &Answer, policy: &str) -> Option<(u64, u64)> {
    let said = header(answer, "ratelimit")?.strip_prefix(&format!("\"{policy}\";r="))?;
    let (remaining, reset_s) = said.split_once(";t=")?;
    Some((remaining.parse().ok()?, reset_s.parse().ok()?))
}

/// The manifest of the marketplace, with its quotas as they are.
async fn marketplace() -> Result<Nexus> {
    Nexus::start_application(&workspace().join("spin.toml"), NexusOptions::default()).await
}

/// The same with another limit of this name; without `routes`, which stay.
fn limited(name: &str, lines: &str) -> Result<Edited> {
    Edited::marketplace(|manifest| {
        let (before, table) = manifest
            .split_once(&format!(".rate_limits.{name}]\n"))
            .expect("the manifest has the limit");
        let (_, routes) = table.split_once("routes = ").expect("it limits something");
        format!("{before}.rate_limits.{name}]\n{lines}\nroutes = {routes}")
    })
}

/// Asks until the window is over, as a client does that does what it is told.
async fn once_let_in(client: &Client, path: &str, body: &Value) -> Result<Answer> {
    loop {
        let answer = client.post(path, body.clone()).await?;
        if answer.status != 429 {
            return Ok(answer);
        }
        let after_s = header(&answer, "retry-after").context("when to come back")?.parse()?;
        tokio::time::sleep(Duration::from_secs(after_s)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_checkout_of_a_minute_is_refused_and_nobody_elses() -> Result<()> {
    let nexus = marketplace().await?;
    let shop = Shop::open(&nexus.client(), 100).await?;
    let buyer = &shop.buyer.client;
    let policy = Some("\"checkout\";q=10;w=60");
    for before in 0..10 {
        let answer = buyer.post(CHECKOUT, shop.checkout(1)).await?;
        answer.data(200);
        assert_eq!(header(&answer, "ratelimit-policy"), policy);
        let (remaining, reset_s) = left(&answer, "checkout").context("how much is left")?;
        assert_eq!(remaining, 9 - before);
        ensure!((1..=60).contains(&reset_s), "{reset_s}");
        assert_eq!(header(&answer, "retry-after"), None);
    }
    // One bucket for all that asks a provider for a payment.
    for (path, body) in [(CHECKOUT, shop.checkout(1)), (PAYMENT_URL, Value::Null)] {
        let refused = buyer.post(path, body).await?;
        let (remaining, reset_s) = left(&refused, "checkout").context("how much is left")?;
        assert_eq!(remaining, 0);
        ensure!((1..=60).contains(&reset_s), "{reset_s}");
        assert_eq!(header(&refused, "ratelimit-policy"), policy);
        assert_eq!(header(&refused, "retry-after"), Some(&*reset_s.to_string()));
        let text = format!("more than 10 requests in 60 s are too many here (`checkout`); try again in {reset_s} s");
        let expected = json!({
            "message": text,
            "error": {
                "http_status": 429, "code": "too_many_requests", "message": format!("too_many_requests: {text}"),
                "request_id": header(&refused, "x-invocation-id"),
            },
        });
        assert_eq!((refused.status.as_u16(), &refused.json), (429, &expected), "{path}");
    }
    assert_eq!(shop.stock().await?, (90, 10));

    // Everybody else goes on, and so does the buyer with whatever is not limited.
    shop.seller
        .client
        .post(PAYMENT_URL, Value::Null)
        .await?
        .failed(404, "entity_not_found");
    let nobody = buyer.signed_out().post(PAYMENT_URL, Value::Null).await?;
    assert_eq!(
        (nobody.status.as_u16(), left(&nobody, "checkout").map(|left| left.0)),
        (401, Some(9))
    );
    let cart = buyer.get("/api/v1/order/cart").await?;
    cart.data(200);
    assert_eq!(
        (header(&cart, "ratelimit-policy"), header(&cart, "ratelimit")),
        (None, None)
    );

    let (text, samples) = nexus.scrape().await?;
    for (outcome, count) in [("allowed", 12.0), ("refused", 2.0)] {
        let name = format!(
            "nexus_rate_limited_requests_total{{component=\"order\",policy=\"checkout\",outcome=\"{outcome}\"}}"
        );
        assert_eq!(samples.get(&name), Some(&count), "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_one_database_share_what_they_count() -> Result<()> {
    let first = marketplace().await?;
    let second = first.second_node(NexusOptions::default()).await?;
    let shop = Shop::open(&first.client(), 1).await?;
    let clients = [first.url(), second.url()].map(|url| shop.buyer.client.at(url));
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let at_once = clients.each_ref().map(|client| client.post(PAYMENT_URL, Value::Null));
        for answer in join_all(at_once).await {
            statuses.push(answer?.status.as_u16());
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[404; 10].as_slice(), &[429; 14]].concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_has_not_taken_its_key() -> Result<()> {
    let application = limited("checkout", "quota = 1\nwindow_seconds = 3")?;
    let nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let (once, body) = (shop.buyer.client.keyed("once"), shop.checkout(1));
    let keys = "SELECT count(*) FROM host.idempotency_key";
    let before = audit.count(keys).await?;
    // The window begins, and its quota is used up.
    shop.buyer
        .client
        .post(PAYMENT_URL, Value::Null)
        .await?
        .failed(404, "entity_not_found");
    once.post(CHECKOUT, body.clone())
        .await?
        .failed(429, "too_many_requests");
    assert_eq!(audit.count(keys).await?, before);
    assert_eq!(shop.stock().await?, (10, 0));

    let first = once_let_in(&once, CHECKOUT, &body).await?;
    first.data(200);
    assert_eq!(header(&first, "idempotency-replayed"), None);
    assert_eq!(audit.count(keys).await?, before + 1);
    // A repetition counts as well, and is answered as the first one was.
    let again = once_let_in(&once, CHECKOUT, &body).await?;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
    assert_eq!(shop.stock().await?, (9, 1));
    audit.settled().await?;
    audit.books_hold().await
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_guessed_from_one_address_whatever_the_account() -> Result<()> {
    let lines = "quota = 3\nwindow_seconds = 60\nby = \"address\"";
    let application = limited("login", lines)?;
    let nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
    let shop = Shop::open(&nexus.client(), 1).await?;
    let body = |id, password| json!({ "id": id, "password": password });
    for id in ["buyer", "seller", "nobody"] {
        let answer = nexus.client().post(LOGIN, body(id, "guessed")).await?;
        ensure!([401, 404].contains(&answer.status.as_u16()), "{}", answer.json);
    }
    // Neither the right password nor a token makes it another address.
    for client in [nexus.client(), shop.buyer.client.clone()] {
        let answer = client.post(LOGIN, body("buyer", "correct-horse")).await?;
        answer.failed(429, "too_many_requests");
        assert_eq!(left(&answer, "login").map(|left| left.0), Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_one_account_is_not_guessed_from_many_addresses() -> Result<()> {
    let lines = "quota = 3\nwindow_seconds = 60\nmember = \"id\"\nspelling = \"folded\"";
    let application = limited("login-account", lines)?;
    let options = NexusOptions::with(&[("NEXUS_TRUSTED_PROXIES", "127.0.0.1,::1")]);
    let nexus = Nexus::start_application(&application.manifest(), options).await?;
    Shop::open(&nexus.client(), 1).await?;
    let from = |address: &str| nexus.client().with_header("x-forwarded-for", address);
    let body = |id: &str, password: &str| json!({ "id": id, "password": password });
    let mail = json!({ "username": "an", "email": "An@example.com", "password": "correct-horse", "country": "VN" });
    let register = "/api/v1/account/auth/register/basic";
    nexus.client().post(register, mail).await?.data(201);
    // One account, however it is spelt: blanks are nothing, and neither is the case of an address.
    for spelt in [
        ["buyer", " buyer", "buyer\u{a0}", "\tbuyer\u{3000}"],
        ["an@example.com", "AN@EXAMPLE.COM", " An@example.com ", "aN@eXample.com"],
    ] {
        for (address, id) in ["192.0.2.1", "192.0.2.2", "192.0.2.3"].into_iter().zip(spelt) {
            let answer = from(address).post(LOGIN, body(id, "guessed")).await?;
            answer.failed(401, "invalid_credentials");
        }
        for id in spelt {
            let refused = from("192.0.2.4").post(LOGIN, body(id, "correct-horse")).await?;
            refused.failed(429, "too_many_requests");
        }
    }
    let answer = from("192.0.2.4").post(LOGIN, body("buyer", "correct-horse")).await?;
    let said: Vec<_> = answer.headers.get_all("ratelimit-policy").iter().collect();
    assert_eq!(said.last().context("a policy")?, &"\"login-account\";q=3;w=60");
    // Everybody else gets in.
    from("192.0.2.1")
        .post(LOGIN, body("seller", "correct-horse"))
        .await?
        .data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_does_not_count_requests_pass_or_not_as_their_limit_says() -> Result<()> {
    let lines = "quota = 20\nwindow_seconds = 60\nby = \"address\"\nunknown = \"refuse\"";
    let application = limited("login", lines)?;
    let nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let (superuser, connection) = tokio_postgres::connect(nexus.database_url(), NoTls).await?;
    tokio::spawn(connection);
    superuser
        .batch_execute("BEGIN; LOCK TABLE host.rate_count IN ACCESS EXCLUSIVE MODE")
        .await?;

    let credentials = json!({ "id": "buyer", "password": "correct-horse" });
    for _ in 0..3 {
        let passed = shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?;
        passed.data(200);
        assert_eq!(header(&passed, "ratelimit-policy"), Some("\"checkout\";q=1000000;w=60"));
        assert_eq!(header(&passed, "ratelimit"), None);
        let refused = nexus.client().post(LOGIN, credentials.clone()).await?;
        refused.failed(503, "unavailable");
        assert_eq!(header(&refused, "ratelimit-policy"), Some("\"login\";q=20;w=60"));
        assert_eq!(
            (header(&refused, "ratelimit"), header(&refused, "retry-after")),
            (None, Some("1"))
        );
    }
    superuser.batch_execute("COMMIT").await?;

    // The sessions that waited are as good as before, and nothing that was not counted is counted now.
    let answer = nexus
        .client()
        .post_until_answered(LOGIN, &credentials, PATIENCE)
        .await?;
    answer.data(200);
    let counted = left(&answer, "login").context("how much is left")?;
    ensure!(counted.0 >= 17, "{counted:?}");
    let passed = shop.buyer.client.post(CHECKOUT, shop.checkout(1)).await?;
    passed.data(200);
    ensure!(left(&passed, "checkout").is_some(), "{:?}", passed.headers);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_look_through_is_counted_together_and_reports_of_gateways_apart() -> Result<()> {
    let nexus = marketplace().await?;
    let nobody = nexus.client();
    let lists = ["product-card", "product-spu", "category?search=x", "tag?search=x"];
    for (before, list) in (0_u64..).zip(lists) {
        let answer = nobody.get(&format!("/api/v1/catalog/{list}")).await?;
        answer.data(200);
        assert_eq!(
            header(&answer, "ratelimit-policy"),
            Some("\"search\";q=600;w=60"),
            "{list}"
        );
        let (remaining, _) = left(&answer, "search").context("how much is left")?;
        assert_eq!(remaining, 599 - before, "{list}");
    }
    let webhook = "/api/v1/payment/webhook/sandbox";
    let report = nobody.post(webhook, json!({})).await?;
    assert_eq!(header(&report, "ratelimit-policy"), Some("\"webhook\";q=3000;w=60"));
    assert_eq!(left(&report, "webhook").map(|(remaining, _)| remaining), Some(2_999));
    // By address, whoever it says it is.
    let shop = Shop::open(&nobody, 1).await?;
    let report = shop.buyer.client.post(webhook, json!({})).await?;
    assert_eq!(left(&report, "webhook").map(|(remaining, _)| remaining), Some(2_998));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_looked_up_thirty_times_a_minute_however_it_is_asked() -> Result<()> {
    let nexus = marketplace().await?;
    let nobody = nexus.client();
    let (forward, reverse) = ("/api/v1/common/geocode/forward", "/api/v1/common/geocode/reverse");
    for _ in 0..10 {
        nobody.post(forward, json!({ "address": "Vietnam" })).await?.data(200);
        nobody
            .post(reverse, json!({ "latitude": 14.06, "longitude": 108.28 }))
            .await?
            .data(200);
        nobody.get("/api/v1/common/geocode/search?q=vi").await?.data(200);
    }
    for refused in [
        nobody
            .post(reverse, json!({ "latitude": 14.06, "longitude": 108.28 }))
            .await?,
        nobody.get("/api/v1/common/geocode/search?q=vi").await?,
    ] {
        assert_eq!(refused.status, 429, "{}", refused.json);
    }
    Ok(())
}
