//! From a cart to a checkout that waits for its sellers.
//!
//! What is paid at the door, or not at all, is done while the buyer waits. What is paid elsewhere is a flow of its own: it lives as long as
//! the session, and the request that began it answers when it knows where the payment continues.

use sdk::{
    AccountId, Money, Promise, Timestamp, config, new_id, now, saga,
    sql::{self, Transaction},
    timer,
};
use serde_json::json;

use super::{
    begin,
    collect::{self, Attempt, Due},
    expire,
    quote::{self, Quoted},
    undo::Undo,
};
use crate::{
    domain::{
        checkout::{self, Line, Wanted},
        id::{LegId, ReservationId, SessionId, SkuId},
        refusal::Continuation,
        session::Kind,
    },
    error::Error,
    peers::{
        account,
        flows::Flow,
        geocoding, inventory, ledger,
        payments::{self, Charge, Charged, PaymentOption},
    },
    store::{
        cart, item,
        leg::{self, NewLeg},
        session::{self, NewSession},
    },
};

const DEFAULT_SESSION_HOURS: u32 = 24;

/// How much longer than its session the stock of a checkout is held that is paid elsewhere: money that comes at the last moment must find it.
const HOLD_GRACE_SECONDS: i64 = 15 * 60;

/// What a buyer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkout {
    pub(crate) buyer: AccountId,
    pub(crate) address: String,
    /// Empty when the balance is to pay for all.
    pub(crate) payment_option: String,
    /// The cart is left alone.
    pub(crate) buy_now: bool,
    pub(crate) items: Vec<Wanted>,
}

/// What a buyer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) session_id: SessionId,
    /// Where the payment continues; empty when there is nothing to do there.
    pub(crate) payment_url: String,
}

/// A checkout with its ids and amounts, before anything is changed.
struct Plan {
    buyer: AccountId,
    address: String,
    buy_now: bool,
    session_id: SessionId,
    leg_id: LegId,
    lines: Vec<Line>,
    total: Money,
    /// None when there is nothing to pay.
    payment: Option<PaymentOption>,
    date_created: Timestamp,
    date_expired: Timestamp,
}

/// Checks everything; then holds the stock, opens the session and asks for the payment, here or in a flow of its own.
pub(crate) fn checkout(input: Checkout) -> Result<Receipt, Error> {
    let plan = plan(&input, None)?;
    if plan.is_paid_elsewhere() {
        return begin::checkout(&input, plan.session_id, plan.date_expired);
    }
    saga(|undo| {
        let serials = hold(&plan, undo)?;
        undo.push(Undo::CloseCheckout(plan.session_id));
        sql::transaction(|tx| open(tx, &plan, &serials))?;
        pay(&plan)
    })
}

/// The flow of a checkout that is paid elsewhere: to a paid session, or back to where it began.
pub(crate) fn run(flow: &Flow<Checkout>) -> Result<(), Error> {
    let outcome = saga(|undo| {
        let plan = plan(&flow.input, Some(flow.session_id))?;
        let Some(payment) = &plan.payment else {
            return Err(Error::WalletInsufficient);
        };
        let due = Due {
            session_id: plan.session_id,
            kind: Kind::BuyerCheckout,
            payment,
            amount: plan.total,
            expires: plan.date_expired,
            attempt_seconds: collect::attempt_seconds()?,
        };
        let serials = hold(&plan, undo)?;
        undo.push(Undo::CloseCheckout(plan.session_id));
        let (attempt, bell) = open_waiting(&plan, &serials, &due, &flow.payment_url)?;
        let paid = due.collect(attempt, bell)?;
        // Nothing holds it from now on but the buyer's money.
        for line in &plan.lines {
            inventory::commit(line.reservation_id)?;
        }
        let now = now();
        sql::transaction(|tx| {
            session::lock(tx, plan.session_id)?;
            due.settle(tx, &paid, now)
        })?;
        ledger::post(&[due.capture(&paid)]);
        Ok(())
    });
    begin::end(flow, outcome)
}

/// Holds the stock of each line under an id of its own: it is later sold, cancelled or released without the others. Returns the units picked.
fn hold(plan: &Plan, undo: &mut sdk::Undo<'_, Undo>) -> Result<Vec<Vec<String>>, Error> {
    let mut serials = Vec::with_capacity(plan.lines.len());
    for line in &plan.lines {
        undo.push(Undo::ReleaseStock(line.reservation_id));
        serials.push(inventory::reserve(line, plan.held_until())?);
    }
    Ok(serials)
}

impl Plan {
    /// The payer is sent away to pay, and comes back or not.
    fn is_paid_elsewhere(&self) -> bool {
        self.payment
            .as_ref()
            .is_some_and(|payment| !payment.collect_on_delivery)
    }

    fn held_until(&self) -> Timestamp {
        if self.is_paid_elsewhere() {
            self.date_expired.plus_seconds(HOLD_GRACE_SECONDS)
        } else {
            self.date_expired
        }
    }
}

/// Everything that can be refused without having changed anything.
fn plan(input: &Checkout, session_id: Option<SessionId>) -> Result<Plan, Error> {
    if input.buy_now && input.items.len() != 1 {
        return Err(Error::BuyNowSingleSku);
    }
    let buyer = account::buyer(input.buyer)?;
    let country = geocoding::country(&input.address)?;
    if country != buyer.country {
        return Err(Error::AddressCountryMismatch {
            address: country,
            buyer: buyer.country,
        });
    }
    let Quoted { currency, lines } = quote::quote(input.buyer, buyer.currency, &input.address, input.items.clone())?;
    let lines = lines
        .into_iter()
        .map(|(line, shipping)| Line::price(line, shipping, ReservationId(new_id())))
        .collect::<Result<Vec<_>, _>>()?;
    let total = Money::new(checkout::total(&lines)?, currency);
    let payment = payment_for(total, &input.payment_option)?;

    let date_created = now();
    Ok(Plan {
        buyer: input.buyer,
        address: input.address.clone(),
        buy_now: input.buy_now,
        session_id: session_id.unwrap_or_else(|| SessionId(new_id())),
        leg_id: LegId(new_id()),
        lines,
        total,
        payment,
        date_created,
        date_expired: date_created.plus_seconds(session_seconds()?),
    })
}

/// There is no balance to pay from yet, so anything to pay needs an option, whether or not the balance may be used.
fn payment_for(total: Money, option: &str) -> Result<Option<PaymentOption>, Error> {
    if option.is_empty() {
        return if total.amount_minor == 0 {
            Ok(None)
        } else {
            Err(Error::WalletInsufficient)
        };
    }
    let payment = payments::option(option)?;
    payment.check(total)?;
    Ok(Some(payment).filter(|_| total.amount_minor > 0))
}

/// How long a checkout waits to be paid and confirmed.
fn session_seconds() -> Result<i64, Error> {
    let seconds = match config::parse::<u32>("session_seconds")? {
        Some(seconds) => i64::from(seconds),
        None => i64::from(config::parse_or("session_hours", DEFAULT_SESSION_HOURS)?) * 3600,
    };
    Ok(seconds)
}

/// Opens the session of what is paid at the door or not at all, and starts its clock.
fn open(tx: &Transaction, plan: &Plan, serials: &[Vec<String>]) -> Result<(), Error> {
    open_session(tx, plan, serials)?;
    match &plan.payment {
        Some(payment) => leg::insert(
            tx,
            &NewLeg {
                id: plan.leg_id,
                session_id: plan.session_id,
                kind: Kind::BuyerCheckout,
                payment_option: Some(payment.id.clone()),
                data: json!({ "cod": true }),
                amount: plan.total.amount_minor,
                currency: plan.total.currency,
                date_created: plan.date_created,
                date_expired: None,
            },
        )?,
        None => {
            session::succeed(tx, plan.session_id, plan.date_created)?;
        }
    }
    // Written with the commit: there is no session without its deadline.
    let delay = plan.date_expired.as_ms() - plan.date_created.as_ms();
    timer::schedule(expire::TIMER, &plan.session_id, delay as u64);
    Ok(())
}

/// Opens the session of what is paid elsewhere, with its first attempt. Its flow ends it: it needs no timer.
fn open_waiting(
    plan: &Plan,
    serials: &[Vec<String>],
    due: &Due<'_>,
    payment_url: &Promise<Continuation>,
) -> Result<(Attempt, Promise<()>), Error> {
    sql::transaction(|tx| {
        open_session(tx, plan, serials)?;
        due.open(tx, plan.leg_id, payment_url, plan.date_created)
    })
}

/// The session and its lines, and what they took out of the cart.
fn open_session(tx: &Transaction, plan: &Plan, serials: &[Vec<String>]) -> Result<(), Error> {
    let collect_on_delivery = plan.payment.as_ref().is_some_and(|payment| payment.collect_on_delivery);
    let subtotal: i64 = plan.lines.iter().map(|line| line.subtotal_amount).sum();
    session::insert(
        tx,
        &NewSession {
            id: plan.session_id,
            kind: Kind::BuyerCheckout,
            from_id: Some(plan.buyer),
            to_id: None,
            currency: plan.total.currency,
            total_amount: plan.total.amount_minor,
            collect_on_delivery,
            data: json!({
                "payment_option": plan.payment.as_ref().map(|payment| &payment.id),
                "collect_on_delivery": collect_on_delivery,
                "subtotal_amount": subtotal,
                "shipping_amount": plan.total.amount_minor - subtotal,
            }),
            date_created: plan.date_created,
            date_expired: plan.date_expired,
        },
    )?;
    let common = item::Common {
        session_id: plan.session_id,
        buyer: plan.buyer,
        address: &plan.address,
        currency: plan.total.currency,
        now: plan.date_created,
    };
    item::insert(tx, common, &plan.lines, serials)?;
    if !plan.buy_now {
        let skus: Vec<SkuId> = plan.lines.iter().map(|line| line.wanted.sku_id).collect();
        cart::take(tx, plan.session_id, plan.buyer, &skus)?;
    }
    Ok(())
}

/// Tells the carrier's provider what is to be collected at the door.
fn pay(plan: &Plan) -> Result<Receipt, Error> {
    if let Some(payment) = &plan.payment {
        let description = format!("Checkout session {} (attempt 1)", plan.session_id);
        let charged = payment.charge(&Charge {
            leg_id: plan.leg_id,
            amount: plan.total,
            description: &description,
            expires: plan.date_expired,
        })?;
        if charged != Charged::OnDelivery {
            return Err(Error::PaymentUnavailable(format!(
                "{} collects on delivery, and answers something else",
                payment.id
            )));
        }
    }
    Ok(Receipt {
        session_id: plan.session_id,
        payment_url: String::new(),
    })
}
