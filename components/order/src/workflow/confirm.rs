//! A seller confirms pending lines: they become an order.

use sdk::{AccountId, Money, Timestamp, new_id, now, saga, sql};
use serde_json::json;

use super::undo::Undo;
use crate::{
    domain::{
        confirmation::{self, Batch},
        id::{ItemId, LegId, OrderId, SessionId},
        order::Order,
        session::Kind,
        shipping::Load,
    },
    error::Error,
    peers::{
        account,
        carriers::{Carriers, Quote},
        inventory,
        payments::{self, Charge, Charged, PaymentOption},
    },
    store::{
        item,
        leg::{self, NewLeg},
        order,
        session::{self, NewSession},
        transport::{self, NewTransport},
    },
};

const FEE_SESSION_HOURS: i64 = 24;

/// The platform takes nothing of its own yet.
const PLATFORM_FEE: i64 = 0;

/// What a seller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) seller: AccountId,
    pub(crate) item_ids: Vec<ItemId>,
    /// Empty when the fee is netted from what the carrier collects.
    pub(crate) payment_option: String,
    /// Never empty.
    pub(crate) note: Option<String>,
}

/// What a seller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) session_id: SessionId,
    /// Where the payment of the fee continues; empty when there is nothing to do there.
    pub(crate) payment_url: String,
}

/// How the seller's fee is paid.
enum FeePayment {
    /// Nothing to pay.
    None,
    /// Kept back from what the carrier collects under this option.
    Netted(String),
    /// Charged at once.
    Charged(PaymentOption),
}

/// A confirmation with its ids and its fee, before anything is changed.
struct Plan {
    confirm: Confirm,
    batch: Batch,
    quote: Quote,
    fee: Money,
    payment: FeePayment,
    session_id: SessionId,
    leg_id: LegId,
    order_id: OrderId,
    now: Timestamp,
}

/// Checks everything, claims the lines, sells their stock, settles the fee and places the order.
///
/// The claim decides between two confirmations, and between a confirmation and a cancellation. Stock is sold before the order
/// exists: a line whose stock is sold but whose order fails is put back with its checkout, and an order is never without stock.
pub(crate) fn confirm(input: Confirm) -> Result<Receipt, Error> {
    let plan = plan(input)?;
    saga(|undo| {
        undo.push(Undo::ReleaseClaim(plan.session_id));
        claim(&plan)?;
        for item in &plan.batch.items {
            inventory::commit(item.reservation_id)?;
        }
        let reference = settle_fee(&plan)?;
        place(&plan, reference.as_deref())?;
        Ok(Receipt {
            session_id: plan.session_id,
            payment_url: String::new(),
        })
    })
}

/// Everything that can be refused without having changed anything.
fn plan(confirm: Confirm) -> Result<Plan, Error> {
    let now = now();
    let items = item::by_ids(&confirm.item_ids)?;
    let session_ids: Vec<SessionId> = items.iter().map(|item| item.payment_session_id).collect();
    let batch = confirmation::check(
        &confirm.item_ids,
        items,
        &session::by_ids(&session_ids)?,
        confirm.seller,
        now,
    )?;
    let quote = quote(confirm.seller, &batch)?;
    let fee = quote
        .cost
        .amount_minor
        .checked_add(PLATFORM_FEE)
        .ok_or(Error::AmountTooLarge)?;
    let fee = Money::new(fee, quote.cost.currency);
    let payment = fee_payment(fee, &batch, &confirm.payment_option)?;
    Ok(Plan {
        confirm,
        batch,
        quote,
        fee,
        payment,
        session_id: SessionId(new_id()),
        leg_id: LegId(new_id()),
        order_id: OrderId(new_id()),
        now,
    })
}

fn quote(seller: AccountId, batch: &Batch) -> Result<Quote, Error> {
    let origin = account::origin(seller)?;
    let loads: Vec<Load> = batch
        .items
        .iter()
        .map(|item| Load {
            quantity: item.quantity,
            weight_grams: u32::try_from(item.weight_grams).unwrap_or(u32::MAX),
        })
        .collect();
    Carriers::granted().quote(&batch.transport_option, &origin, &batch.address, &loads, batch.currency)
}

fn fee_payment(fee: Money, batch: &Batch, option: &str) -> Result<FeePayment, Error> {
    // A named option must exist even where it is not needed.
    let chosen = if option.is_empty() {
        None
    } else {
        Some(payments::option(option)?)
    };
    if fee.amount_minor == 0 {
        return Ok(FeePayment::None);
    }
    if let Some(collected_by) = &batch.collected_by {
        return Ok(FeePayment::Netted(collected_by.clone()));
    }
    let payment = chosen.ok_or(Error::WalletInsufficient)?;
    // Nothing is collected for lines that are paid already.
    if payment.collect_on_delivery {
        return Err(Error::FeeNotSettled);
    }
    payment.check(fee)?;
    Ok(FeePayment::Charged(payment))
}

/// Opens the fee session and claims the lines, unless somebody took or cancelled one of them meanwhile.
fn claim(plan: &Plan) -> Result<(), Error> {
    sql::transaction(|tx| {
        let sessions = session::lock_of_items(tx, &plan.confirm.item_ids)?;
        let items = item::lock(tx, &plan.confirm.item_ids)?;
        confirmation::check(&plan.confirm.item_ids, items, &sessions, plan.confirm.seller, plan.now)?;

        let netted = matches!(plan.payment, FeePayment::Netted(_));
        let option = match &plan.payment {
            FeePayment::None => None,
            FeePayment::Netted(option) => Some(option.clone()),
            FeePayment::Charged(payment) => Some(payment.id.clone()),
        };
        session::insert(
            tx,
            &NewSession {
                id: plan.session_id,
                kind: Kind::SellerConfirmationFee,
                from_id: plan.confirm.seller,
                currency: plan.fee.currency,
                total_amount: plan.fee.amount_minor,
                collect_on_delivery: false,
                data: json!({
                    "payment_option": &option,
                    "netted": netted,
                    "shipping_amount": plan.quote.cost.amount_minor,
                    "platform_fee_amount": PLATFORM_FEE,
                }),
                date_created: plan.now,
                date_expired: plan.now.plus_seconds(FEE_SESSION_HOURS * 3600),
            },
        )?;
        if let Some(payment_option) = option {
            leg::insert(
                tx,
                &NewLeg {
                    id: plan.leg_id,
                    session_id: plan.session_id,
                    kind: Kind::SellerConfirmationFee,
                    payment_option,
                    data: json!({ "netted": netted }),
                    amount: plan.fee.amount_minor,
                    currency: plan.fee.currency,
                    date_created: plan.now,
                },
            )?;
        }
        check_count(plan, item::claim(tx, &plan.confirm.item_ids, plan.session_id)?)
    })
}

/// Charges the fee where it is not netted. Returns the provider's reference.
fn settle_fee(plan: &Plan) -> Result<Option<String>, Error> {
    let FeePayment::Charged(payment) = &plan.payment else {
        return Ok(None);
    };
    let description = format!("Confirm fee session {} (attempt 1)", plan.session_id);
    let charge = Charge {
        leg_id: plan.leg_id,
        amount: plan.fee,
        description: &description,
        expires: plan.now.plus_seconds(FEE_SESSION_HOURS * 3600),
    };
    match payment.charge(&charge)? {
        Charged::Settled(reference) => Ok(Some(reference)),
        Charged::Redirect(_) | Charged::OnDelivery => Err(Error::FeeNotSettled),
    }
}

/// Turns the claim into an order, in one transaction.
fn place(plan: &Plan, reference: Option<&str>) -> Result<(), Error> {
    sql::transaction(|tx| {
        let transport_id = transport::insert(
            tx,
            &NewTransport {
                option: &plan.batch.transport_option,
                provider: &plan.quote.provider,
                cost: plan.quote.cost,
                data: parcel_data(plan),
                date_created: plan.now,
            },
        )?;
        order::insert(
            tx,
            &Order {
                id: plan.order_id,
                buyer_id: plan.batch.buyer_id,
                seller_id: plan.confirm.seller,
                transport_id,
                address: plan.batch.address.clone(),
                date_created: plan.now,
                confirmed_by_id: plan.confirm.seller,
                confirm_session_id: plan.session_id,
                note: plan.confirm.note.clone(),
            },
        )?;
        check_count(plan, item::place(tx, plan.session_id, plan.order_id)?)?;
        session::succeed(tx, plan.session_id, plan.now)?;
        leg::settle(tx, plan.session_id, reference, plan.now)?;
        Ok(())
    })
}

/// What the carrier is to be told, and what clients read.
fn parcel_data(plan: &Plan) -> serde_json::Value {
    let collected = if plan.batch.collected_by.is_some() {
        plan.batch.total_amount
    } else {
        0
    };
    json!({
        "quote": plan.quote.cost.amount_minor,
        "eta": plan.now.plus_seconds(i64::from(plan.quote.eta_hours) * 3600),
        "pick_money": collected,
    })
}

fn check_count(plan: &Plan, changed: u64) -> Result<(), Error> {
    let claimed = plan.batch.items.len() as u64;
    if changed == claimed {
        Ok(())
    } else {
        Err(Error::ClaimLost {
            claimed,
            placed: changed,
        })
    }
}
