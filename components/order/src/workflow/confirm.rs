//! A seller confirms pending lines: they become an order. A fee that is paid elsewhere makes it a flow of its own, as a checkout is.

use sdk::{
    AccountId, Money, Timestamp, config, new_id, now, saga,
    sql::{self, Transaction},
};
use serde_json::json;

use super::{
    begin, checkout,
    collect::{self, Due, Opened},
    expire,
    payout::{self, NewPayout},
    undo::Undo,
    wallet,
};
use crate::{
    domain::{
        confirmation::{self, Batch, PlatformFee},
        id::{ItemId, LegId, OrderId, SessionId},
        item::Item,
        order::Order,
        parcel::Periods,
        refusal::Continuation,
        session::Kind,
        status::Status,
    },
    error::Error,
    peers::{
        account,
        carriers::{Carriers, Quote},
        flows::{self, Flow},
        inventory,
        ledger::{self, Movement},
        payments::{self, PaymentOption},
    },
    store::{
        item,
        leg::{self, NewLeg},
        order,
        session::{self, NewSession},
        transport::{self, NewTransport},
    },
};

/// What a seller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) seller: AccountId,
    pub(crate) item_ids: Vec<ItemId>,
    /// Empty when the fee is netted from what the carrier collects.
    pub(crate) payment_option: String,
    /// The wallet pays first.
    pub(crate) use_wallet: bool,
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

/// How what no wallet pays of the seller's fee is paid.
enum FeePayment {
    /// Nothing to pay.
    None,
    /// Kept back from what the carrier collects under this option.
    Netted(String),
    /// The seller is sent away to pay it.
    Charged(PaymentOption),
}

/// A confirmation with its ids and its fee, before anything is changed.
struct Plan {
    confirm: Confirm,
    batch: Batch,
    /// What the carrier asks now. Where it is more than the seller pays, the difference is the platform's.
    quote: Quote,
    /// What the seller pays for it; the rest of the fee is what the platform takes of the goods.
    carriage: i64,
    fee: Money,
    /// What the wallet pays of it; none when it is not used, or empty.
    wallet: Option<wallet::Share>,
    /// What is paid otherwise.
    rest: Money,
    payment: FeePayment,
    session_id: SessionId,
    leg_id: LegId,
    order_id: OrderId,
    /// How long a paid line waits for its seller.
    confirm_seconds: i64,
    /// How long the seller's money is kept.
    periods: Periods,
    now: Timestamp,
    /// Until when the fee can be paid.
    date_expired: Timestamp,
}

/// Checks everything, claims the lines, sells their stock and places the order; where the fee is paid elsewhere, in a flow of its own.
///
/// The claim decides between two confirmations, and between a confirmation and a cancellation. Stock is sold before the order
/// exists: a line whose stock is sold but whose order fails is put back with its checkout, and an order is never without stock.
pub(crate) fn confirm(input: Confirm) -> Result<Receipt, Error> {
    let plan = plan(input, None)?;
    if matches!(plan.payment, FeePayment::Charged(_)) {
        return begin::confirm(&plan.confirm, plan.session_id, plan.date_expired);
    }
    saga(|undo| {
        confirm_now(&plan, undo)?;
        Ok(Receipt {
            session_id: plan.session_id,
            payment_url: String::new(),
        })
    })
}

/// A confirmation that asks nothing more of its seller: what the wallet does not pay of the fee is netted.
fn confirm_now(plan: &Plan, undo: &mut sdk::Undo<'_, Undo>) -> Result<(), Error> {
    hold_share(plan, undo)?;
    undo.push(Undo::ReleaseClaim(plan.session_id));
    sql::transaction(|tx| claim(tx, plan))?;
    sell(plan)?;
    sql::transaction(|tx| {
        place(tx, plan, plan.now)?;
        session::succeed(tx, plan.session_id, plan.now)?;
        leg::settle(tx, plan.session_id, plan.now)?;
        Ok::<_, Error>(())
    })?;
    capture_share(plan);
    let paid = Money::new(plan.fee.amount_minor - plan.rest.amount_minor, plan.fee.currency);
    ledger::post(&[(Movement::Fee(plan.session_id), paid)]);
    Ok(())
}

/// Has the wallet hold its share of the fee.
fn hold_share(plan: &Plan, undo: &mut sdk::Undo<'_, Undo>) -> Result<(), Error> {
    match &plan.wallet {
        Some(share) => share.hold(Kind::SellerConfirmationFee, plan.session_id, plan.confirm.seller, undo),
        None => Ok(()),
    }
}

/// Takes the wallet's share of the fee, whose leg is settled.
fn capture_share(plan: &Plan) {
    if plan.wallet.is_some() {
        ledger::capture(Kind::SellerConfirmationFee, plan.session_id);
    }
}

/// The flow of a confirmation whose fee is paid elsewhere: to an order, or back to where it began.
pub(crate) fn run(flow: &Flow<Confirm>) -> Result<(), Error> {
    let outcome = saga(|undo| {
        let plan = plan(flow.input.clone(), Some(flow.session_id))?;
        let FeePayment::Charged(payment) = &plan.payment else {
            // The wallet holds more than when this was begun, or the fee is less.
            confirm_now(&plan, undo)?;
            flows::payment_url(Kind::SellerConfirmationFee, flow.session_id).complete(&Continuation::At(String::new()));
            return Ok(());
        };
        let due = Due {
            session_id: plan.session_id,
            kind: Kind::SellerConfirmationFee,
            payment,
            amount: plan.rest,
            expires: plan.date_expired,
            attempt_seconds: collect::attempt_seconds()?,
        };
        hold_share(&plan, undo)?;
        undo.push(Undo::ReleaseClaim(plan.session_id));
        let opened = claim_waiting(&plan, &due)?;
        sell(&plan).inspect_err(|error| due.note_failure(error))?;
        let paid = due.collect(opened)?;
        // The order begins when its fee is paid, which may be long after it was asked for.
        let now = now();
        sql::transaction(|tx| {
            session::lock(tx, plan.session_id)?;
            place(tx, &plan, now)?;
            due.settle(tx, &paid, now)
        })?;
        capture_share(&plan);
        ledger::post(&[due.capture(&paid), (Movement::Fee(plan.session_id), plan.fee)]);
        Ok(())
    });
    begin::end(flow, Kind::SellerConfirmationFee, outcome)
}

fn sell(plan: &Plan) -> Result<(), Error> {
    let mut items = plan.batch.items.iter();
    items.try_for_each(|item| inventory::commit(item.reservation_id))
}

/// Everything that can be refused without having changed anything.
fn plan(confirm: Confirm, session_id: Option<SessionId>) -> Result<Plan, Error> {
    let now = now();
    let items = item::by_ids(&confirm.item_ids)?;
    let session_ids: Vec<SessionId> = items.iter().map(|item| item.payment_session_id).collect();
    let confirm_seconds = expire::confirm_seconds()?;
    let batch = confirmation::check(
        &confirm.item_ids,
        items,
        &session::by_ids(&session_ids)?,
        confirm.seller,
        now,
        confirm_seconds,
    )?;
    check_collected(&batch)?;
    let quote = quote(confirm.seller, &batch)?;
    let quoted_lines = batch
        .checkout
        .map(|checkout| item::parcel_lines(checkout, confirm.seller, &batch.transport_option))
        .transpose()?;
    let carriage = batch.carriage(quoted_lines, quote.cost.amount_minor);
    let fee = carriage.checked_add(platform_fee()?.of(&batch));
    let fee = Money::new(fee.ok_or(Error::AmountTooLarge)?, batch.currency);
    let wallet = wallet::share(confirm.use_wallet, confirm.seller, fee)?;
    let mut rest = wallet::rest(fee, wallet.as_ref());
    let mut payment = fee_payment(rest, &batch, &confirm.payment_option)?;
    if matches!(payment, FeePayment::Netted(_)) {
        // Kept back from what the order brings: no more than that, and nobody is paid less than nothing.
        rest.amount_minor = rest.amount_minor.min(batch.total_amount);
        if rest.amount_minor == 0 {
            payment = FeePayment::None;
        }
    }
    let fee = wallet::with(rest, wallet.as_ref());
    // The platform goes without its own part, but carries nothing at its cost that its seller has made dearer.
    if fee.amount_minor < carriage {
        return Err(Error::CarriageNotCovered(Money::new(carriage, batch.currency)));
    }
    let periods = payout::periods()?;
    Ok(Plan {
        confirm,
        batch,
        quote,
        carriage,
        fee,
        wallet,
        rest,
        payment,
        session_id: session_id.unwrap_or_else(|| SessionId(new_id())),
        leg_id: LegId(new_id()),
        order_id: OrderId(new_id()),
        confirm_seconds,
        periods,
        now,
        date_expired: now.plus_seconds(checkout::session_seconds()?),
    })
}

/// What the platform takes of an order, as it is configured: nothing, unless it says so.
fn platform_fee() -> Result<PlatformFee, Error> {
    const BASIS_POINTS: &str = "platform_fee_bps";
    let fee = PlatformFee {
        basis_points: config::parse_or(BASIS_POINTS, 0)?,
        fixed_minor: config::parse_or("platform_fee_minor", 0)?,
    };
    if fee.basis_points > PlatformFee::MOST_BASIS_POINTS {
        return Err(Error::Config(config::Error::Invalid {
            name: BASIS_POINTS.to_owned(),
            expected: "number from 0 to 10000",
        }));
    }
    Ok(fee)
}

/// Refuses to have more collected at one door, of several checkouts, than is collected of one.
fn check_collected(batch: &Batch) -> Result<(), Error> {
    let amount = Money::new(batch.on_delivery_amount, batch.currency);
    let mut options = batch.joined_options.iter();
    options.try_for_each(|option| match payments::option(option)?.check(amount) {
        Err(Error::PaymentTooLarge { option, most }) => Err(Error::CollectTooLarge { option, most }),
        checked => checked,
    })
}

fn quote(seller: AccountId, batch: &Batch) -> Result<Quote, Error> {
    let origin = account::origin(seller)?;
    let loads: Vec<_> = batch.items.iter().map(Item::load).collect();
    Carriers::granted().quote(&batch.transport_option, &origin, &batch.address, &loads, batch.currency)
}

fn fee_payment(rest: Money, batch: &Batch, option: &str) -> Result<FeePayment, Error> {
    // A named option must exist even where it is not needed.
    let chosen = if option.is_empty() {
        None
    } else {
        Some(payments::option(option)?)
    };
    if rest.amount_minor == 0 {
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
    payment.check(rest)?;
    Ok(FeePayment::Charged(payment))
}

/// Opens the session of a fee that is netted, or of none, and claims the lines.
fn claim(tx: &Transaction, plan: &Plan) -> Result<(), Error> {
    let netted = match &plan.payment {
        FeePayment::Netted(option) => Some(option),
        FeePayment::None | FeePayment::Charged(_) => None,
    };
    claim_lines(tx, plan)?;
    if let Some(payment_option) = netted {
        leg::insert(
            tx,
            &NewLeg {
                id: plan.leg_id,
                session_id: plan.session_id,
                kind: Kind::SellerConfirmationFee,
                payment_option: Some(payment_option.clone()),
                data: json!({ "netted": true }),
                amount: plan.rest.amount_minor,
                currency: plan.rest.currency,
                date_created: plan.now,
                date_expired: None,
                date_settled: None,
            },
        )?;
    }
    check_count(plan, item::claim(tx, &plan.confirm.item_ids, plan.session_id)?)
}

/// Opens the session of a fee that is paid elsewhere, with its first attempt, and claims the lines.
fn claim_waiting(plan: &Plan, due: &Due<'_>) -> Result<Opened, Error> {
    sql::transaction(|tx| {
        claim_lines(tx, plan)?;
        let opened = due.open(tx, plan.leg_id, plan.now)?;
        check_count(plan, item::claim(tx, &plan.confirm.item_ids, plan.session_id)?)?;
        Ok(opened)
    })
}

/// Checks that nobody took or cancelled one of the lines meanwhile, and opens the fee's session.
fn claim_lines(tx: &Transaction, plan: &Plan) -> Result<(), Error> {
    let sessions = session::lock_of_items(tx, &plan.confirm.item_ids)?;
    let items = item::lock(tx, &plan.confirm.item_ids)?;
    confirmation::check(
        &plan.confirm.item_ids,
        items,
        &sessions,
        plan.confirm.seller,
        plan.now,
        plan.confirm_seconds,
    )?;
    let (option, netted) = match &plan.payment {
        FeePayment::None => (None, false),
        FeePayment::Netted(option) => (Some(option), true),
        FeePayment::Charged(payment) => (Some(&payment.id), false),
    };
    session::insert(
        tx,
        &NewSession {
            id: plan.session_id,
            kind: Kind::SellerConfirmationFee,
            from_id: Some(plan.confirm.seller),
            to_id: None,
            currency: plan.fee.currency,
            total_amount: plan.fee.amount_minor,
            collect_on_delivery: false,
            data: json!({
                "payment_option": option,
                "netted": netted,
                "shipping_amount": plan.carriage,
                "platform_fee_amount": plan.fee.amount_minor - plan.carriage,
                "wallet_amount": plan.fee.amount_minor - plan.rest.amount_minor,
            }),
            date_created: plan.now,
            date_expired: plan.date_expired,
        },
    )?;
    match &plan.wallet {
        Some(share) => share.insert(tx, Kind::SellerConfirmationFee, plan.session_id, plan.now, false),
        None => Ok(()),
    }
}

/// Turns the claim into an order, whose parcel is booked next and whose seller is paid in time.
fn place(tx: &Transaction, plan: &Plan, now: Timestamp) -> Result<(), Error> {
    let transport_id = transport::insert(
        tx,
        &NewTransport {
            option: &plan.batch.transport_option,
            provider: &plan.quote.provider,
            cost: plan.quote.cost,
            data: parcel_data(plan, now),
            date_created: now,
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
            date_created: now,
            confirmed_by_id: plan.confirm.seller,
            confirm_session_id: plan.session_id,
            note: plan.confirm.note.clone(),
        },
    )?;
    check_count(plan, item::place(tx, plan.session_id, plan.order_id)?)?;
    flows::start_booking(plan.order_id);
    let netted = match plan.payment {
        FeePayment::Netted(_) => plan.rest.amount_minor,
        FeePayment::None | FeePayment::Charged(_) => 0,
    };
    payout::open(
        tx,
        &NewPayout {
            order_id: plan.order_id,
            seller: plan.confirm.seller,
            currency: plan.batch.currency,
            total_amount: plan.batch.total_amount,
            collect_amount: plan.batch.on_delivery_amount,
            netted_fee_amount: netted,
            date_created: now,
            date_due: plan.periods.due(now, Status::Pending, now),
        },
    )
}

/// What the carrier is to be told, and what clients read.
fn parcel_data(plan: &Plan, now: Timestamp) -> serde_json::Value {
    json!({
        "quote": plan.carriage,
        "eta": now.plus_seconds(i64::from(plan.quote.eta_hours) * 3600),
        "pick_money": plan.batch.on_delivery_amount,
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
