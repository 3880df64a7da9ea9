//! The workflows of the order module, and with them those of inventory and of the ledger: checkout, confirmation, payout, rejection,
//! payment elsewhere with its report, expiry. What else may happen to a payment that is made elsewhere is in `market/elsewhere.rs`, and what
//! becomes of a parcel whose carrier is silent in `market/missing.rs`.

mod elsewhere;
mod missing;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, CHECKOUT, CONFIRM, Client, Edited, Gateway, Manner, PaidShop, UNIT};
use host_testing::{Failures, TestApp, TestHost, crash_at_each_entry, fail_each_call};
use serde_json::{Value, json};

use crate::PATIENCE;

/// How long a checkout holds its goods in these tests, and how long an order's money is kept: longer than a test takes.
const TERM: Duration = Duration::from_secs(3_600);
/// How long one attempt to pay may take: a run that passes it twice is still within the term.
const ATTEMPT: Duration = Duration::from_secs(600);
/// After this the timer of what a cancellation owes has come (`workflow/owed.rs` of the order module).
const OWED: Duration = Duration::from_secs(10);

/// After this the gateway has been asked once more about a session that is over (`workflow/collect.rs` of the order module).
const RECONCILE: Duration = Duration::from_secs(6 * 3_600);

/// How long a line waits for its seller that is paid, or to be paid at the door; and longer than a carrier has to bring a parcel once more.
const ANSWER: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A marketplace with a shop and a gateway, and its books before what is counted was bought.
struct Market {
    world: PaidShop<()>,
    before: BTreeMap<String, i64>,
    /// Whether wallets pay first.
    wallets: bool,
    /// The last run whose first charge the gateway has declined.
    declined: Mutex<String>,
    _application: Edited,
}

/// What the wallet of a buyer pays where it does not pay for all.
const SHARE: i64 = 40_000;
/// What a seller pays for an order of one unit.
const FEE: i64 = 15_000;

/// What a run's clients were told, and where its session, its line and their payments ended.
type CameTo = (Vec<u16>, Vec<String>);

async fn open(manner: Manner) -> Result<(TestHost, Market)> {
    open_with(manner, "").await
}

/// With further lines in the table of the order module.
async fn open_with(manner: Manner, lines: &str) -> Result<(TestHost, Market)> {
    let table = "[component.order.tool.nexus]\n";
    let application = Edited::marketplace(|manifest| {
        assert_eq!(manifest.matches(table).count(), 1, "the manifest has another shape");
        manifest.replace(table, &format!("{table}{lines}"))
    })?;
    let gateway = Gateway::start().await?;
    gateway.behaves(manner);
    let [term, attempt] = [TERM, ATTEMPT].map(|period| period.as_secs().to_string());
    let ours = gateway.variables();
    let mut variables: Vec<_> = ours.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend([
        ("session_seconds", &*term),
        ("escrow_seconds", &*term),
        ("attempt_seconds", &*attempt),
        // Time passes here: what signed somebody in must last.
        ("access_token_seconds", "1000000000"),
    ]);
    let host = TestHost::start(&TestApp::load_with(&application.manifest(), &variables)?).await?;
    let world = PaidShop::on(host.url(), host.database_url(), gateway).await?;
    let market = Market {
        before: BTreeMap::new(),
        wallets: false,
        declined: Mutex::default(),
        world,
        _application: application,
    };
    Ok((host, market))
}

async fn post(client: &Client, run: &str, path: &str, body: &Value) -> Result<Answer> {
    let client = client.keyed(&format!("{path}-{run}"));
    client.post_until_answered(path, body, PATIENCE).await
}

impl Market {
    /// Checks out one unit, paid under this option, or under this one and from the wallet.
    async fn check_out(&self, run: &str, option: &str) -> Result<Answer> {
        post(self.world.buyer(), run, CHECKOUT, &self.checkout(option)).await
    }

    fn checkout(&self, option: &str) -> Value {
        let mut body = self.world.shop.checkout(1);
        body["payment_option"] = json!(option);
        body["use_wallet"] = json!(self.wallets);
        body
    }

    /// The seller's word about the line of a session.
    async fn answer(&self, run: &str, session: &str, path: &str, option: &str) -> Result<Answer> {
        let item = self.world.item_of(session).await?;
        let body = json!({ "item_ids": [item], "use_wallet": self.wallets, "payment_option": option });
        post(self.world.seller(), run, path, &body).await
    }

    /// This period, once all is at rest.
    async fn time_passes(&self, host: &TestHost, period: Duration) -> Result<()> {
        host.settled().await?;
        let over = period + Duration::from_secs(1);
        self.world.gateway.skip(over);
        host.skip(over).await?;
        host.settled().await
    }

    /// What it came to in the end. The timer of what was owed comes in the run that owes it: in a later one its calls would be taken for
    /// that one's.
    async fn came_to(&self, host: &TestHost, session: &str, answers: &[&Answer]) -> Result<CameTo> {
        self.time_passes(host, OWED).await?;
        books_hold(host, &self.world).await?;
        let statuses = answers.iter().map(|answer| answer.status.as_u16());
        Ok((statuses.collect(), self.ended(host, session).await?))
    }

    /// Where a session, its line and their payments ended.
    async fn ended(&self, host: &TestHost, session: &str) -> Result<Vec<String>> {
        let rows = format!(
            "WITH line AS (SELECT * FROM \"order\".item WHERE payment_session_id::text = '{session}')
             SELECT 'session ' || status FROM \"order\".payment_session WHERE id::text = '{session}'
                 OR id IN (SELECT confirm_session_id FROM line) OR id IN (SELECT order_id FROM line)
             UNION ALL SELECT 'line, cancelled: ' || (date_cancelled IS NOT NULL) FROM line
             UNION ALL SELECT 'stock ' || state FROM inventory.reservation WHERE id IN (SELECT reservation_id FROM line)
             UNION ALL SELECT 'paid ' || status || ' ' || amount FROM \"order\".transaction WHERE session_id::text = '{session}'
             UNION ALL SELECT 'parcel ' || status || CASE WHEN tracking_code IS NULL THEN '' ELSE ', booked' END FROM \"order\".transport
                 WHERE id IN (SELECT o.transport_id FROM \"order\".\"order\" o JOIN line ON line.order_id = o.id)
             UNION ALL SELECT 'flow ' || function FROM host.workflow
                 WHERE id = '{session}' OR id IN (SELECT confirm_session_id::text FROM line) OR id IN (SELECT order_id::text FROM line)
             ORDER BY 1"
        );
        host.texts(&rows).await
    }

    /// Paid at the door, confirmed, delivered, paid out.
    async fn at_the_door(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let placed = self.check_out(run, "system-cod").await?;
        let session = session(&placed);
        if session.is_empty() {
            return self.came_to(host, session, &[&placed]).await;
        }
        let confirmed = self.answer(run, session, CONFIRM, "system-cod").await?;
        self.parcel(host, session, "delivered").await?;
        // The timer of the checkout comes in this run, too.
        self.time_passes(host, ANSWER).await?;
        self.came_to(host, session, &[&placed, &confirmed]).await
    }

    /// The drivers report this of the parcel of a session's line, if there is one.
    async fn parcel(&self, host: &TestHost, session: &str, status: &str) -> Result<()> {
        host.settled().await?;
        let order = format!(
            "SELECT order_id::text FROM \"order\".item WHERE payment_session_id = '{session}' AND order_id IS NOT NULL"
        );
        match host.texts(&order).await?.pop() {
            Some(order) => self.world.parcel(&order, status).await,
            None => Ok(()),
        }
    }

    /// What a flow begins with: a checkout that is to be paid at the door, and its seller's word. The session of the checkout.
    async fn confirmed(&self, host: &TestHost, run: &str) -> Result<String> {
        let confirmed = async {
            let placed = self.check_out(run, "system-cod").await?;
            let session = placed.text(200, "checkout_session_id");
            self.answer(run, &session, CONFIRM, "system-cod").await?.data(200);
            Ok(session)
        };
        host.aside(confirmed).await
    }

    /// To be paid at the door, and no seller wants it.
    async fn unwanted(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let placed = host.aside(self.check_out(run, "system-cod")).await?;
        let session = placed.text(200, "checkout_session_id");
        self.time_passes(host, ANSWER).await?;
        self.came_to(host, &session, &[]).await
    }

    /// It is paid, and the gateway has reported it; or given up when the goods cannot be had any more.
    async fn is_decided(&self, host: &TestHost, session: &str) -> Result<()> {
        let decided = format!(
            "SELECT count(*) FROM \"order\".payment_session WHERE id::text = '{session}'
                 AND status IN ('Success', 'Failed', 'Cancelled')"
        );
        host.becomes(&decided, 1).await
    }

    /// Paid at the gateway, which reports it, and then rejected: the buyer has the money back.
    async fn rejected(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let placed = self.check_out(run, "sandbox-redirect").await?;
        let session = session(&placed);
        if session.is_empty() {
            // One whose charge was declined or not taken lives on, and ends unpaid.
            self.time_passes(host, TERM).await?;
            self.time_passes(host, RECONCILE).await?;
            return self.came_to(host, session, &[&placed]).await;
        }
        self.is_decided(host, session).await?;
        let rejected = self.answer(run, session, REJECT, "").await?;
        self.came_to(host, session, &[&placed, &rejected]).await
    }

    /// To be paid at the gateway, and not paid. The gateway is asked once more in the run that ends it: in a later one that would be taken for its call.
    async fn unpaid(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let placed = self.check_out(run, "sandbox-redirect").await?;
        self.time_passes(host, TERM).await?;
        self.time_passes(host, RECONCILE).await?;
        self.came_to(host, session(&placed), &[&placed]).await
    }
}

/// The same with wallets that hold something.
impl Market {
    /// What the wallets of buyer and seller hold is among what it came to.
    async fn with_wallets(&self, came_to: CameTo) -> Result<CameTo> {
        let (statuses, mut rows) = came_to;
        for person in [&self.world.shop.buyer, &self.world.shop.seller] {
            let wallet = person
                .client
                .get_until_answered("/api/v1/account/wallet", PATIENCE)
                .await?;
            rows.push(format!("wallet {}", wallet.data(200)));
        }
        Ok((statuses, rows))
    }

    async fn fill(&self, run: &str, buyer: i64, seller: i64) -> Result<()> {
        let shop = &self.world.shop;
        self.world.audit.fill_wallet(&shop.buyer.id, buyer, run).await?;
        self.world.audit.fill_wallet(&shop.seller.id, seller, run).await
    }

    /// The buyer's wallet pays for all, and the seller's for the fee: confirmed, delivered, paid out.
    async fn wallets_pay(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, UNIT, FEE).await?;
        let placed = self.check_out(run, "").await?;
        let session = session(&placed);
        let came_to = if session.is_empty() {
            self.came_to(host, session, &[&placed]).await?
        } else {
            let confirmed = self.answer(run, session, CONFIRM, "").await?;
            self.parcel(host, session, "delivered").await?;
            self.time_passes(host, TERM).await?;
            self.came_to(host, session, &[&placed, &confirmed]).await?
        };
        self.with_wallets(came_to).await
    }

    /// The wallet pays a part and the gateway takes the rest; no seller wants it, and the buyer has both back.
    async fn rejected_with_wallet(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, 0).await?;
        let came_to = self.rejected(host, run).await?;
        self.with_wallets(came_to).await
    }

    /// The wallet holds a part, and nobody pays the rest: it lets go of it.
    async fn unpaid_with_wallet(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, 0).await?;
        let came_to = self.unpaid(host, run).await?;
        let came_to = self.with_wallets(came_to).await?;
        // So that the next run, too, begins with a transfer.
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }

    /// The wallet has paid a part, the carrier was to collect the rest, and no seller wants it.
    async fn unwanted_with_wallet(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, 0).await?;
        let placed = self.check_out(run, "system-cod").await?;
        self.time_passes(host, ANSWER).await?;
        let came_to = self.came_to(host, session(&placed), &[&placed]).await?;
        let came_to = self.with_wallets(came_to).await?;
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }
}

/// What comes to nothing without anybody's word.
impl Market {
    /// Paid at the gateway, and its seller is silent: the buyer has the money back.
    async fn unanswered(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        let session = self.paid(host, run).await?;
        self.time_passes(host, ANSWER).await?;
        self.came_to(host, &session, &[]).await
    }

    /// A share from the wallet, the rest at the door, and the parcel is lost on its way there: the share goes back.
    async fn lost(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        self.fill(run, SHARE, FEE).await?;
        let session = self.confirmed(host, run).await?;
        self.parcel(host, &session, "failed").await?;
        self.time_passes(host, ANSWER).await?;
        let came_to = self.came_to(host, &session, &[]).await?;
        let came_to = self.with_wallets(came_to).await?;
        self.fill(&format!("after-{run}"), 0, 0).await?;
        Ok(came_to)
    }
}

const REJECT: &str = "/api/v1/order/seller/pending/reject";

/// Empty when there is none.
fn session(placed: &Answer) -> &str {
    placed.json["data"]["checkout_session_id"].as_str().unwrap_or_default()
}

/// Flows that no session's id leads to. There are none: one that is started again is the one that there is.
const STRAYS: &str = "SELECT count(*) FROM host.invocation WHERE function LIKE 'shop:order/workflows%'
    AND id NOT IN (SELECT invocation_id FROM host.workflow)";

/// At rest, nothing is stuck, no session has two flows, and the books of stock, of money and of the gateway agree.
async fn books_hold(host: &TestHost, world: &PaidShop<()>) -> Result<()> {
    host.settled().await?;
    ensure!(
        world.audit.count(STRAYS).await? == 0,
        "a flow beside the one of its session"
    );
    world.audit.books_hold().await?;
    world.audit.money_holds(&world.gateway).await
}

/// By how much each of so many equal runs changed every table.
async fn changed(market: &Market, runs: u32) -> Result<BTreeMap<String, i64>> {
    let mut changes = BTreeMap::new();
    for (what, count) in market.world.audit.tally().await? {
        let change = count - market.before.get(&what).copied().unwrap_or(0);
        ensure!(change % i64::from(runs) == 0, "{what}: {change} more in {runs} runs");
        changes.insert(what, change / i64::from(runs));
    }
    Ok(changes)
}

async fn survives(
    manner: Manner,
    flow: impl AsyncFn(&Market, &TestHost, &str) -> Result<CameTo>,
    at_least: u32,
) -> Result<Failures> {
    let (host, market) = open(manner).await?;
    survives_in(host, market, flow, at_least).await
}

/// The same where wallets pay first.
async fn survives_with_wallets(
    manner: Manner,
    flow: impl AsyncFn(&Market, &TestHost, &str) -> Result<CameTo>,
    at_least: u32,
) -> Result<Failures> {
    let (host, mut market) = open(manner).await?;
    market.wallets = true;
    survives_in(host, market, flow, at_least).await
}

async fn survives_in(
    mut host: TestHost,
    mut market: Market,
    flow: impl AsyncFn(&Market, &TestHost, &str) -> Result<CameTo>,
    at_least: u32,
) -> Result<Failures> {
    // The books of the ledger are opened by whom they are first of use to.
    flow(&market, &host, "first").await.context("the first time")?;
    market.before = market.world.audit.tally().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| {
        market.world.reconnect(host.url());
        let came_to = flow(&market, host, &format!("run-{run}")).await?;
        Ok((came_to, changed(&market, run + 1).await?))
    });
    let moments = moments.await?;
    market.world.reconnect(host.url());
    let failures = fail_each_call(
        &host,
        async |host: &TestHost, run| flow(&market, host, &format!("failing-{run}")).await,
        // What a flow came to is told by the books, which held.
        async |_: &TestHost| Ok(()),
    );
    let failures = failures.await?;
    eprintln!("{moments} moments, {failures:?}");
    ensure!(moments >= at_least, "only {moments} moments");
    ensure!(failures.transient >= 5 && failures.declared >= 3, "{failures:?}");
    Ok(failures)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_its_confirmation_and_its_payout() -> Result<()> {
    survives(Manner::Waits, Market::at_the_door, 20).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_no_seller_confirms() -> Result<()> {
    survives(Manner::Waits, Market::unwanted, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_pays() -> Result<()> {
    survives(Manner::Waits, Market::unpaid, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_and_a_confirmation_that_wallets_pay_for() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::wallets_pay, 20).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_a_wallet_and_a_gateway_pay_for_and_that_is_rejected() -> Result<()> {
    survives_with_wallets(Manner::Pays, Market::rejected_with_wallet, 24).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_wallet_pays_its_share_and_whose_rest_nobody_pays() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::unpaid_with_wallet, 16).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_wallet_pays_its_share_and_whose_rest_is_never_collected() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::unwanted_with_wallet, 12).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_checkout_whose_seller_is_silent() -> Result<()> {
    survives(Manner::Waits, Market::unanswered, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_whose_parcel_is_lost() -> Result<()> {
    survives_with_wallets(Manner::Waits, Market::lost, 4).await?;
    Ok(())
}

const CHARGE: &str = "payment-sandbox:shop:payment/provider@0.1.0.charge";
const PAUSED: &str = "SELECT id::text FROM host.invocation WHERE status = 'paused'";
/// What waits for a gateway that is away is soon left to a person.
const GIVES_UP_SOON: &str = "request_timeout_ms = 1000\nretry = { attempts = 3 }\n";

impl Market {
    /// What a flow begins with: a checkout whose gateway is away, and which waits for a person. `None`: one has set it going.
    async fn stuck(&self, host: &TestHost, run: &str) -> Result<Option<String>> {
        let client = self.world.buyer().keyed(&format!("{CHECKOUT}-{run}"));
        // It goes on without its buyer, whatever he is told meanwhile.
        host.aside(client.post(CHECKOUT, self.checkout("sandbox-redirect")))
            .await?;
        Ok(host.texts(PAUSED).await?.pop())
    }

    /// A person answers for the gateway, sees the answer, and sets the checkout going.
    async fn is_answered_for(&self, host: &TestHost, run: &str) -> Result<CameTo> {
        if let Some(id) = self.stuck(host, run).await? {
            let answer = json!({ "ok": { "settled": run } });
            host.answer(&id, CHARGE, &answer).await?;
            // Once more, as who has not seen what became of the first word: that changes nothing.
            host.answer(&id, CHARGE, &answer).await?;
            host.resume(&id).await?;
        }
        let placed = self.check_out(run, "sandbox-redirect").await?;
        host.settled().await?;
        host.nothing_is_stuck().await?;
        // Of the gateway's books there is nothing to say: it was never asked.
        self.world.audit.books_hold().await?;
        let ended = self.ended(host, session(&placed)).await?;
        Ok((vec![placed.status.as_u16()], ended))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_a_person_answers_for() -> Result<()> {
    let (mut host, mut market) = open_with(Manner::Waits, GIVES_UP_SOON).await?;
    market.world.gateway.goes_down().await;
    market.is_answered_for(&host, "first").await.context("the first time")?;
    market.before = market.world.audit.tally().await?;
    let moments = crash_at_each_entry(&mut host, async |host, run| {
        market.world.reconnect(host.url());
        let came_to = market.is_answered_for(host, &format!("run-{run}")).await?;
        ensure!(came_to.0 == [200], "{came_to:?}");
        Ok((came_to, changed(&market, run + 1).await?))
    });
    let moments = moments.await?;
    // The answer, the resumption, the commits of what follows them, and the outputs.
    ensure!(moments >= 12, "only {moments} moments");
    Ok(())
}

/// A checkout whose gateway is away, stopped and set going by a person, who then answers for the gateway; and one that is given up after
/// it was paused. The ids of both.
pub(crate) async fn repaired() -> Result<(TestHost, String, String)> {
    let (host, mut market) = open_with(Manner::Waits, GIVES_UP_SOON).await?;
    market.world.gateway.goes_down().await;
    let mut body = market.world.shop.checkout(1);
    body["payment_option"] = json!("sandbox-redirect");
    let mut ids = Vec::new();
    for run in ["answered", "cancelled"] {
        let refused = market.world.buyer().keyed(run).post(CHECKOUT, body.clone()).await?;
        ensure!(refused.status == 503, "{}", refused.json);
        host.becomes("SELECT count(*) FROM host.invocation WHERE status = 'paused'", 1)
            .await?;
        let id = host.texts(PAUSED).await?.pop().context("a paused invocation")?;
        if run == "answered" {
            host.answer(&id, CHARGE, &json!({ "ok": { "settled": "R-1" } })).await?;
            host.resume(&id).await?;
        } else {
            host.cancel(&id).await?;
        }
        host.settled().await?;
        ids.push(id);
    }
    host.nothing_is_stuck().await?;
    market.world.audit.books_hold().await?;
    let [answered, cancelled] = <[String; 2]>::try_from(ids).map_err(|ids| anyhow::anyhow!("{ids:?}"))?;
    Ok((host, answered, cancelled))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_answers_is_answered_or_given_up_by_a_person() -> Result<()> {
    let (host, answered, cancelled) = repaired().await?;
    for (id, status) in [(answered, "completed"), (cancelled, "cancelled")] {
        let ended = format!("SELECT status::text FROM host.invocation WHERE id = '{id}'");
        ensure!(host.texts(&ended).await? == [status]);
    }
    Ok(())
}
