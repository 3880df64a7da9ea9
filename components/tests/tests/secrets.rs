//! The host's own tables, its log, and what it shows to operators, searched for what only the people concerned may know.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use component_tests::{
    ADDRESS, Answer, Audit, CHECKOUT, Commit, Edited, Fault, Nexus, NexusOptions, Opened, PaidShop, Person, Shop,
};
use serde_json::{Value, json};

const PASSWORD: &str = "correct-horse-battery-7Qz";
const NEW_EMAIL: &str = "Linh.Secret@private-mail.example";
const PHONE: &str = "+84987654321";
const CONTACT_PHONE: &str = "0912 000 777";
const CONTACT_ADDRESS: &str = "17 Hidden Alley, Ward 3, Da Nang, Vietnam";
const NOTE: &str = "leave it with the concierge";
const CLIENT_KEY: &str = "client-key-58c1d0";
const PROVIDER_SECRET: &str = "PROVIDERSECRET9F2C7D51E3A84B60";

/// What is searched for, and under which name a finding is told.
struct Needle {
    name: String,
    text: Vec<u8>,
}

/// A text as such, and in every spelling in which it would still be readable.
fn spellings(name: &str, text: &str) -> Vec<Needle> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = vec![
        (String::from("plain"), text.as_bytes().to_vec()),
        (String::from("lower case"), text.to_lowercase().into_bytes()),
        (String::from("hex"), hex.clone().into_bytes()),
        (String::from("upper-case hex"), hex.to_uppercase().into_bytes()),
        (String::from("reversed"), text.bytes().rev().collect()),
    ];
    // Base64 depends on where in its group of three a text begins: the characters that it alone decides are searched for.
    for shift in 0..3 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(text.as_bytes());
        let whole = bytes.len() / 3 * 4;
        let begin = (shift * 8).div_ceil(6);
        for (alphabet, encoded) in [
            ("base64", STANDARD_NO_PAD.encode(&bytes)),
            ("base64url", URL_SAFE_NO_PAD.encode(&bytes)),
        ] {
            spellings.push((
                format!("{alphabet} at {shift}"),
                encoded.as_bytes()[begin..whole].to_vec(),
            ));
        }
    }
    spellings
        .into_iter()
        .map(|(spelling, text)| Needle {
            name: format!("{name} ({spelling})"),
            text,
        })
        .collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The names of what is in there, in one pass over it.
fn found(haystack: &[u8], needles: &[Needle]) -> Vec<String> {
    const BEGIN: usize = 8;
    let mut by_beginning: HashMap<&[u8], Vec<&Needle>> = HashMap::new();
    for needle in needles {
        assert!(
            needle.text.len() >= BEGIN,
            "{} is so short that anything could hold it",
            needle.name
        );
        by_beginning.entry(&needle.text[..BEGIN]).or_default().push(needle);
    }
    let mut found = BTreeSet::new();
    for (at, window) in haystack.windows(BEGIN).enumerate() {
        for needle in by_beginning.get(window).into_iter().flatten() {
            if haystack[at..].starts_with(&needle.text) {
                found.insert(needle.name.clone());
            }
        }
    }
    found.into_iter().collect()
}

fn needles(secrets: &[(String, String)]) -> Vec<Needle> {
    secrets.iter().flat_map(|(name, text)| spellings(name, text)).collect()
}

/// The tokens of a sign-in and their signatures, each under a name.
fn issued((sign_in, answer): (usize, &Answer)) -> Vec<(String, String)> {
    ["access_token", "refresh_token"]
        .into_iter()
        .flat_map(|kind| {
            let token = answer.json["data"][kind].as_str().expect("a token").to_owned();
            let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
            [
                (format!("{kind} {sign_in}"), token),
                (format!("signature of {kind} {sign_in}"), signature),
            ]
        })
        .collect()
}

/// Fails when one of them stands in a table of the host, or in its log.
async fn host_holds_none(audit: &Audit, nexus: &Nexus, needles: &[Needle]) -> Result<()> {
    let host = audit.dump("host").await?;
    assert!(
        audit.count("SELECT count(*) FROM host.journal_entry").await? > 30,
        "the flow was journalled"
    );
    assert!(
        contains(&host, b"geocode-local"),
        "the dump holds what is meant to be read: the deployment"
    );
    assert_eq!(found(&host, needles), Vec::<String>::new(), "in the host's tables");
    assert_eq!(
        found(nexus.log()?.as_bytes(), needles),
        Vec::<String>::new(),
        "in the log"
    );
    Ok(())
}

#[test]
fn the_search_finds_what_is_there() {
    let needles = spellings("secret", "s3cret-word?>");
    for (hidden, spelling) in [
        (String::from("x s3cret-word?> y"), "plain"),
        (String::from("..7333637265742d776f72643f3e.."), "hex"),
        (STANDARD_NO_PAD.encode("s3cret-word?>"), "base64 at 0"),
        (STANDARD_NO_PAD.encode("{s3cret-word?>}"), "base64 at 1"),
        (URL_SAFE_NO_PAD.encode("{\"s3cret-word?>\"}"), "base64url at 2"),
    ] {
        let found = found(hidden.as_bytes(), &needles);
        assert!(
            found.contains(&format!("secret ({spelling})")),
            "{spelling} in {hidden}: {found:?}"
        );
    }
    assert_eq!(found(b"another word", &needles), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_tables_and_log_hold_nobodys_secrets() -> Result<()> {
    let environment = vec![(
        "SPIN_VARIABLE_COD_CURRENCIES".to_owned(),
        format!("VND,{PROVIDER_SECRET}"),
    )];
    let nexus = Nexus::start_with(NexusOptions {
        environment,
        ..NexusOptions::default()
    })
    .await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let nobody = nexus.client();
    let mut secrets: Vec<(String, String)> = [
        ("password", PASSWORD),
        ("wrong password", "wrong-horse-battery-7Qz"),
        ("e-mail", NEW_EMAIL),
        ("phone", PHONE),
        ("contact phone", CONTACT_PHONE),
        ("contact address", CONTACT_ADDRESS),
        ("checkout address", ADDRESS),
        ("note", NOTE),
        ("idempotency key", CLIENT_KEY),
        ("provider configuration", PROVIDER_SECRET),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();

    // Everything that carries one of them, both where it succeeds and where it is refused.
    let registration = json!({ "email": NEW_EMAIL, "phone": PHONE, "password": PASSWORD, "country": "VN" });
    let mut tokens = vec![nobody.post("/api/v1/account/auth/register/basic", registration).await?];
    let again = json!({ "email": NEW_EMAIL, "password": PASSWORD, "country": "VN" });
    nobody
        .post("/api/v1/account/auth/register/basic", again)
        .await?
        .failed(409, "conflict_email");
    let login = |password: &str| json!({ "id": NEW_EMAIL, "password": password });
    tokens.push(nobody.post("/api/v1/account/auth/login/basic", login(PASSWORD)).await?);
    let wrong = login("wrong-horse-battery-7Qz");
    nobody
        .post("/api/v1/account/auth/login/basic", wrong)
        .await?
        .failed(401, "invalid_credentials");
    let refresh = json!({ "refresh_token": tokens[1].text(200, "refresh_token") });
    tokens.push(
        nobody
            .keyed("refresh-key-58c1d0")
            .post("/api/v1/account/auth/refresh", refresh)
            .await?,
    );
    secrets.extend(tokens.iter().enumerate().flat_map(issued));
    secrets.push(("master key".to_owned(), nexus.master_key()?));

    let person = nobody.signed_in(&tokens[2].text(200, "access_token"));
    let contact =
        json!({ "full_name": "Linh", "phone": CONTACT_PHONE, "address": CONTACT_ADDRESS, "address_type": "Home" });
    person.post("/api/v1/account/contact", contact).await?.data(200);
    person.get("/api/v1/account/me").await?.data(200);
    person
        .patch("/api/v1/account/me", json!({ "email": NEW_EMAIL, "name": "Linh" }))
        .await?
        .data(200);
    let mut checkout = shop.checkout(2);
    checkout["items"][0]["note"] = json!(NOTE);
    person
        .keyed(CLIENT_KEY)
        .post("/api/v1/order/buyer/checkout", checkout.clone())
        .await?
        .data(200);
    checkout["address"] = json!(CONTACT_ADDRESS);
    person
        .post("/api/v1/order/buyer/checkout", checkout.clone())
        .await?
        .data(200);
    checkout["items"][0]["quantity"] = json!(100);
    person
        .post("/api/v1/order/buyer/checkout", checkout)
        .await?
        .failed(409, "out_of_stock");
    nobody.get("/api/v1/common/option?type=payment").await?.data(200);
    let pending = shop.seller.client.get("/api/v1/order/seller/pending").await?;
    let item = pending.data(200)[0]["id"].clone();
    let confirm = json!({ "item_ids": [item], "payment_option": "system-cod", "note": NOTE });
    shop.seller
        .client
        .post("/api/v1/order/seller/pending/confirm", confirm)
        .await?
        .data(200);

    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await?;
    let needles = needles(&secrets);
    host_holds_none(&audit, &nexus, &needles).await?;

    // The same search finds what the modules keep for their owners, so it does search; and no module keeps a password or a token.
    let account = audit.dump("account").await?;
    let kept = found(&account, &needles);
    for name in ["e-mail (plain)", "phone (plain)", "contact address (plain)"] {
        assert!(kept.contains(&name.to_owned()), "{name} is not among {kept:?}");
    }
    let order = found(&audit.dump("order").await?, &needles);
    assert!(order.contains(&"note (plain)".to_owned()), "{order:?}");
    for name in kept.iter().chain(&order) {
        assert!(
            !["password", "token", "key", "provider"]
                .iter()
                .any(|secret| name.contains(secret)),
            "{name} is kept"
        );
    }

    // What sign-ins left in the journal cannot be decrypted any more, not even with all keys of the host.
    let salted = "SELECT count(*) FROM host.invocation WHERE ended_at IS NOT NULL AND erasure_salt IS NOT NULL";
    assert_eq!(audit.count(salted).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_elsewhere_leaves_no_secret_with_the_host_nor_with_its_options() -> Result<()> {
    /// A host that gives up soon.
    const LINES: &str =
        "wait_hold_ms = 0\nrequest_timeout_ms = 1000\nretry = { attempts = 3, initial_ms = 10, max_ms = 50 }";
    let mut world = PaidShop::start_with(&[], LINES).await?;
    let nobody = world.nexus.client();
    let mut secrets: Vec<(String, String)> = [
        ("password", PASSWORD),
        ("e-mail", NEW_EMAIL),
        ("phone", PHONE),
        ("checkout address", ADDRESS),
        ("note", NOTE),
        ("idempotency key", CLIENT_KEY),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let configured = world.gateway.variables().into_iter();
    secrets.extend(
        configured
            .filter(|(name, _)| name.ends_with("_secret"))
            .map(|(name, secret)| (name.to_owned(), secret)),
    );
    assert_eq!(secrets.len(), 8, "the gateway's and the drivers'");
    secrets.push(("master key".to_owned(), world.nexus.master_key()?));
    let registration = json!({ "email": NEW_EMAIL, "phone": PHONE, "password": PASSWORD, "country": "VN" });
    let tokens = nobody.post("/api/v1/account/auth/register/basic", registration).await?;
    secrets.extend(issued((0, &tokens)));
    world.shop.buyer.client = nobody.signed_in(&tokens.text(201, "access_token"));

    // One that is paid, confirmed, and brought; one that is paid and given back.
    let mut lines = Vec::new();
    for name in ["kept", "given back"] {
        let opened = world.opens().await?;
        world.settles(&opened).await?;
        lines.push(world.item_of(&opened.session).await?);
        secrets.push((format!("where it is paid, {name}"), opened.url));
    }
    let cancel = format!("/api/v1/order/buyer/pending-items/{}", lines[1]);
    world.buyer().delete(&cancel, None).await?.data(200);
    let order = world.orders(&lines[..1], "sandbox-redirect").await?;
    world.parcel(&order, "delivered").await?;
    world.audit.settled().await?;

    // One whose gateway is down until the host gives up, and says why.
    world.gateway.goes_down().await;
    let mut checkout = world.checkout(1);
    checkout["items"][0]["note"] = json!(NOTE);
    let waiting = world.buyer().keyed(CLIENT_KEY);
    let answer = waiting.post(CHECKOUT, checkout.clone()).await?;
    assert_eq!(answer.status, 503, "{}", answer.json);
    let paused = "SELECT count(*) FROM host.invocation WHERE status = 'paused'";
    world.audit.becomes(paused, 1).await?;
    let causes = "SELECT cause FROM host.invocation WHERE status = 'paused'";
    let causes = world.audit.texts(causes).await?;
    assert!(causes[0].contains("the gateway does not answer"), "{causes:?}");
    host_holds_none(&world.audit, &world.nexus, &needles(&secrets)).await?;

    world.gateway.comes_back().await?;
    world.nexus.run(&["invocations", "resume", "--status", "paused"])?;
    let answer = waiting
        .post_until_answered(CHECKOUT, &checkout, Duration::from_secs(30))
        .await?;
    let opened = Opened::read(&answer, "checkout_session_id");
    world.settles(&opened).await?;
    secrets.push(("where it is paid, late".to_owned(), opened.url));
    world.books_hold().await?;
    let needles = needles(&secrets);
    host_holds_none(&world.audit, &world.nexus, &needles).await?;
    // So the search does search: where payments are made is kept by the module whose they are.
    let kept = found(&world.audit.dump("order").await?, &needles);
    for name in ["kept", "given back", "late"] {
        let name = format!("where it is paid, {name} (plain)");
        assert!(kept.contains(&name), "{name} is not among {kept:?}");
    }
    assert!(
        !kept
            .iter()
            .any(|name| name.contains("_secret") || name.contains("token")),
        "{kept:?}"
    );

    // What everybody may read of how it is paid and carried.
    let options = async |query: &str| nobody.get(&format!("/api/v1/common/option{query}")).await;
    for (kind, expected) in [
        ("payment", vec!["sandbox-redirect", "system-cod"]),
        ("transport", vec!["economy", "express", "standard"]),
        ("object_store", vec![]),
    ] {
        let listed = options(&format!("?type={kind}")).await?;
        let offered = listed.data(200).as_array().map_or(&[][..], Vec::as_slice);
        let ids: Vec<&Value> = offered.iter().map(|option| &option["id"]).collect();
        assert_eq!(ids, expected, "{kind}");
        assert_eq!(found(&listed.bytes, &needles), Vec::<String>::new(), "{kind}");
    }
    options("").await?.names("type");
    Ok(())
}

/// Fails when an operator is shown more of an invocation than what it did: of its payloads not even the size.
async fn shows_no_payload(nexus: &Nexus, invocation: &str, needles: &[Needle]) -> Result<()> {
    let shown = nexus.admin().get(&format!("/v1/invocations/{invocation}")).await?;
    ensure!(shown.status == 200, "{}", shown.json);
    let journal = shown.json["journal"].as_array().context("a journal")?;
    let payloads = journal.iter().map(|entry| &entry["answer"]);
    let payloads: Vec<&Value> = payloads.filter(|answer| !answer.is_null()).collect();
    ensure!(!payloads.is_empty(), "nothing is recorded: {}", shown.json);
    for payload in payloads {
        assert_eq!(*payload, json!({ "redacted": 0 }), "{}", shown.json);
    }
    assert_eq!(found(&shown.bytes, needles), Vec::<String>::new(), "{}", shown.json);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_shown_no_payload_of_a_sensitive_request_neither_while_it_is_open_nor_later() -> Result<()> {
    const REGISTER: &str = "/api/v1/account/auth/register/basic";
    const CONTACT: &str = "/api/v1/account/contact";
    const OPEN: &str = "SELECT id::text FROM host.invocation WHERE component = 'account' AND ended_at IS NULL";
    // Saving an address is made sensitive too: it calls another component, and what calls return is what operators see of other requests.
    let edited = Edited::marketplace(|manifest| {
        let lines = "\nsensitive = [\n";
        assert_eq!(manifest.matches(lines).count(), 1, "the manifest has another shape");
        manifest.replace(lines, &format!("{lines}    \"POST {CONTACT}\",\n"))
    })?;
    let mut nexus = Nexus::start_application_behind_proxy(&edited.manifest()).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let person = Person::sign_up(&nexus.client(), "linh", "VN").await?.client;
    let secrets = [
        ("password", PASSWORD),
        ("e-mail", NEW_EMAIL),
        ("phone", PHONE),
        ("contact phone", CONTACT_PHONE),
        ("contact address", CONTACT_ADDRESS),
    ];
    let needles = needles(&secrets.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let registration = json!({ "email": NEW_EMAIL, "phone": PHONE, "password": PASSWORD, "country": "VN" });
    let contact =
        json!({ "full_name": "Linh", "phone": CONTACT_PHONE, "address": CONTACT_ADDRESS, "address_type": "Home" });

    for (path, body) in [(REGISTER, registration), (CONTACT, contact)] {
        audit.settled().await?;
        // Its transaction commits, and its output does not.
        nexus.proxy().arm(Fault::Hold, 2);
        let client = person.at(nexus.url());
        let asking = tokio::spawn(async move { client.post(path, body).await });
        assert_eq!(nexus.proxy().hit().await, Commit::Journal, "{path}");
        let open = audit.texts(OPEN).await?;
        let [invocation] = &open[..] else {
            bail!("{path} is not what is open: {open:?}");
        };
        shows_no_payload(&nexus, invocation, &needles).await?;

        // The host is killed with what is held, and the next one ends it.
        nexus.restart(NexusOptions::default()).await?;
        asking.abort();
        let completed = "SELECT count(*) FROM host.invocation WHERE status = 'completed'";
        audit
            .becomes(&format!("{completed} AND id = '{invocation}'"), 1)
            .await?;
        shows_no_payload(&nexus, invocation, &needles).await?;
    }

    // It was not for want of anything to find: of a request that is not sensitive the same address is shown.
    let person = person.at(nexus.url());
    let saved = person.get(CONTACT).await?;
    let change = json!({ "contact_id": saved.data(200)[0]["id"], "address": CONTACT_ADDRESS });
    let changed = person.patch(CONTACT, change).await?;
    changed.data(200);
    audit.settled().await?;
    let invocation = changed.headers["x-invocation-id"].to_str()?;
    let shown = nexus.admin().get(&format!("/v1/invocations/{invocation}")).await?;
    let shown = found(&shown.bytes, &needles);
    assert!(shown.contains(&"contact address (plain)".to_owned()), "{shown:?}");
    Ok(())
}
