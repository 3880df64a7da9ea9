//! What everybody who plays shares: the shop, the gateway, the hosts as they are now, and how a host is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::{Answer, Client, Gateway, Person, Shop};
use http::Method;
use serde_json::Value;
use tokio::sync::watch;

use crate::told::Told;

/// After this a client gives an answer up and asks another host.
pub(crate) const IMPATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at what nobody tells of: a host that ended by itself since it was frozen past its lease, an item to confirm.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// A generator whose numbers a printed seed repeats.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let bound = all.len().max(1) as u64;
        all.get(self.below(bound) as usize)
    }

    /// All of them, in some order.
    pub(crate) fn shuffled<T, const N: usize>(&mut self, mut all: [T; N]) -> Vec<T> {
        for last in (1..N).rev() {
            all.swap(last, self.below(last as u64 + 1) as usize);
        }
        all.into()
    }

    /// Up to so many milliseconds.
    pub(crate) fn pause(&mut self, most_ms: u64) -> Duration {
        Duration::from_millis(self.below(most_ms))
    }
}

/// Where a host is reached.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) admin: Client,
}

/// What all who play share.
pub(crate) struct World {
    pub(crate) shop: Shop,
    pub(crate) buyers: Vec<Person>,
    pub(crate) gateway: Gateway,
    pub(crate) doors: watch::Receiver<[Door; 2]>,
    pub(crate) database_url: String,
    /// Nobody begins anything new.
    pub(crate) closing: AtomicBool,
    /// What people were told, to be held against the books.
    pub(crate) told: Mutex<Told>,
    played: Mutex<BTreeMap<String, u64>>,
}

impl World {
    pub(crate) fn new(
        shop: Shop,
        buyers: Vec<Person>,
        gateway: Gateway,
        doors: watch::Receiver<[Door; 2]>,
        database_url: &str,
    ) -> Self {
        Self {
            shop,
            buyers,
            gateway,
            doors,
            database_url: database_url.to_owned(),
            closing: AtomicBool::new(false),
            told: Mutex::default(),
            played: Mutex::default(),
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Counts what was played.
    pub(crate) fn plays(&self, what: impl Into<String>) {
        let mut played = self.played.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *played.entry(what.into()).or_default() += 1;
    }

    /// How often each kind was played.
    pub(crate) fn played(&self) -> BTreeMap<String, u64> {
        self.played
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    pub(crate) fn tells<T>(&self, note: impl FnOnce(&mut Told) -> T) -> T {
        note(&mut self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn door(&self, dice: &mut Dice) -> Door {
        self.doors.borrow()[dice.below(2) as usize].clone()
    }

    /// What is listed there, as one host says; nothing when it does not answer.
    pub(crate) async fn listed(&self, dice: &mut Dice, client: &Client, path: &str) -> Vec<Value> {
        let client = client.at(&self.door(dice).url);
        let Ok(Ok(page)) = tokio::time::timeout(IMPATIENCE, client.get(path)).await else {
            return Vec::new();
        };
        page.json["data"].as_array().cloned().unwrap_or_default()
    }

    /// Asks one host or the other until one answers.
    pub(crate) async fn ask(
        &self,
        dice: &mut Dice,
        client: &Client,
        key: &str,
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> Result<Answer> {
        let mut doors = self.doors.clone();
        loop {
            let url = doors.borrow_and_update()[dice.below(2) as usize].url.clone();
            let client = client.at(&url).keyed(key);
            match tokio::time::timeout(IMPATIENCE, client.send(method.clone(), path, body.clone())).await {
                // The module's own word, and its last one under this key.
                Ok(Ok(answer)) if code(&answer) == "payment_in_progress" => return Ok(answer),
                Ok(Ok(answer)) if !answer.asks_to_retry() => {
                    let (status, json) = (answer.status, &answer.json);
                    let is_told = code(&answer) == "payment_provider_unavailable";
                    ensure!(
                        is_told || !status.is_server_error(),
                        "{method} {path}, key {key}: {status} {json}"
                    );
                    return Ok(answer);
                }
                Ok(Ok(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                // Killed, frozen, or without a database: it comes back under another address, or is back there already.
                Ok(Err(_)) => drop(tokio::time::timeout(Duration::from_millis(200), doors.changed()).await),
                Err(_) => {}
            }
        }
    }
}

/// The code of a refusal; empty when it is none.
pub(crate) fn code(answer: &Answer) -> &str {
    answer.json["error"]["code"].as_str().unwrap_or_default()
}

/// Checks that a refusal is one of these.
pub(crate) fn is_one_of(what: &str, answer: &Answer, codes: &[&str]) -> Result<()> {
    let code = code(answer);
    ensure!(codes.contains(&code), "{what}: {} {}", answer.status, answer.json);
    Ok(())
}
