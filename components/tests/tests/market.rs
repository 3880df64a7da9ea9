//! The application of the comparison with Restate (`host/bench/market`) does what is measured there: each checkout makes its two
//! transactions in two modules once, whenever the host is killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Audit, Nexus, NexusOptions, guest};
use serde_json::{Value, json};
use tempfile::TempDir;

const GUESTS: [&str; 5] = [
    "guest-bench-checkout",
    "guest-bench-link",
    "guest-bench-leaf",
    "guest-bench-stock",
    "guest-bench-orders",
];
/// Where the benchmark builds them, as its manifest says.
const BUILT: &str = "../../../target/wasm32-wasip2/guest/";
/// A checkout has fewer: one that never ends would be a bug of the test.
const POINTS: u32 = 40;
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

/// The application's folder: its manifest beside the components' bytes and the migrations.
struct Application {
    folder: TempDir,
}

impl Application {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/bench/market");
        for name in GUESTS {
            let wasm = format!("{}.wasm", name.replace('-', "_"));
            std::fs::copy(guest(name)?, folder.path().join(wasm))?;
        }
        for schema in ["stock", "orders"] {
            let migrations = Path::new("migrations").join(schema);
            std::fs::create_dir_all(folder.path().join(&migrations))?;
            for file in std::fs::read_dir(source.join(&migrations))? {
                let file = file?;
                std::fs::copy(file.path(), folder.path().join(&migrations).join(file.file_name()))?;
            }
        }
        let manifest = std::fs::read_to_string(source.join("spin.toml"))?;
        ensure!(manifest.contains(BUILT), "the manifest does not name {BUILT}");
        std::fs::write(folder.path().join("spin.toml"), manifest.replace(BUILT, ""))?;
        Ok(Self { folder })
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }
}

/// A reservation, a purchase that names it, and no trace of another.
async fn is_in_the_books(nexus: &Nexus, item: i64, buyer: i64) -> Result<()> {
    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    let amount = (100 + item % 900) * 2;
    for (what, count) in [
        ("stock.reservation", 1),
        ("orders.purchase", 1),
        ("stock.item WHERE available <> 1000000000", 1),
        ("orders.buyer WHERE spent_amount <> 0", 1),
        (
            &format!("stock.item WHERE id = {item} AND available = 1000000000 - 2"),
            1,
        ),
        (
            &format!("orders.buyer WHERE id = {buyer} AND spent_amount = {amount}"),
            1,
        ),
        (
            "stock.reservation r JOIN orders.purchase p ON p.reservation_id = r.id AND r.quantity = 2",
            1,
        ),
        ("host.invocation WHERE component = 'checkout'", 1),
    ] {
        let found = audit.count(&format!("SELECT count(*) FROM {what}")).await?;
        ensure!(found == count, "{what}: {found}, not {count}");
    }
    Ok(())
}

fn checkout() -> Value {
    json!({ "item": 17, "quantity": 2, "buyer": 23 })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_has_four_links_and_a_repeated_key_makes_nothing_new() -> Result<()> {
    let application = Application::new()?;
    let nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
    let client = nexus.client();
    let empty = client.keyed("empty").post("/market/empty", json!(7)).await?;
    assert_eq!(*empty.data(200), json!(7));
    let chain = client.keyed("chain").post("/market/chain", json!(7)).await?;
    assert_eq!(*chain.data(200), json!(11));
    let first = client.keyed("checkout").post("/market/checkout", checkout()).await?;
    assert_eq!(first.data(200)["amount"], json!(234));
    let again = client.keyed("checkout").post("/market/checkout", checkout()).await?;
    assert_eq!(first.data(200), again.data(200));
    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    // Each was durable, the empty one too: that is what is compared.
    let kept = audit.count("SELECT count(*) FROM host.invocation WHERE status = 'completed'");
    assert_eq!(kept.await?, 3);
    assert_eq!(audit.count("SELECT count(*) FROM orders.purchase").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_transactions_in_two_modules_survive_a_kill_at_every_point() -> Result<()> {
    let application = Application::new()?;
    for point in 1..=POINTS {
        let mut nexus = Nexus::start_application(&application.manifest(), NexusOptions::default()).await?;
        nexus.kill()?;
        let dying = NexusOptions::with(&[("NEXUS_DIE_AT", point)]);
        nexus.restart(dying).await?;
        let answered = nexus.client().keyed("once").post("/market/checkout", checkout()).await;
        // A kill reaches the client before the parent: only an answer says that there was none.
        if let Ok(answer) = answered
            && !nexus.has_ended()?
        {
            answer.data(200);
            ensure!(
                point > 4,
                "only {} points were reached: the hook is not compiled in",
                point - 1
            );
            return is_in_the_books(&nexus, 17, 23).await;
        }
        let _ = nexus.ended().await?;
        nexus.restart(NexusOptions::default()).await?;
        let client = nexus.client().keyed("once");
        let answer = client
            .post_until_answered("/market/checkout", &checkout(), PATIENCE)
            .await?;
        ensure!(
            answer.status == 200,
            "killed at point {point}: {} {}",
            answer.status,
            answer.json
        );
        is_in_the_books(&nexus, 17, 23)
            .await
            .map_err(|error| error.context(format!("killed at point {point}")))?;
    }
    anyhow::bail!("the checkout has more than {POINTS} points")
}
