//! The honest neighbour: orders and reads without a pause, each answer checked, while others attack.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::attacked::Attacked;

/// Of each item, as the migration stocks it.
const STOCK: i64 = 1_000_000_000;
const ITEMS: i64 = 50;
/// An answer later than this would be noticed.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Neighbour {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Books>>,
}

/// What the neighbour was answered.
#[derive(Debug, Default)]
struct Books {
    sold: HashMap<i64, i64>,
    orders: i64,
    slowest: Duration,
}

impl Neighbour {
    /// Goes on until it is asked what it noticed, or something was not as it should be.
    pub(crate) fn begin(client: &Client) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(trade(client.clone(), stopped));
        Self { stop, task }
    }

    /// Every request was answered, in time and rightly; and what the answers said is what the database holds.
    pub(crate) async fn noticed_nothing(self, attacked: &Attacked) -> Result<()> {
        self.stop.send_replace(true);
        let log = || attacked.logged_of("shop").unwrap_or_default();
        let books = self.task.await?.with_context(log)?;
        let audit = &attacked.audit;
        ensure!(books.orders >= 10, "only {} orders: nothing was shown", books.orders);
        ensure!(books.slowest < PATIENCE, "an answer took {:?}", books.slowest);
        eprintln!(
            "the neighbour: {} orders, the slowest answer after {:?}",
            books.orders, books.slowest
        );
        let kept = audit.count("SELECT count(*) FROM bench.purchase").await?;
        ensure!(kept == books.orders, "{kept} purchases for {} orders", books.orders);
        let sold: i64 = books.sold.values().sum();
        let missing = format!("SELECT (sum({STOCK} - stock))::bigint FROM bench.item");
        ensure!(audit.count(&missing).await? == sold, "the stock is not what was sold");
        Ok(())
    }
}

async fn trade(client: Client, stopped: watch::Receiver<bool>) -> Result<Books> {
    let mut books = Books::default();
    while !*stopped.borrow() {
        let item = books.orders % ITEMS + 1;
        let quantity = books.orders % 3 + 1;
        let begin = Instant::now();
        let order = client
            .post("/bench/order", json!({ "item": item, "quantity": quantity }))
            .await?;
        ensure!(order.status == 200, "an order: {} {}", order.status, order.json);
        ensure!(
            order.json["data"]["amount"] == (100 + item % 900) * quantity,
            "an order: {}",
            order.json
        );
        books.slowest = books.slowest.max(begin.elapsed());
        books.orders += 1;
        *books.sold.entry(item).or_default() += quantity;

        let begin = Instant::now();
        let read = client.get(&format!("/bench/item/{item}")).await?;
        ensure!(read.status == 200, "a read: {} {}", read.status, read.json);
        let stock = STOCK - books.sold[&item];
        ensure!(read.json["data"]["stock"] == stock, "{} instead of {stock}", read.json);
        books.slowest = books.slowest.max(begin.elapsed());
    }
    Ok(books)
}
