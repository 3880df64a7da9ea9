//! A payment gateway, as another company runs one: it checks who asks, keeps books of its own, and reports what became of a payment by a signed
//! webhook, until that is acknowledged. The other side of `components/payment-sandbox`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{
    NexusOptions, courier,
    notice::{self, Notice, mac},
};

/// What both sides sign with at first.
const SECRET: &str = "whsec-of-the-sandbox";
/// Where reports go.
const WEBHOOK: &str = "/api/v1/payment/webhook/sandbox";
/// How long a charge is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the gateway does about a charge by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing: the test says when the payer pays.
    Waits,
    /// The payer pays at once, and it is reported.
    Pays,
    /// The same, reported twice.
    PaysTwice,
    /// The payer pays at once, and nothing is reported.
    IsSilent,
    /// The payer pays after a while, and it is reported.
    PaysLate(Duration),
    /// The payment fails at once, and that is reported.
    Fails,
    /// It takes no charge.
    Declines,
    /// It takes no request at the moment, and says so: the next one is another choice.
    IsBusy,
}

/// What becomes of the next charge.
type Choice = Box<dyn FnMut() -> Manner + Send>;

/// A charge in the gateway's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// What our side calls it.
    pub leg: String,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// `pending`, `succeeded`, `failed`, `expired`.
    pub status: &'static str,
    /// The keys of the requests that asked for it.
    pub keys: BTreeSet<String>,
    /// How many requests asked for it.
    pub requests: u32,
    /// What the gateway does about it.
    pub manner: Manner,
}

#[derive(Default)]
struct Books {
    charges: BTreeMap<String, Charge>,
    /// Which leg a key was used for.
    keys: BTreeMap<String, String>,
    /// Requests that were none, and why.
    refused: Vec<String>,
    /// Reports that nobody acknowledged for as long as they were delivered.
    undelivered: Vec<String>,
    /// Which traces requests belonged to, as they said.
    trace_parents: Vec<String>,
}

struct Shared {
    books: Mutex<Books>,
    choice: Mutex<Choice>,
    /// How many charges there are, for those who wait for one.
    charged: watch::Sender<usize>,
    /// How many charges are still to be paid or reported by the gateway itself.
    at_work: watch::Sender<usize>,
    /// It does what it is asked, and says that it failed.
    stumbles: AtomicBool,
    /// By how much its clock was set forward.
    skipped_s: AtomicU64,
    /// Where the marketplace listens now.
    url: watch::Sender<String>,
    /// What both sides sign with now.
    secret: watch::Sender<String>,
    address: SocketAddr,
}

/// A gateway on a port of its own, for as long as this lives.
pub struct Gateway {
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Takes charges, and waits with each.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared {
            books: Mutex::default(),
            choice: Mutex::new(Box::new(|| Manner::Waits)),
            charged: watch::Sender::default(),
            at_work: watch::Sender::default(),
            stumbles: AtomicBool::default(),
            skipped_s: AtomicU64::default(),
            url: watch::Sender::default(),
            secret: watch::Sender::new(SECRET.to_owned()),
            address: listener.local_addr()?,
        });
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&shared))));
        Ok(Self { shared, serving })
    }

    /// How a marketplace is started that uses this gateway.
    pub fn options(&self, further: &[(&str, &str)]) -> NexusOptions {
        let ours = self
            .variables()
            .map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value));
        let mut options = NexusOptions::with(further);
        // In front: what a test says itself holds.
        options.environment.splice(0..0, ours);
        options
    }

    /// The variables of an application that has it for a gateway, and believes the drivers of [`crate::courier`].
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("sandbox_enabled", "true".to_owned()),
            ("sandbox_url", format!("http://{}", self.shared.address)),
            ("sandbox_secret", self.shared.secret()),
            ("transport_webhook_secret", courier::SECRET.to_owned()),
        ]
    }

    /// Seconds since 1970-01-01 UTC, as it is outside of the marketplace.
    pub(crate) fn now_s(&self) -> Result<u64> {
        self.shared.now_s()
    }

    /// Where the marketplace listens now.
    pub(crate) fn url(&self) -> String {
        self.shared.url.borrow().clone()
    }

    /// Time passes here as well.
    pub fn skip(&self, by: Duration) {
        self.shared.skipped_s.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Reports go there from now on, those that were not acknowledged too.
    pub fn reports_to(&self, url: &str) {
        self.shared.url.send_replace(url.to_owned());
    }

    /// Whoever signs with another secret than this is not believed from now on. The marketplace is told when it is started.
    pub fn changes_secret(&self, secret: &str) {
        self.shared.secret.send_replace(secret.to_owned());
    }

    /// What becomes of the charges to come.
    pub fn behaves(&self, manner: Manner) {
        self.behaves_by(move || manner);
    }

    /// What becomes of the charges to come, each asked for anew.
    pub fn behaves_by(&self, choice: impl FnMut() -> Manner + Send + 'static) {
        *self
            .shared
            .choice
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = Box::new(choice);
    }

    /// Nobody answers here any more.
    pub async fn goes_down(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // The port is free when the task is gone.
            let _ = serving.await;
        }
    }

    /// It is back, with its books.
    pub async fn comes_back(&mut self) -> Result<()> {
        self.goes_down().await;
        let listener = TcpListener::bind(self.shared.address).await?;
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
        Ok(())
    }

    /// Every charge, in the order of its leg.
    pub fn charges(&self) -> Vec<Charge> {
        self.shared.books().charges.values().cloned().collect()
    }

    /// What was refused as no request of ours.
    pub fn refused(&self) -> Vec<String> {
        self.shared.books().refused.clone()
    }

    /// The reports that it gave up.
    pub fn undelivered(&self) -> Vec<String> {
        self.shared.books().undelivered.clone()
    }

    /// Returns when every payer who pays by himself has paid, and what is reported by itself is acknowledged or given up.
    pub async fn has_reported(&self) -> Result<()> {
        let mut at_work = self.shared.at_work.subscribe();
        at_work.wait_for(|charges| *charges == 0).await?;
        Ok(())
    }

    /// The `traceparent` of every request that had one.
    pub fn trace_parents(&self) -> Vec<String> {
        self.shared.books().trace_parents.clone()
    }

    /// Returns when there are so many charges.
    pub async fn has_charged(&self, count: usize) -> Result<()> {
        let mut charged = self.shared.charged.subscribe();
        let enough = charged.wait_for(|charged| *charged >= count);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .with_context(|| format!("{count} charges did not come"))??;
        Ok(())
    }

    /// The leg that is charged under this address.
    pub fn leg_at(&self, payment_url: &str) -> Result<String> {
        let leg = payment_url.rsplit('/').next().unwrap_or_default().to_owned();
        ensure!(
            self.shared.books().charges.contains_key(&leg),
            "no charge is paid at {payment_url}"
        );
        Ok(leg)
    }

    /// The payer has paid. Returns when that is reported and acknowledged.
    pub async fn is_paid(&self, leg: &str) -> Result<()> {
        self.shared.decide(leg, "succeeded");
        self.shared.report(leg, &format!("{leg}-succeeded")).await
    }

    /// From now on it does what it is asked and says that it failed, or no longer.
    pub fn stumbles(&self, does: bool) {
        self.shared.stumbles.store(does, Ordering::SeqCst);
    }

    /// The payer has paid, and it is not reported.
    pub fn is_paid_silently(&self, leg: &str) {
        self.shared.decide(leg, "succeeded");
    }

    /// A request that it had not taken comes to it once more after all: the payer has paid this, and it is not reported.
    pub fn is_paid_after_all(&self, leg: &str, amount: i64) {
        let charge = Charge {
            leg: leg.to_owned(),
            amount,
            currency: "VND".to_owned(),
            status: "succeeded",
            keys: BTreeSet::from([format!("of-{leg}")]),
            requests: 1,
            manner: Manner::IsSilent,
        };
        self.shared.books().charges.insert(leg.to_owned(), charge);
    }

    /// The payment failed. Returns when that is reported and acknowledged.
    pub async fn has_failed(&self, leg: &str) -> Result<()> {
        self.shared.decide(leg, "failed");
        self.shared.report(leg, &format!("{leg}-failed")).await
    }

    /// What is reported of a charge, under this event's id.
    pub fn notice(&self, leg: &str, id: &str) -> Result<Notice> {
        self.shared.notice(leg, id)
    }

    /// Sends a report once; returns the answer's status.
    pub async fn sends(&self, notice: &Notice) -> Result<u16> {
        notice.send(&self.url()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn secret(&self) -> String {
        self.secret.borrow().clone()
    }

    fn decide(&self, leg: &str, status: &'static str) {
        if let Some(charge) = self.books().charges.get_mut(leg) {
            charge.status = status;
        }
    }

    fn now_s(&self) -> Result<u64> {
        Ok(now()? + self.skipped_s.load(Ordering::SeqCst))
    }

    fn notice(&self, leg: &str, id: &str) -> Result<Notice> {
        let signed_s = self.now_s()?;
        let mut body = self
            .books()
            .charges
            .get(leg)
            .map(|charge| self.shown(charge))
            .context("a charge")?;
        body["occurred_ms"] = json!(signed_s * 1000);
        Ok(Notice {
            path: WEBHOOK,
            id: id.to_owned(),
            signed_s,
            secret: self.secret(),
            body,
        })
    }

    /// Until it is acknowledged, wherever the marketplace is by then.
    async fn report(&self, leg: &str, id: &str) -> Result<()> {
        notice::deliver(|| self.url.borrow().clone(), || self.notice(leg, id)).await
    }

    fn shown(&self, charge: &Charge) -> Value {
        json!({
            "leg_id": charge.leg, "status": charge.status, "amount": charge.amount, "currency": charge.currency,
            "redirect_url": format!("http://{}/pay/{}", self.address, charge.leg), "reference": format!("ref-{}", charge.leg),
        })
    }

    /// The answer to a request: a status and JSON.
    fn answer(self: &Arc<Self>, method: &Method, path: &str, key: Option<String>, body: &str) -> (u16, Value) {
        if *method == Method::POST && path == "/charges" {
            return self.charge(key, body);
        }
        let leg = path.strip_prefix("/charges/").filter(|_| *method == Method::GET);
        let found = leg.and_then(|leg| self.books().charges.get(leg).map(|charge| self.shown(charge)));
        found.map_or((404, json!({})), |shown| (200, shown))
    }

    fn charge(self: &Arc<Self>, key: Option<String>, body: &str) -> (u16, Value) {
        let wanted: Value = serde_json::from_str(body).unwrap_or_default();
        let (leg, amount) = (wanted["leg_id"].as_str(), wanted["amount"].as_i64());
        let (Some(leg), Some(amount), Some(key)) = (leg, amount, key) else {
            self.books()
                .refused
                .push(format!("a charge without leg, amount or key: {body}"));
            return (400, json!({}));
        };
        let mut books = self.books();
        if books.keys.get(&key).is_some_and(|used| used != leg) {
            books
                .refused
                .push(format!("key {key} was used for another leg than {leg}"));
            return (422, json!({}));
        }
        let mut new = None;
        if !books.charges.contains_key(leg) {
            let manner = self.choice.lock().unwrap_or_else(|poisoned| poisoned.into_inner())();
            match manner {
                Manner::Declines => return (402, json!({ "reason": "the card was refused" })),
                Manner::IsBusy => return (503, json!({})),
                _ => {}
            }
            let charge = Charge {
                leg: leg.to_owned(),
                amount,
                currency: wanted["currency"].as_str().unwrap_or_default().to_owned(),
                status: "pending",
                keys: BTreeSet::new(),
                requests: 0,
                manner,
            };
            books.charges.insert(leg.to_owned(), charge);
            new = Some(manner);
        }
        books.keys.insert(key.clone(), leg.to_owned());
        let Some(charge) = books.charges.get_mut(leg) else {
            return (404, json!({}));
        };
        charge.keys.insert(key);
        charge.requests += 1;
        let shown = self.shown(charge);
        match new {
            Some(Manner::Pays | Manner::PaysTwice | Manner::IsSilent) => charge.status = "succeeded",
            Some(Manner::Fails) => charge.status = "failed",
            _ => {}
        }
        let count = books.charges.len();
        drop(books);
        self.charged.send_replace(count);
        if let Some(manner) = new {
            self.goes_on(leg, manner);
        }
        (200, shown)
    }

    /// What it does by itself about a new charge.
    fn goes_on(self: &Arc<Self>, leg: &str, manner: Manner) {
        let (outcome, reports) = match manner {
            Manner::Pays | Manner::PaysLate(_) => ("succeeded", 1),
            Manner::PaysTwice => ("succeeded", 2),
            Manner::Fails => ("failed", 1),
            Manner::Waits | Manner::IsSilent | Manner::Declines | Manner::IsBusy => return,
        };
        self.at_work.send_modify(|charges| *charges += 1);
        let (shared, leg) = (Arc::clone(self), leg.to_owned());
        tokio::spawn(async move {
            if let Manner::PaysLate(after) = manner {
                tokio::time::sleep(after).await;
                shared.decide(&leg, outcome);
            }
            let event = format!("{leg}-{outcome}");
            for _ in 0..reports {
                if shared.report(&leg, &event).await.is_err() {
                    shared.books().undelivered.push(event.clone());
                }
            }
            shared.at_work.send_modify(|charges| *charges -= 1);
        });
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
            // A client that was killed leaves in the middle.
            let _ = served.await;
        });
    }
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let header = |name: &str| {
        let value = head.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let signed = [head.method.as_str(), "\n", head.uri.path(), "\n", &body];
    let expected = hex::encode(mac(&shared.secret(), &signed));
    let (status, answer) = if header("x-sandbox-signature") == Some(expected) {
        shared.books().trace_parents.extend(header("traceparent"));
        let answer = shared.answer(&head.method, head.uri.path(), header("idempotency-key"), &body);
        if shared.stumbles.load(Ordering::SeqCst) {
            (500, json!({}))
        } else {
            answer
        }
    } else {
        let refused = format!("{} {} is not signed by us", head.method, head.uri.path());
        shared.books().refused.push(refused);
        (401, json!({}))
    };
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateway is another process, with a clock of its own"
)]
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
