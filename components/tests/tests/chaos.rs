//! Two hosts and their database under load, while hosts are killed and frozen and the database is stopped and crashed at random.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use component_tests::{Answer, Audit, Client, Nexus, NexusOptions, Shop};
use host_postgres::test_support::{TestDatabase, TestServer};
use host_postgres::{Programs, Settings};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// How long there are faults. `NEXUS_TEST_CHAOS_SECONDS` changes it; `cargo xtask chaos` runs ten minutes.
const SECONDS: u64 = 30;
/// Buyers at once.
const BUYERS: u64 = 8;
/// After this a client gives an answer up and asks another host.
const IMPATIENCE: Duration = Duration::from_secs(3);
/// Between two lines for those who watch.
const PROGRESS: Duration = Duration::from_secs(20);
const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
const CONFIRM: &str = "/api/v1/order/seller/pending/confirm";
/// Between two looks at what nobody tells of: a host that ended by itself since it was frozen past its lease, an item to confirm.
const LOOK: Duration = Duration::from_millis(50);

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Kill,
    Freeze,
    StopDatabase,
    CrashDatabase,
}

/// A generator whose numbers a printed seed repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What all clients share.
struct Load {
    shop: Shop,
    hosts: watch::Receiver<[String; 2]>,
    stop: AtomicBool,
    /// Items that a buyer was told it bought, less those it was told are cancelled.
    kept: Mutex<i64>,
    /// What was answered under some of the keys.
    answered: Mutex<Vec<(String, Bytes)>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_hosts_and_database_fail_at_random() -> Result<()> {
    let seconds = number_from("NEXUS_TEST_CHAOS_SECONDS").unwrap_or(SECONDS);
    let seed = number_from("NEXUS_TEST_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    survives(Duration::from_secs(seconds), seed)
        .await
        .with_context(|| format!("repeat it with NEXUS_TEST_CHAOS_SEED={seed}"))
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

async fn survives(time: Duration, seed: u64) -> Result<()> {
    // Of its own: it is crashed, and nobody else should notice.
    let mut server = TestServer::start(&Programs::find().await?, Settings::test()).await?;
    let database = TestDatabase::create(&server.url(), "chaos").await?;
    let database_url = database.url().to_owned();
    let first = Nexus::start_on_database(database, NexusOptions::default()).await?;
    let second = first.second_node(NexusOptions::default()).await?;
    let shop = Shop::open(&first.client(), 1_000_000).await?;
    let mut nodes = [first, second];
    let (addresses, hosts) = watch::channel(addresses_of(&nodes));
    let load = Arc::new(Load {
        shop,
        hosts,
        stop: AtomicBool::new(false),
        kept: Mutex::new(0),
        answered: Mutex::default(),
    });
    let mut clients: Vec<_> = (0..BUYERS)
        .map(|buyer| tokio::spawn(buy(Arc::clone(&load), buyer, Dice(seed ^ (buyer + 1)))))
        .collect();
    clients.push(tokio::spawn(confirm(Arc::clone(&load), Dice(seed ^ 98))));
    clients.push(tokio::spawn(cancel(Arc::clone(&load), Dice(seed ^ 99))));

    let mut dice = Dice(seed);
    let mut blows: BTreeMap<Blow, u32> = BTreeMap::new();
    let begun = Instant::now();
    let mut told = begun;
    while begun.elapsed() < time && clients.iter().all(|client| !client.is_finished()) {
        // The load goes on undisturbed for a while: that is the time of the system, not of an event.
        tokio::time::sleep(Duration::from_millis(dice.below(1_500))).await;
        let blow = strike(&mut nodes, &mut server, &mut dice).await?;
        *blows.entry(blow).or_default() += 1;
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            eprintln!(
                "{} of {} s, {blows:?}, {} items bought and kept",
                begun.elapsed().as_secs(),
                time.as_secs(),
                load.kept.lock().await
            );
        }
        revive(&mut nodes).await?;
        addresses.send_replace(addresses_of(&nodes));
    }
    load.stop.store(true, Ordering::SeqCst);
    // Whoever still waits asks until it is answered; a host that gives up its lease now is started again meanwhile.
    let ending = async {
        for client in &mut clients {
            client.await??;
        }
        anyhow::Ok(())
    };
    tokio::pin!(ending);
    loop {
        tokio::select! {
            ended = &mut ending => break ended?,
            () = tokio::time::sleep(LOOK) => {
                revive(&mut nodes).await?;
                addresses.send_if_modified(|known| {
                    let now = addresses_of(&nodes);
                    let moved = *known != now;
                    *known = now;
                    moved
                });
            }
        }
    }

    let audit = Audit::open(&database_url).await?;
    audit.settled().await?;
    audit.books_hold().await?;
    let kept = *load.kept.lock().await;
    let items = audit
        .count("SELECT count(*) FROM \"order\".item WHERE date_cancelled IS NULL")
        .await?;
    ensure!(items == kept, "clients were told of {kept} items, {items} exist");
    ensure!(kept > 0, "nobody bought anything");
    same_answers(&load, &nodes).await?;
    ensure!(
        blows.contains_key(&Blow::Kill) && blows.contains_key(&Blow::Freeze),
        "nothing happened: {blows:?}"
    );
    Ok(())
}

fn addresses_of(nodes: &[Nexus; 2]) -> [String; 2] {
    [nodes[0].url().to_owned(), nodes[1].url().to_owned()]
}

/// One fault, and its end.
async fn strike(nodes: &mut [Nexus; 2], server: &mut TestServer, dice: &mut Dice) -> Result<Blow> {
    let node = &mut nodes[dice.below(2) as usize];
    let blow = match dice.below(10) {
        0..=4 => Blow::Kill,
        5..=7 => Blow::Freeze,
        8 => Blow::StopDatabase,
        _ => Blow::CrashDatabase,
    };
    match blow {
        Blow::Kill => {
            node.kill()?;
            node.restart(NexusOptions::default()).await?;
        }
        // Sometimes shorter than the lease, sometimes longer: then the other one takes over.
        Blow::Freeze => {
            node.freeze()?;
            tokio::time::sleep(Duration::from_millis(100 + dice.below(8_000))).await;
            node.thaw()?;
        }
        Blow::StopDatabase => server.restart(false).await?,
        Blow::CrashDatabase => server.restart(true).await?,
    }
    Ok(blow)
}

/// Starts what has ended.
async fn revive(nodes: &mut [Nexus; 2]) -> Result<()> {
    for node in nodes {
        if node.has_ended()? {
            node.restart(NexusOptions::default()).await?;
        }
    }
    Ok(())
}

/// Buys one unit again and again, each under its own key; what was asked is asked until answered.
async fn buy(load: Arc<Load>, buyer: u64, mut dice: Dice) -> Result<()> {
    for number in 0_u64.. {
        if load.stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("buy-{buyer}-{number}");
        let body = Some(load.shop.checkout(1));
        ask(
            &load,
            &mut dice,
            &load.shop.buyer.client,
            &key,
            (Method::POST, CHECKOUT),
            body,
        )
        .await?
        .data(200);
        *load.kept.lock().await += 1;
    }
    Ok(())
}

/// Cancels some of what is bought and not confirmed.
async fn cancel(load: Arc<Load>, mut dice: Dice) -> Result<()> {
    let buyer = &load.shop.buyer.client;
    for number in 0_u64.. {
        if load.stop.load(Ordering::SeqCst) {
            break;
        }
        let Some(item) = listed(&load, &mut dice, buyer, "/api/v1/order/buyer/pending-items?limit=1")
            .await
            .pop()
        else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let path = format!("/api/v1/order/buyer/pending-items/{item}");
        let key = format!("cancel-{number}");
        let cancelled = ask(&load, &mut dice, buyer, &key, (Method::DELETE, &path), None).await?;
        match cancelled.status.as_u16() {
            200 => *load.kept.lock().await -= 1,
            // The seller was faster.
            404 | 409 => {}
            status => bail!("cancel: {status} {}", cancelled.json),
        }
    }
    Ok(())
}

/// Confirms what waits for the seller.
async fn confirm(load: Arc<Load>, mut dice: Dice) -> Result<()> {
    for number in 0_u64.. {
        if load.stop.load(Ordering::SeqCst) {
            break;
        }
        let seller = &load.shop.seller.client;
        let items = listed(&load, &mut dice, seller, "/api/v1/order/seller/pending?limit=3").await;
        if items.is_empty() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let body = json!({ "item_ids": items, "use_wallet": false, "payment_option": "system-cod" });
        let key = format!("confirm-{number}");
        let confirmed = ask(&load, &mut dice, seller, &key, (Method::POST, CONFIRM), Some(body)).await?;
        // The buyer was faster with some of them.
        ensure!(
            matches!(confirmed.status.as_u16(), 200 | 404 | 409),
            "confirm: {} {}",
            confirmed.status,
            confirmed.json
        );
    }
    Ok(())
}

/// The ids of what is listed there, as one host says; none when it does not answer.
async fn listed(load: &Load, dice: &mut Dice, client: &Client, path: &str) -> Vec<Value> {
    let host = load.hosts.borrow()[dice.below(2) as usize].clone();
    let client = client.at(&host);
    let Ok(Ok(page)) = tokio::time::timeout(IMPATIENCE, client.get(path)).await else {
        return Vec::new();
    };
    let items = page.json["data"].as_array();
    items.map_or_else(Vec::new, |items| items.iter().map(|item| item["id"].clone()).collect())
}

/// Asks one host or the other until one answers.
async fn ask(
    load: &Load,
    dice: &mut Dice,
    client: &Client,
    key: &str,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> Result<Answer> {
    let mut hosts = load.hosts.clone();
    loop {
        let host = hosts.borrow_and_update()[dice.below(2) as usize].clone();
        let client = client.at(&host).keyed(key);
        match tokio::time::timeout(IMPATIENCE, client.send(method.clone(), path, body.clone())).await {
            Ok(Ok(answer)) if !answer.asks_to_retry() => {
                let (status, json) = (answer.status, &answer.json);
                ensure!(!status.is_server_error(), "{method} {path}, key {key}: {status} {json}");
                if path == CHECKOUT && dice.below(20) == 0 {
                    load.answered.lock().await.push((key.to_owned(), answer.bytes.clone()));
                }
                return Ok(answer);
            }
            Ok(Ok(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            // Killed, frozen, or without a database: it comes back under another address, or is back there already.
            Ok(Err(_)) => drop(tokio::time::timeout(Duration::from_millis(200), hosts.changed()).await),
            Err(_) => {}
        }
    }
}

/// Whoever is asked again answers with the same bytes.
async fn same_answers(load: &Load, nodes: &[Nexus; 2]) -> Result<()> {
    for (number, (key, bytes)) in load.answered.lock().await.iter().enumerate() {
        let client = load.shop.buyer.client.at(nodes[number % 2].url()).keyed(key);
        let again = client.post(CHECKOUT, load.shop.checkout(1)).await?;
        ensure!(
            again.status == 200 && again.bytes == *bytes,
            "{key} was answered with {bytes:?}, and now with {} {:?}",
            again.status,
            again.bytes
        );
    }
    Ok(())
}
