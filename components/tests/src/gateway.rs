//! A payment gateway, as another company runs one: it checks who asks, keeps books of its own, and reports what became of a payment by a signed
//! webhook, until that is acknowledged. The other side of `components/payment-sandbox`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Client, NexusOptions};

/// What both sides sign with.
const SECRET: &str = "whsec-of-the-sandbox";
/// Where reports go.
const WEBHOOK: &str = "/api/v1/payment/webhook/sandbox";
/// Between two deliveries of a report that was not acknowledged.
const AGAIN: Duration = Duration::from_millis(50);
/// After this a delivery is given up, and the report sent again.
const IMPATIENCE: Duration = Duration::from_secs(5);
/// How long a report is delivered at all.
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

/// A report as the gateway sends it, to be spoiled by a test.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The event's own id.
    pub id: String,
    /// When it was signed, seconds since 1970-01-01 UTC.
    pub signed_s: u64,
    /// What it is signed with.
    pub secret: String,
    /// What it says.
    pub body: Value,
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
    /// By how much its clock was set forward.
    skipped_s: AtomicU64,
    /// Where the marketplace listens now.
    url: watch::Sender<String>,
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
            skipped_s: AtomicU64::default(),
            url: watch::Sender::default(),
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

    /// The variables of an application that has it for a gateway.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("sandbox_enabled", "true".to_owned()),
            ("sandbox_url", format!("http://{}", self.shared.address)),
            ("sandbox_secret", SECRET.to_owned()),
        ]
    }

    /// Time passes here as well.
    pub fn skip(&self, by: Duration) {
        self.shared.skipped_s.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Reports go there from now on, those that were not acknowledged too.
    pub fn reports_to(&self, url: &str) {
        self.shared.url.send_replace(url.to_owned());
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

    /// The payer has paid, and it is not reported.
    pub fn is_paid_silently(&self, leg: &str) {
        self.shared.decide(leg, "succeeded");
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
        self.shared.send(notice).await
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

    fn decide(&self, leg: &str, status: &'static str) {
        if let Some(charge) = self.books().charges.get_mut(leg) {
            charge.status = status;
        }
    }

    fn notice(&self, leg: &str, id: &str) -> Result<Notice> {
        let signed_s = now()? + self.skipped_s.load(Ordering::SeqCst);
        let mut body = self
            .books()
            .charges
            .get(leg)
            .map(|charge| self.shown(charge))
            .context("a charge")?;
        body["occurred_ms"] = json!(signed_s * 1000);
        Ok(Notice {
            id: id.to_owned(),
            signed_s,
            secret: SECRET.to_owned(),
            body,
        })
    }

    /// Until it is acknowledged, wherever the marketplace is by then.
    async fn report(&self, leg: &str, id: &str) -> Result<()> {
        let mut answers = BTreeMap::<String, u32>::new();
        let delivered = async {
            loop {
                // One that was signed long ago is not believed, and one that is not answered is sent again.
                let notice = self.notice(leg, id)?;
                let answer = match tokio::time::timeout(IMPATIENCE, self.send(&notice)).await {
                    Ok(Ok(200)) => return Ok(()),
                    Ok(Ok(status)) => status.to_string(),
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(_) => "no answer".to_owned(),
                };
                *answers.entry(answer).or_default() += 1;
                tokio::time::sleep(AGAIN).await;
            }
        };
        let delivered = tokio::time::timeout(PATIENCE, delivered).await;
        delivered.unwrap_or_else(|_| bail!("the report {id} was not acknowledged: {answers:?}"))
    }

    async fn send(&self, notice: &Notice) -> Result<u16> {
        let body = notice.body.to_string();
        let signed = mac(
            &notice.secret,
            &[&notice.id, ".", &notice.signed_s.to_string(), ".", &body],
        );
        let url = self.url.borrow().clone();
        let client = Client::new(&url)
            .with_header("webhook-id", &notice.id)
            .with_header("webhook-timestamp", &notice.signed_s.to_string())
            .with_header("webhook-signature", &format!("v1,{}", STANDARD.encode(signed)));
        let answer = client
            .send_raw(Method::POST, WEBHOOK, Some("application/json"), body.into())
            .await?;
        Ok(answer.status.as_u16())
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
            if manner == Manner::Declines {
                return (402, json!({ "reason": "the card was refused" }));
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
            Manner::Waits | Manner::IsSilent | Manner::Declines => return,
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
    let expected = hex::encode(mac(SECRET, &[head.method.as_str(), "\n", head.uri.path(), "\n", &body]));
    let (status, answer) = if header("x-sandbox-signature") == Some(expected) {
        shared.books().trace_parents.extend(header("traceparent"));
        shared.answer(&head.method, head.uri.path(), header("idempotency-key"), &body)
    } else {
        let refused = format!("{} {} is not signed by us", head.method, head.uri.path());
        shared.books().refused.push(refused);
        (401, json!({}))
    };
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

fn mac(secret: &str, parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is a key");
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateway is another process, with a clock of its own"
)]
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
