//! A marketplace beside a gateway, with a seller who has stock and a buyer.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Answer, Audit, Client, Edited, Gateway, Listing, Nexus, Shop, courier};

/// Where a buyer checks out.
pub const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
/// Where a seller confirms.
pub const CONFIRM: &str = "/api/v1/order/seller/pending/confirm";
/// Of one unit: its price, and the flat rate of 800 g.
pub const UNIT: i64 = 115_000;
/// Units in stock at first.
pub const STOCK: i64 = 1_000;

/// The marketplace with its gateway, on a host that this keeps, or that its test does.
pub struct PaidShop<H = Nexus> {
    /// The marketplace.
    pub nexus: H,
    /// Where its buyers pay.
    pub gateway: Gateway,
    /// Who trades.
    pub shop: Shop,
    /// Its books.
    pub audit: Audit,
    /// Variables of every start.
    variables: Vec<(&'static str, &'static str)>,
    _application: Option<Edited>,
}

/// A session and where it is paid.
pub struct Opened {
    /// The session.
    pub session: String,
    /// Where it is paid.
    pub url: String,
}

impl Opened {
    /// What a checkout or a confirmation answered; `session` is the key of its session.
    #[track_caller]
    pub fn read(answer: &Answer, session: &str) -> Self {
        Self {
            session: answer.text(200, session),
            url: answer.text(200, "payment_url"),
        }
    }
}

impl PaidShop {
    /// With these variables, and every wait suspended at once.
    pub async fn start(variables: &[(&'static str, &'static str)]) -> Result<Self> {
        Self::start_with(variables, "wait_hold_ms = 0").await
    }

    /// With further lines in the table of the order module.
    pub async fn start_with(variables: &[(&'static str, &'static str)], lines: &str) -> Result<Self> {
        let table = "[component.order.tool.nexus]\n";
        let application = Edited::marketplace(|manifest| {
            assert_eq!(manifest.matches(table).count(), 1, "the manifest has another shape");
            manifest.replace(table, &format!("{table}{lines}\n"))
        })?;
        let gateway = Gateway::start().await?;
        let nexus = Nexus::start_application(&application.manifest(), gateway.options(variables)).await?;
        gateway.reports_to(nexus.url());
        let shop = Shop::open(&nexus.client(), STOCK).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self {
            nexus,
            gateway,
            shop,
            audit,
            variables: variables.to_vec(),
            _application: Some(application),
        })
    }

    /// Starts the host again, with these variables besides.
    pub async fn restart(&mut self, further: &[(&str, &str)]) -> Result<()> {
        let all: Vec<_> = self.variables.iter().chain(further).copied().collect();
        self.nexus.restart(self.gateway.options(&all)).await?;
        self.gateway.reports_to(self.nexus.url());
        self.shop = self.shop.at(self.nexus.url());
        Ok(())
    }
}

impl PaidShop<()> {
    /// On a host that listens here, has its books there, and knows the gateway.
    pub async fn on(url: &str, database_url: &str, gateway: Gateway) -> Result<Self> {
        gateway.reports_to(url);
        Ok(Self {
            nexus: (),
            gateway,
            shop: Shop::open(&Client::new(url), STOCK).await?,
            audit: Audit::open(database_url).await?,
            variables: Vec::new(),
            _application: None,
        })
    }

    /// With connections of its own: the host was started again, under the address it had.
    pub fn reconnect(&mut self, url: &str) {
        self.shop = self.shop.at(url);
    }
}

impl<H> PaidShop<H> {
    /// Who buys.
    pub fn buyer(&self) -> &Client {
        &self.shop.buyer.client
    }

    /// Who sells.
    pub fn seller(&self) -> &Client {
        &self.shop.seller.client
    }

    /// The body of a checkout that is paid at the gateway.
    pub fn checkout(&self, quantity: i64) -> Value {
        let mut body = self.shop.checkout(quantity);
        body["payment_option"] = json!("sandbox-redirect");
        body
    }

    /// Checks out one unit, as far as the address of its payment.
    pub async fn opens(&self) -> Result<Opened> {
        let answer = self.buyer().post(CHECKOUT, self.checkout(1)).await?;
        Ok(Opened::read(&answer, "checkout_session_id"))
    }

    /// The checkout that the buyer finds among what is pending and still has to pay for, if there is one.
    pub async fn unpaid(&self) -> Result<Option<String>> {
        let pending = self.buyer().get("/api/v1/order/buyer/pending-items?limit=100").await?;
        let lines = pending.data(200).as_array().context("a list")?;
        let mut sessions = lines.iter().map(|line| &line["payment_session"]);
        let unpaid = sessions.find(|session| session["status"] == "Pending");
        Ok(unpaid.and_then(|session| session["id"].as_str()).map(str::to_owned))
    }

    /// Checks out one unit and pays it. Returns the session and its line.
    pub async fn pays(&self) -> Result<(String, i64)> {
        let opened = self.opens().await?;
        self.settles(&opened).await?;
        let item = self.item_of(&opened.session).await?;
        Ok((opened.session, item))
    }

    /// The payer pays, and the marketplace knows it.
    pub async fn settles(&self, opened: &Opened) -> Result<()> {
        self.gateway.is_paid(&self.gateway.leg_at(&opened.url)?).await?;
        self.is(&opened.session, "Success").await
    }

    /// The seller confirms lines; the fee is to be paid under this option.
    pub async fn confirms(&self, lines: &[i64], option: &str) -> Result<Opened> {
        let body = json!({ "item_ids": lines, "payment_option": option });
        let answer = self.seller().post(CONFIRM, body).await?;
        Ok(Opened::read(&answer, "confirm_session_id"))
    }

    /// The seller confirms lines, and the fee is paid under this option. Returns their order.
    pub async fn orders(&self, lines: &[i64], option: &str) -> Result<String> {
        let fee = self.confirms(lines, option).await?;
        if !fee.url.is_empty() {
            self.settles(&fee).await?;
        }
        let order = format!(
            "SELECT id::text FROM \"order\".\"order\" WHERE confirm_session_id = '{}'",
            fee.session
        );
        self.audit.texts(&order).await?.pop().context("an order")
    }

    /// A checkout of a unit of the shop's goods and one of others, paid at the door. Returns its session and both lines.
    pub async fn two_at_the_door(&self, other: &Listing) -> Result<(String, Vec<i64>)> {
        let line = |sku: &str| json!({ "sku_id": sku, "quantity": 1, "transport_option": "standard" });
        let mut both = self.shop.checkout(1);
        both["buy_now"] = json!(false);
        both["items"] = json!([line(&self.shop.sku), line(&other.sku)]);
        let session = self
            .buyer()
            .post(CHECKOUT, both)
            .await?
            .text(200, "checkout_session_id");
        let lines = format!("SELECT id::text FROM \"order\".item WHERE payment_session_id = '{session}' ORDER BY id");
        let lines = self.audit.texts(&lines).await?;
        Ok((session, lines.iter().map(|id| id.parse()).collect::<Result<_, _>>()?))
    }

    /// As if everything were due that the money of orders waits for.
    pub async fn payouts_are_due(&self) -> Result<()> {
        let due = "UPDATE \"order\".payment_session SET date_expired = now() WHERE kind = 'seller-payout' AND status = 'Pending'";
        ensure!(self.audit.change(due).await? > 0, "no payout is open");
        let timers = "UPDATE host.invocation SET due_at = now() WHERE component = 'order' AND ended_at IS NULL AND due_at > now()";
        ensure!(self.audit.change(timers).await? > 0, "no timer is set");
        Ok(())
    }

    /// The drivers report this of the parcel of an order, until that is acknowledged.
    pub async fn parcel(&self, order: &str, status: &str) -> Result<()> {
        courier::deliver(&self.gateway, order, status).await
    }

    /// Waits until a session has this status.
    pub async fn is(&self, session: &str, status: &str) -> Result<()> {
        let sessions =
            format!("SELECT count(*) FROM \"order\".payment_session WHERE id = '{session}' AND status = '{status}'");
        self.audit.becomes(&sessions, 1).await
    }

    /// The only line of a checkout.
    pub async fn item_of(&self, session: &str) -> Result<i64> {
        let item = format!("SELECT id FROM \"order\".item WHERE payment_session_id = '{session}'");
        self.audit.count(&item).await
    }

    /// What a seller sees that waits for him.
    pub async fn waiting(&self) -> Result<Vec<Value>> {
        let waiting = self.seller().get("/api/v1/order/seller/pending?limit=100").await?;
        Ok(waiting.data(200).as_array().context("a list")?.clone())
    }

    /// What somebody's wallet can pay.
    pub async fn wallet(&self, client: &Client) -> Result<i64> {
        Ok(self.wallet_and_held(client).await?.0)
    }

    /// What somebody's wallet can pay, and what it holds besides.
    pub async fn wallet_and_held(&self, client: &Client) -> Result<(i64, i64)> {
        let wallet = client.get("/api/v1/account/wallet").await?;
        let wallet = wallet.data(200);
        ensure!(wallet["currency"] == "VND", "{wallet}");
        let amount = |name: &str| wallet[name].as_i64().with_context(|| name.to_owned());
        Ok((amount("balance")?, amount("held")?))
    }

    /// The legs of a session, oldest first: status and amount.
    pub async fn legs(&self, session: &str) -> Result<Vec<String>> {
        let legs = format!(
            "SELECT status || ' ' || amount FROM \"order\".transaction WHERE session_id = '{session}' ORDER BY date_created, amount DESC"
        );
        self.audit.texts(&legs).await
    }

    /// Nothing is under way, and the books hold: of stock, of money, and of the gateway.
    pub async fn books_hold(&self) -> Result<()> {
        self.audit.settled().await?;
        self.audit.books_hold().await?;
        self.audit.money_holds(&self.gateway).await
    }
}
