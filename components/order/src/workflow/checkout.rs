//! From a cart to a checkout that waits for its sellers.
//!
//! What is paid from the wallet, or at the door, is done while the buyer waits. What is paid elsewhere is a flow of its own: it lives as long as
//! the session, and the request that began it answers when it knows where the payment continues.

use sdk::{
    AccountId, Money, Timestamp, config, new_id, now, saga,
    sql::{self, Transaction},
    timer,
};
use serde_json::json;

use super::{
    begin,
    collect::{self, Due, Opened},
    expire,
    quote::{self, Quoted},
    undo::Undo,
    wallet,
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
        account::{self, Buyer},
        flows::{self, Flow},
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
    /// Empty when the wallet is to pay for all.
    pub(crate) payment_option: String,
    /// The wallet pays first.
    pub(crate) use_wallet: bool,
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
    /// What the wallet pays of it; none when it is not used, or empty.
    wallet: Option<wallet::Share>,
    /// What is paid otherwise.
    rest: Money,
    /// How; none when the wallet pays for all.
    payment: Option<PaymentOption>,
    date_created: Timestamp,
    date_expired: Timestamp,
    /// How long the sellers have for an answer once it is paid.
    confirm_seconds: i64,
}

/// Checks everything; then holds the stock, opens the session and asks for the payment, here or in a flow of its own.
pub(crate) fn checkout(input: Checkout, buyer: &Buyer) -> Result<Receipt, Error> {
    let plan = plan(&input, buyer, None)?;
    if plan.is_paid_elsewhere() {
        return begin::checkout(&input, plan.session_id, plan.date_expired);
    }
    saga(|undo| {
        place(&plan, undo)?;
        Ok(Receipt {
            session_id: plan.session_id,
            payment_url: String::new(),
        })
    })
}

/// Opens a checkout that asks nothing more of its buyer: the wallet pays for all, or the carrier collects what it does not.
fn place(plan: &Plan, undo: &mut sdk::Undo<'_, Undo>) -> Result<(), Error> {
    let serials = hold(plan, undo)?;
    hold_share(plan, undo)?;
    if plan.payment.is_none() {
        sell(plan)?;
    }
    undo.push(Undo::CloseCheckout(plan.session_id));
    sql::transaction(|tx| open(tx, plan, &serials))?;
    capture_share(plan);
    match &plan.payment {
        Some(payment) => collect_at_the_door(plan, payment),
        None => Ok(()),
    }
}

/// The flow of a checkout that is paid elsewhere: to a paid session, or back to where it began.
pub(crate) fn run(flow: &Flow<Checkout>) -> Result<(), Error> {
    let outcome = saga(|undo| {
        let buyer = account::buyer(flow.input.buyer)?;
        let plan = plan(&flow.input, &buyer, Some(flow.session_id))?;
        let Some(payment) = &plan.payment else {
            // The wallet holds more than when this was begun.
            place(&plan, undo)?;
            flows::payment_url(Kind::BuyerCheckout, flow.session_id).complete(&Continuation::At(String::new()));
            return Ok(());
        };
        let due = Due {
            session_id: plan.session_id,
            kind: Kind::BuyerCheckout,
            payment,
            amount: plan.rest,
            expires: plan.date_expired,
            attempt_seconds: collect::attempt_seconds()?,
        };
        let serials = hold(&plan, undo)?;
        hold_share(&plan, undo)?;
        undo.push(Undo::CloseCheckout(plan.session_id));
        let opened = open_waiting(&plan, &serials, &due)?;
        let paid = due.collect(opened)?;
        sell(&plan).inspect_err(|error| due.note_failure(error))?;
        let now = now();
        sql::transaction(|tx| {
            session::lock(tx, plan.session_id)?;
            expire::await_sellers(plan.session_id, plan.confirm_seconds);
            due.settle(tx, &paid, now)
        })?;
        capture_share(&plan);
        ledger::post(&[due.capture(&paid)]);
        Ok(())
    });
    begin::end(flow, Kind::BuyerCheckout, outcome)
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

/// Has the wallet hold its share.
fn hold_share(plan: &Plan, undo: &mut sdk::Undo<'_, Undo>) -> Result<(), Error> {
    match &plan.wallet {
        Some(share) => share.hold(Kind::BuyerCheckout, plan.session_id, plan.buyer, undo),
        None => Ok(()),
    }
}

/// Takes the wallet's share, whose leg is settled.
fn capture_share(plan: &Plan) {
    if plan.wallet.is_some() {
        ledger::capture(Kind::BuyerCheckout, plan.session_id);
    }
}

/// Sells the stock that is held: nothing holds it from now on but the buyer's money.
fn sell(plan: &Plan) -> Result<(), Error> {
    let mut lines = plan.lines.iter();
    lines.try_for_each(|line| inventory::commit(line.reservation_id))
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
fn plan(input: &Checkout, buyer: &Buyer, session_id: Option<SessionId>) -> Result<Plan, Error> {
    if input.buy_now && input.items.len() != 1 {
        return Err(Error::BuyNowSingleSku);
    }
    let country = geocoding::country(&input.address)?;
    if country != buyer.country {
        return Err(Error::AddressCountryMismatch {
            address: country,
            buyer: buyer.country.clone(),
        });
    }
    let Quoted { currency, lines } = quote::quote(input.buyer, buyer.currency, &input.address, input.items.clone())?;
    let mut lines = lines
        .into_iter()
        .map(|(line, shipping)| Line::price(line, shipping, ReservationId(new_id())))
        .collect::<Result<Vec<_>, _>>()?;
    let total = Money::new(checkout::total(&lines)?, currency);
    let wallet = wallet::share(input.use_wallet, input.buyer, total)?;
    let rest = wallet::rest(total, wallet.as_ref());
    checkout::pay_from_wallet(&mut lines, total.amount_minor - rest.amount_minor);
    let payment = payment_for(rest, &input.payment_option)?;
    let (session_seconds, confirm_seconds) = (session_seconds()?, expire::confirm_seconds()?);
    // What is collected at the door waits for nothing but its sellers, who have as long for it as for what is paid.
    let lives_seconds = match &payment {
        Some(payment) if payment.collect_on_delivery => confirm_seconds,
        _ => session_seconds,
    };
    let date_created = now();
    Ok(Plan {
        buyer: input.buyer,
        address: input.address.clone(),
        buy_now: input.buy_now,
        session_id: session_id.unwrap_or_else(|| SessionId(new_id())),
        leg_id: LegId(new_id()),
        lines,
        total,
        wallet,
        rest,
        payment,
        date_created,
        date_expired: date_created.plus_seconds(lives_seconds),
        confirm_seconds,
    })
}

/// How what no wallet pays is paid. An option that is named must exist even where it is not needed.
fn payment_for(rest: Money, option: &str) -> Result<Option<PaymentOption>, Error> {
    if option.is_empty() {
        return if rest.amount_minor == 0 {
            Ok(None)
        } else {
            Err(Error::WalletInsufficient)
        };
    }
    let payment = payments::option(option)?;
    if rest.amount_minor == 0 {
        return Ok(None);
    }
    payment.check(rest)?;
    Ok(Some(payment))
}

/// How long a session waits to be paid.
pub(super) fn session_seconds() -> Result<i64, Error> {
    let seconds = match config::parse::<u32>("session_seconds")? {
        Some(seconds) => i64::from(seconds),
        None => i64::from(config::parse_or("session_hours", DEFAULT_SESSION_HOURS)?) * 3600,
    };
    Ok(seconds)
}

/// Opens the session of what the wallet pays, which is paid then, or the carrier collects, and starts the clock of that.
fn open(tx: &Transaction, plan: &Plan, serials: &[Vec<String>]) -> Result<(), Error> {
    open_session(tx, plan, serials)?;
    let Some(payment) = &plan.payment else {
        session::succeed(tx, plan.session_id, plan.date_created)?;
        expire::await_sellers(plan.session_id, plan.confirm_seconds);
        return Ok(());
    };
    leg::insert(
        tx,
        &NewLeg {
            id: plan.leg_id,
            session_id: plan.session_id,
            kind: Kind::BuyerCheckout,
            payment_option: Some(payment.id.clone()),
            data: json!({ "cod": true }),
            amount: plan.rest.amount_minor,
            currency: plan.rest.currency,
            date_created: plan.date_created,
            date_expired: None,
            date_settled: None,
        },
    )?;
    // Written with the commit: there is no session without its deadline.
    let delay = plan.date_expired.as_ms() - plan.date_created.as_ms();
    timer::schedule(expire::TIMER, &plan.session_id, delay as u64);
    Ok(())
}

/// Opens the session of what is paid elsewhere, with its first attempt. Its flow ends it: it needs no timer.
fn open_waiting(plan: &Plan, serials: &[Vec<String>], due: &Due<'_>) -> Result<Opened, Error> {
    sql::transaction(|tx| {
        open_session(tx, plan, serials)?;
        due.open(tx, plan.leg_id, plan.date_created)
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
                "wallet_amount": plan.total.amount_minor - plan.rest.amount_minor,
            }),
            date_created: plan.date_created,
            date_expired: plan.date_expired,
        },
    )?;
    if let Some(share) = &plan.wallet {
        // What a carrier collects the rest of is on its way to be sold: it waits for no payment.
        let is_settled = !plan.is_paid_elsewhere();
        share.insert(tx, Kind::BuyerCheckout, plan.session_id, plan.date_created, is_settled)?;
    }
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
fn collect_at_the_door(plan: &Plan, payment: &PaymentOption) -> Result<(), Error> {
    let description = format!("Checkout session {} (attempt 1)", plan.session_id);
    let charged = payment.charge(&Charge {
        leg_id: plan.leg_id,
        amount: plan.rest,
        description: &description,
        expires: plan.date_expired,
    })?;
    if charged == Charged::OnDelivery {
        return Ok(());
    }
    Err(Error::PaymentUnavailable(format!(
        "{} collects on delivery, and answers something else",
        payment.id
    )))
}
