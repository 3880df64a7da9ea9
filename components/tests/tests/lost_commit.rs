//! The connection is cut right before a commit reaches the database, or right after the database has answered it: the request
//! ends as if nothing had been, once. And how many commits there are to be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, Audit, Client, Commit, Fault, Nexus, NexusOptions, Shop};
use serde_json::{Value, json};

/// No flow here commits more often: one that never ends would be a bug of the test.
const COMMITS: u32 = 40;
/// How long the host may take to find out what became of a commit.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of the next request, once what it needs is there.
type Prepared = Pin<Box<dyn Future<Output = Result<Value>> + Send>>;

/// A request under test.
struct Scenario {
    path: &'static str,
    status: u16,
    client: fn(&Shop) -> Client,
    /// The body of the request of this number.
    prepare: fn(Shop, u32) -> Prepared,
    /// The answer can be read again under its key.
    is_kept: bool,
}

/// A marketplace whose way to the database can be cut.
struct Market {
    nexus: Nexus,
    shop: Shop,
    audit: Audit,
    requests: u32,
}

/// What a request has added, by table.
type Added = BTreeMap<String, i64>;

impl Scenario {
    async fn survives_every_commit(&self) -> Result<()> {
        let nexus = Nexus::start_behind_proxy().await?;
        let shop = Shop::open(&nexus.client(), 1_000).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        let mut market = Market {
            nexus,
            shop,
            audit,
            requests: 0,
        };
        let (expected, none) = self.cut(&mut market, None, true).await?;
        ensure!(none.is_none());
        for is_keyed in [true, false] {
            for fault in [Fault::Before, Fault::After] {
                let mut hits = Vec::new();
                for nth in 1..=COMMITS {
                    let what = format!("cut {fault:?} commit {nth}, keyed: {is_keyed}");
                    let (added, hit) = self
                        .cut(&mut market, Some((fault, nth)), is_keyed)
                        .await
                        .with_context(|| what.clone())?;
                    ensure!(added == expected, "{what}: added {added:?} instead of {expected:?}");
                    match hit {
                        Some(hit) => hits.push(hit),
                        None => break,
                    }
                }
                ensure!(hits.len() < COMMITS as usize, "more than {COMMITS} commits");
                // The output at least is written on its own.
                for kind in [Commit::Transaction, Commit::Journal] {
                    ensure!(hits.contains(&kind), "no commit of the kind {kind:?} was cut: {hits:?}");
                }
            }
        }
        market.audit.books_hold().await
    }

    /// One more request; what it added, and which commit was cut off, if there was one of that number.
    async fn cut(
        &self,
        market: &mut Market,
        cut: Option<(Fault, u32)>,
        is_keyed: bool,
    ) -> Result<(Added, Option<Commit>)> {
        let Market {
            nexus,
            shop,
            audit,
            requests,
        } = market;
        *requests += 1;
        let body = (self.prepare)(shop.clone(), *requests).await?;
        audit.settled().await?;
        let before = audit.tally().await?;
        if let Some((fault, nth)) = cut {
            nexus.proxy().arm(fault, nth);
        }
        let anonymous = (self.client)(shop);
        let client = match is_keyed {
            true => anonymous.keyed(&format!("request-{requests}")),
            false => anonymous,
        };
        let first = client.post(self.path, body.clone()).await?;
        self.check(&first)?;
        if is_keyed {
            self.asked_again(&client, &body, &first).await?;
        }
        // The output may be written after the answer: that commit, too, can be the one.
        audit.settled().await?;
        let hit = nexus.proxy().disarm();
        audit.books_hold().await?;
        let mut added = audit.tally().await?;
        for (table, rows) in &mut added {
            *rows -= before[table];
        }
        Ok((added, hit))
    }

    /// The answer, or the word that it is on its way.
    fn check(&self, first: &Answer) -> Result<()> {
        let waits = first.status == 503 && first.headers.contains_key("retry-after");
        ensure!(first.status == self.status || waits, "{} {}", first.status, first.json);
        Ok(())
    }

    async fn asked_again(&self, client: &Client, body: &Value, first: &Answer) -> Result<()> {
        let again = client.post_until_answered(self.path, body, PATIENCE).await?;
        if !self.is_kept {
            again.failed(409, "idempotency_key_spent");
            return Ok(());
        }
        again.data(self.status);
        if first.status == self.status {
            assert_eq!(again.bytes, first.bytes, "another answer than the first");
            assert_eq!(again.headers["x-invocation-id"], first.headers["x-invocation-id"]);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_survives_every_lost_commit() -> Result<()> {
    let scenario = Scenario {
        path: "/api/v1/order/buyer/checkout",
        status: 200,
        client: |shop| shop.buyer.client.clone(),
        prepare: |shop, _| Box::pin(async move { Ok(shop.checkout(2)) }),
        is_kept: true,
    };
    scenario.survives_every_commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_survives_every_lost_commit() -> Result<()> {
    let scenario = Scenario {
        path: "/api/v1/order/seller/pending/confirm",
        status: 200,
        client: |shop| shop.seller.client.clone(),
        prepare: |shop, _| {
            Box::pin(async move {
                shop.buyer
                    .client
                    .post("/api/v1/order/buyer/checkout", shop.checkout(2))
                    .await?
                    .data(200);
                let waiting = shop.seller.client.get("/api/v1/order/seller/pending").await?;
                let item = waiting.data(200)[0]["id"].clone();
                Ok(json!({ "item_ids": [item], "use_wallet": false, "payment_option": "system-cod" }))
            })
        },
        is_kept: true,
    };
    scenario.survives_every_commit().await
}

/// What a sensitive route did is erased by the very commit whose acknowledgement is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_survives_every_lost_commit() -> Result<()> {
    let scenario = Scenario {
        path: "/api/v1/account/auth/register/basic",
        status: 201,
        client: |shop| shop.buyer.client.signed_out(),
        prepare: |_, number| {
            let username = format!("newcomer{number}");
            Box::pin(async move { Ok(json!({ "username": username, "password": "correct-horse", "country": "VN" })) })
        },
        is_kept: false,
    };
    scenario.survives_every_commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_with_its_one_transaction_waits_for_one_commit_and_costs_two() -> Result<()> {
    const IMPORT: &str = "/api/v1/inventory/stock/import";
    let mut nexus = Nexus::start_behind_proxy().await?;
    let shop = Shop::open(&nexus.client(), 20).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    let body = json!({ "ref_id": shop.sku, "ref_type": "ProductSku", "change": 3 });
    for is_keyed in [false, true] {
        let seller = shop.seller.client.at(nexus.url());
        let client = |key: &str| match is_keyed {
            true => seller.keyed(key),
            false => seller.clone(),
        };
        audit.settled().await?;
        nexus.proxy().disarm();
        let answer = client("counted").post(IMPORT, body.clone()).await?;
        answer.data(200);
        audit.settled().await?;
        let commits = nexus.proxy().commits();
        assert_eq!(commits, [Commit::Transaction, Commit::Journal], "keyed: {is_keyed}");

        // All but the output, which is the last entry, was written with the stock.
        let invocation = answer.headers["x-invocation-id"].to_str()?;
        let written = format!(
            "SELECT xmin::text AS writer FROM inventory.stock_history WHERE reference = '{invocation}'
             UNION ALL SELECT xmin::text FROM host.idempotency_key WHERE invocation_id = '{invocation}'
             UNION ALL (SELECT xmin::text FROM host.journal_entry WHERE invocation_id = '{invocation}'
                        ORDER BY entry_index DESC OFFSET 1)"
        );
        let written = audit.texts(&written).await?;
        let writers: BTreeSet<&String> = written.iter().collect();
        ensure!(
            writers.len() == 1 && written.len() > 2 + usize::from(is_keyed),
            "keyed: {is_keyed}: by the transactions {written:?}"
        );

        // The answer is given while the second commit does not come about.
        nexus.proxy().arm(Fault::Hold, 2);
        client("held").post(IMPORT, body.clone()).await?.data(200);
        assert_eq!(nexus.proxy().hit().await, Commit::Journal, "keyed: {is_keyed}");
        nexus.restart(NexusOptions::default()).await?;
    }
    let shop = shop.at(nexus.url());
    assert_eq!(shop.stock().await?, (32, 0));
    audit.settled().await?;
    audit.books_hold().await
}
