//! From a cart to a checkout that waits for its sellers.

use sdk::{
    AccountId, Money, Timestamp, config, new_id, now, saga,
    sql::{self, Transaction},
    timer,
};
use serde_json::json;

use super::{
    expire,
    quote::{self, Quoted},
    undo::Undo,
};
use crate::{
    domain::{
        checkout::{self, Line, Wanted},
        id::{LegId, ReservationId, SessionId, SkuId},
        session::Kind,
    },
    error::Error,
    peers::{
        account, geocoding, inventory,
        payments::{self, Charge, Charged, PaymentOption},
    },
    store::{
        cart, item,
        leg::{self, NewLeg},
        session::{self, NewSession},
    },
};

const DEFAULT_SESSION_HOURS: u32 = 24;

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

/// Checks everything, holds the stock, opens the session and asks for the payment.
pub(crate) fn checkout(input: Checkout) -> Result<Receipt, Error> {
    let plan = plan(input)?;
    saga(|undo| {
        let mut serials = Vec::with_capacity(plan.lines.len());
        // Each line under an id of its own: it is later sold, cancelled or released without the others.
        for line in &plan.lines {
            undo.push(Undo::ReleaseStock(line.reservation_id));
            serials.push(inventory::reserve(line, plan.date_expired)?);
        }
        undo.push(Undo::CloseCheckout(plan.session_id));
        open(&plan, &serials)?;
        pay(&plan)
    })
}

/// Everything that can be refused without having changed anything.
fn plan(input: Checkout) -> Result<Plan, Error> {
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
    let Quoted { currency, lines } = quote::quote(input.buyer, buyer.currency, &input.address, input.items)?;
    let lines = lines
        .into_iter()
        .map(|(line, shipping)| Line::price(line, shipping, ReservationId(new_id())))
        .collect::<Result<Vec<_>, _>>()?;
    let total = Money::new(checkout::total(&lines)?, currency);
    let payment = payment_for(total, &input.payment_option)?;

    let date_created = now();
    Ok(Plan {
        buyer: input.buyer,
        address: input.address,
        buy_now: input.buy_now,
        session_id: SessionId(new_id()),
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

/// Opens the session in one transaction and starts its clock.
fn open(plan: &Plan, serials: &[Vec<String>]) -> Result<(), Error> {
    sql::transaction(|tx| {
        insert_session(tx, plan)?;
        let common = item::Common {
            session_id: plan.session_id,
            buyer: plan.buyer,
            address: &plan.address,
            currency: plan.total.currency,
            now: plan.date_created,
        };
        item::insert(tx, common, &plan.lines, serials)?;
        if plan.payment.is_none() {
            session::succeed(tx, plan.session_id, plan.date_created)?;
        }
        let skus: Vec<SkuId> = plan.lines.iter().map(|line| line.wanted.sku_id).collect();
        if !plan.buy_now {
            cart::take(tx, plan.session_id, plan.buyer, &skus)?;
        }
        // Written with the commit: there is no session without its deadline.
        let delay = plan.date_expired.as_ms() - plan.date_created.as_ms();
        timer::schedule(expire::TIMER, &plan.session_id, delay as u64);
        Ok(())
    })
}

fn insert_session(tx: &Transaction, plan: &Plan) -> Result<(), Error> {
    let collect_on_delivery = plan.payment.as_ref().is_some_and(|payment| payment.collect_on_delivery);
    let subtotal: i64 = plan.lines.iter().map(|line| line.subtotal_amount).sum();
    session::insert(
        tx,
        &NewSession {
            id: plan.session_id,
            kind: Kind::BuyerCheckout,
            from_id: plan.buyer,
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
    let Some(payment) = &plan.payment else { return Ok(()) };
    leg::insert(
        tx,
        &NewLeg {
            id: plan.leg_id,
            session_id: plan.session_id,
            kind: Kind::BuyerCheckout,
            payment_option: payment.id.clone(),
            data: if collect_on_delivery {
                json!({ "cod": true })
            } else {
                json!({})
            },
            amount: plan.total.amount_minor,
            currency: plan.total.currency,
            date_created: plan.date_created,
        },
    )?;
    Ok(())
}

/// Asks the provider for the money, and notes what it answered.
fn pay(plan: &Plan) -> Result<Receipt, Error> {
    let receipt = |payment_url| Receipt {
        session_id: plan.session_id,
        payment_url,
    };
    let Some(payment) = &plan.payment else {
        return Ok(receipt(String::new()));
    };
    let description = format!("Checkout session {} (attempt 1)", plan.session_id);
    let charge = Charge {
        leg_id: plan.leg_id,
        amount: plan.total,
        description: &description,
        expires: plan.date_expired,
    };
    match payment.charge(&charge)? {
        Charged::OnDelivery => Ok(receipt(String::new())),
        Charged::Redirect(url) => {
            leg::add_data(plan.leg_id, &json!({ "gateway_url": url }))?;
            Ok(receipt(url))
        }
        Charged::Settled(reference) => {
            let now = now();
            sql::transaction(|tx| {
                session::succeed(tx, plan.session_id, now)?;
                leg::settle(tx, plan.session_id, Some(&reference), now)
            })?;
            Ok(receipt(String::new()))
        }
    }
}
