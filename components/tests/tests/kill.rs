//! A real process, killed at random moments under concurrent checkouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions, Shop};
use tokio::sync::watch;

/// How often it is killed. `NEXUS_TEST_KILLS` changes it.
const KILLS: u32 = 100;
/// Buyers at once.
const BUYERS: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_process_is_killed_at_random() -> Result<()> {
    let kills = std::env::var("NEXUS_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    let mut nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 100_000).await?;
    let (address, watched) = watch::channel(nexus.url().to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicU32::new(0));
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            tokio::spawn(buy(
                buyer,
                shop.clone(),
                watched.clone(),
                Arc::clone(&stop),
                Arc::clone(&accepted),
            ))
        })
        .collect();
    // Reproducible moments, spread over what a checkout and a start take.
    let mut moment: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..kills {
        moment = moment
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_micros(moment >> 46)).await;
        nexus.kill()?;
        nexus.restart(NexusOptions::default()).await?;
        address.send_replace(nexus.url().to_owned());
    }
    stop.store(true, Ordering::SeqCst);
    for buyer in buyers {
        buyer.await??;
    }
    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await?;
    let accepted = i64::from(accepted.load(Ordering::SeqCst));
    let items = audit
        .count("SELECT count(*) FROM \"order\".item WHERE date_cancelled IS NULL")
        .await?;
    ensure!(accepted > 0, "nobody bought anything");
    ensure!(
        items == accepted,
        "{accepted} checkouts were accepted, {items} items exist"
    );
    Ok(())
}

/// Buys one unit again and again, each under its own key, until it is told to stop; what was asked is asked until answered.
async fn buy(
    buyer: u32,
    shop: Shop,
    mut address: watch::Receiver<String>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU32>,
) -> Result<()> {
    for number in 0_u32.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("{buyer}-{number}");
        loop {
            let client = shop.at(&address.borrow_and_update().clone()).buyer.client.keyed(&key);
            match client.post("/api/v1/order/buyer/checkout", shop.checkout(1)).await {
                Ok(answer) if answer.status == 200 => {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Ok(answer) => {
                    ensure!(answer.asks_to_retry(), "{} {}", answer.status, answer.json);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // Killed: it comes back under another address, or is back there already.
                Err(_) => drop(tokio::time::timeout(Duration::from_millis(200), address.changed()).await),
            }
        }
    }
    Ok(())
}
