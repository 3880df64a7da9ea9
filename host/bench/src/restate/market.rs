//! The work that both sides do, as their clients ask for it.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::load::{Client, Job};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// A durable call that does nothing.
    Empty,
    /// A call that calls the next, four components long.
    Chain,
    /// Four calls, of which two make a transaction, in two modules.
    Checkout,
}

/// Whose client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Nexus,
    Restate,
}

/// Work on one side, each request with an Idempotency-Key of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Market {
    pub(super) work: Work,
    pub(super) side: Side,
}

/// The key of the next request. Both sides begin with nothing stored, so a number is new.
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

impl Market {
    fn path(self) -> &'static str {
        match (self.side, self.work) {
            (Side::Nexus, Work::Empty) => "/market/empty",
            (Side::Nexus, Work::Chain) => "/market/chain",
            (Side::Nexus, Work::Checkout) => "/market/checkout",
            (Side::Restate, Work::Empty) => "/restate/call/Empty/call",
            (Side::Restate, Work::Chain) => "/restate/call/First/add",
            (Side::Restate, Work::Checkout) => "/restate/call/Checkout/place",
        }
    }

    /// Sends a request about the item with this key, and answers what was answered, without our envelope.
    pub(super) async fn ask(self, client: &mut Client, item: u64, key: &str) -> Result<Value> {
        let request = match self.work {
            Work::Empty | Work::Chain => item.to_string(),
            Work::Checkout => format!(r#"{{"item":{item},"quantity":2,"buyer":{}}}"#, buyer(item)),
        };
        let answer = client.post_once(self.path(), key, request).await?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        Ok(match self.side {
            Side::Nexus => answer["data"].take(),
            Side::Restate => answer,
        })
    }

    /// What a right answer to a request about the item is. A purchase's id is its own.
    fn check(self, item: u64, answer: &Value) -> Result<()> {
        let is_right = match self.work {
            Work::Empty => *answer == json!(item),
            Work::Chain => *answer == json!(item + 4),
            Work::Checkout => answer["amount"] == json!((100 + item % 900) * 2) && answer["purchase"].is_i64(),
        };
        ensure!(is_right, "{self:?}: a strange answer about {item}: {answer}");
        Ok(())
    }

    /// The answer must be right, and stay what it is when the request is repeated.
    pub(super) async fn check_answers(self, client: &mut Client) -> Result<()> {
        let key = next_key();
        let first = self.ask(client, 17, &key).await?;
        self.check(17, &first)?;
        let again = self.ask(client, 17, &key).await?;
        ensure!(first == again, "{self:?}: {first}, and with the same key {again}");
        Ok(())
    }
}

impl Job for Market {
    async fn request(self, client: &mut Client, item: u64) -> Result<()> {
        let answer = self.ask(client, item, &next_key()).await?;
        self.check(item, &answer)
    }
}

fn next_key() -> String {
    format!("bench-{:016x}", NEXT_KEY.fetch_add(1, Ordering::Relaxed))
}

/// Spread over all, as the items are.
fn buyer(item: u64) -> u64 {
    item * 7919 % 10_000 + 1
}

impl Work {
    /// As the report names it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Empty => "empty durable call",
            Self::Chain => "durable chain of 4 components",
            Self::Checkout => "checkout: 4 calls, 2 transactions in 2 modules",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_what_was_asked() {
        let chain = Market {
            work: Work::Chain,
            side: Side::Nexus,
        };
        chain.check(3, &json!(7)).unwrap();
        chain.check(3, &json!(6)).unwrap_err();
        let checkout = Market {
            work: Work::Checkout,
            side: Side::Restate,
        };
        checkout.check(901, &json!({ "amount": 202, "purchase": 1 })).unwrap();
        checkout.check(901, &json!({ "amount": 202 })).unwrap_err();
        checkout
            .check(901, &json!({ "amount": 101, "purchase": 1 }))
            .unwrap_err();
    }

    #[test]
    fn buyers_are_those_of_the_table_and_each_item_has_its_own() {
        let mut buyers: Vec<u64> = (1..=10_000).map(buyer).collect();
        buyers.sort_unstable();
        assert_eq!(buyers, (1..=10_000).collect::<Vec<u64>>());
    }
}
