//! A payment provider outside: it knows a repeated request by its key, keeps its own books, and reports late payments by a webhook.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::dice::Dice;
use super::session::pause;

/// What a request comes to.
pub(crate) const CAPTURED: i64 = 1;
/// The webhook will tell.
pub(crate) const PENDING: i64 = 2;
pub(crate) const DECLINED: i64 = 3;
pub(crate) const REFUNDED: i64 = 4;
/// It was not sent.
pub(crate) const UNSENT: i64 = -1;
/// It was sent, and nobody knows.
pub(crate) const UNKNOWN: i64 = -2;

pub(crate) const CHARGE: &str = "/charges";
pub(crate) const REFUND: &str = "/refunds";

/// One charge.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    pub(crate) order: i64,
    pub(crate) amount: i64,
    pub(crate) state: i64,
    /// Whom the webhook names.
    notify: i64,
}

/// A payment that the provider reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notification {
    /// As the request gave it.
    pub(crate) notify: i64,
    pub(crate) state: i64,
}

pub(crate) struct Provider {
    books: Mutex<Books>,
    dice: Dice,
    /// It refuses connections.
    pub(crate) down: AtomicBool,
    rough: Arc<dyn Fn() -> bool + Send + Sync>,
    notifications: mpsc::UnboundedSender<Notification>,
}

#[derive(Default)]
struct Books {
    answers: BTreeMap<String, i64>,
    charges: Vec<Charge>,
    /// Orders that may not be charged any more.
    void: Vec<i64>,
    refunds: Vec<i64>,
}

impl Provider {
    pub(crate) fn new(
        dice: Dice,
        rough: Arc<dyn Fn() -> bool + Send + Sync>,
        notifications: mpsc::UnboundedSender<Notification>,
    ) -> Arc<Self> {
        Arc::new(Self {
            books: Mutex::default(),
            dice,
            down: AtomicBool::new(false),
            rough,
            notifications,
        })
    }

    /// All charges ever made.
    pub(crate) fn charges(&self) -> Vec<Charge> {
        self.books.lock().charges.clone()
    }

    /// Orders that were refunded, as often as they were.
    pub(crate) fn refunds(&self) -> Vec<i64> {
        self.books.lock().refunds.clone()
    }

    /// A request over the network: once sent it arrives, whatever becomes of who sent it.
    pub(crate) async fn post(self: &Arc<Self>, key: String, path: &'static str, arguments: Vec<i64>) -> i64 {
        if self.down.load(Ordering::Relaxed) {
            return UNSENT;
        }
        let rough = (self.rough)();
        let slow = rough && self.dice.per_mille(30);
        let there = self.dice.time_ms(1, if slow { 1_500 } else { 12 });
        let never_returns = rough && self.dice.per_mille(30);
        let (tell, told) = oneshot::channel();
        let provider = Arc::clone(self);
        tokio::spawn(async move {
            sleep(there).await;
            let answer = provider.act(key, path, &arguments);
            pause(provider.dice.time_ms(0, 4)).await;
            if !never_returns {
                // Who asked may have left.
                let _ = tell.send(answer);
            }
        });
        told.await.unwrap_or(UNKNOWN)
    }

    fn act(self: &Arc<Self>, key: String, path: &str, arguments: &[i64]) -> i64 {
        if let Some(answer) = self.books.lock().answers.get(&key) {
            return *answer;
        }
        let answer = match (path, arguments) {
            (CHARGE, [order, amount, notify]) => self.charge(*order, *amount, *notify),
            (REFUND, [order]) => self.refund(*order),
            _ => unreachable!("{path} {arguments:?}"),
        };
        self.books.lock().answers.insert(key, answer);
        answer
    }

    fn charge(self: &Arc<Self>, order: i64, amount: i64, notify: i64) -> i64 {
        let mut books = self.books.lock();
        if books.void.contains(&order) {
            return DECLINED;
        }
        let state = match self.dice.between(0, 100) {
            0..55 => CAPTURED,
            55..90 => PENDING,
            _ => DECLINED,
        };
        let charge = Charge {
            order,
            amount,
            state,
            notify,
        };
        books.charges.push(charge);
        if state == PENDING {
            self.settle_later(books.charges.len() - 1);
        }
        state
    }

    /// The customer pays, or not, or too late, or never says.
    fn settle_later(self: &Arc<Self>, index: usize) {
        if self.dice.per_mille(150) {
            return;
        }
        let provider = Arc::clone(self);
        let late = self.dice.time_ms(100, 5_000);
        let outcome = if self.dice.per_mille(800) { CAPTURED } else { DECLINED };
        tokio::spawn(async move {
            sleep(late).await;
            let mut books = provider.books.lock();
            let charge = &mut books.charges[index];
            if charge.state == PENDING {
                charge.state = outcome;
                let notification = Notification {
                    notify: charge.notify,
                    state: outcome,
                };
                // The world may be over.
                let _ = provider.notifications.send(notification);
            }
        });
    }

    /// Of an order that was never charged: it never will be.
    fn refund(&self, order: i64) -> i64 {
        let mut books = self.books.lock();
        if !books.void.contains(&order) {
            books.void.push(order);
        }
        let mut refunded = false;
        if let Some(charge) = books
            .charges
            .iter_mut()
            .find(|charge| charge.order == order && charge.state != REFUNDED)
        {
            refunded = charge.state == CAPTURED;
            charge.state = if refunded { REFUNDED } else { DECLINED };
        }
        if refunded {
            books.refunds.push(order);
        }
        REFUNDED
    }
}
