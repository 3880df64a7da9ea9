//! From a checkout to a settled order, and back.

use futures_util::FutureExt;
use host_journal::WorkflowKey;
use host_recorder::{Bounds, Completed, Outgoing, Publishing, Waited};
use host_types::{Fault, PromiseId};
use uuid::Uuid;

use super::flows::OPENED;
use super::{DONE, account, payment, stock, transfer};
use crate::simulation::instance::{Instance, encode};
use crate::simulation::provider::{CAPTURED, DECLINED, PENDING};

pub(crate) const CHECKOUT: &str = "/checkout";
pub(crate) const RETURN: &str = "/return";
pub(crate) const CONFIRM: &str = "/confirm";
pub(crate) const REJECT: &str = "/reject";
pub(crate) const WEBHOOK: &str = "/webhook";
pub(crate) const PAY_OUT: &str = "pay out";

/// The topic of orders that are placed; their key is the item.
const PLACED: &str = "order.placed";

/// States of an order.
pub(crate) const NEW: i64 = 0;
pub(crate) const PAID: i64 = 1;
/// It came to nothing.
pub(crate) const CLOSED: i64 = 2;
/// The seller has the money.
pub(crate) const SETTLED: i64 = 3;
/// The buyer has it back.
pub(crate) const REFUNDED: i64 = 4;

/// Compensations.
const CLOSE: &str = "close";
const RELEASE: &str = "release";
const REFUND: &str = "refund";

const PRICE: i64 = 1_000;
const COMMISSION_PERCENT: i64 = 7;
/// How long a customer may take to pay.
const PAYMENT_MS: u64 = 3_000;
/// How long the buyer may give the goods back.
const ESCROW_MS: u64 = 4_000;

/// A response: status and body.
pub(super) type Response = (u16, String);

/// The whole way: it waits for the payment in the middle. A flow tells who waits for its opening.
pub(crate) async fn checkout(
    instance: &Instance,
    number: i64,
    item: i64,
    quantity: i64,
    flow: Option<&WorkflowKey>,
) -> Result<Response, Fault> {
    let recorder = &instance.recorder;
    let order = (recorder.derive_uuid()?.as_u128() as u64 >> 1).cast_signed();
    let paid = recorder.create_promise()?;
    let amount = quantity * PRICE;

    push(instance, CLOSE, order)?;
    let (high, low) = paid.0.as_u64_pair();
    let mut opening = instance.transaction("open an order").await?;
    opening.read("order", order.unsigned_abs()).await?;
    let row = vec![
        NEW,
        number,
        item,
        quantity,
        amount,
        high.cast_signed(),
        low.cast_signed(),
    ];
    opening.write("order", order.unsigned_abs(), row);
    opening.commit().await?;
    if let Some(flow) = flow {
        recorder.complete_named(flow, OPENED, &encode(order)).await?;
    }
    instance.work().await;

    push(instance, RELEASE, order)?;
    let reserve = |callee| stock::reserve(callee, order, item, quantity).boxed();
    if instance.call("stock:reserve", order, reserve).await? != DONE {
        undo_all(instance, &[RELEASE, CLOSE], order).await?;
        return Ok((409, format!("order {order}: sold out")));
    }

    push(instance, REFUND, order)?;
    let charge = |callee| payment::charge(callee, order, amount).boxed();
    let mut state = instance.call("payment:charge", order, charge).await?;
    if state == PENDING {
        state = match recorder.wait_for(paid, Some(PAYMENT_MS)).await? {
            Waited::Value(value) => super::decode(&value)?,
            Waited::TimedOut | Waited::Unknown => DECLINED,
        };
    }
    let confirm = |callee| stock::confirm(callee, order).boxed();
    if state != CAPTURED || instance.call("stock:confirm", order, confirm).await? != DONE {
        undo_all(instance, &[REFUND, RELEASE, CLOSE], order).await?;
        return Ok((402, format!("order {order}: not paid")));
    }

    // With the commit that makes the order stand.
    recorder.settle_compensations(3)?;
    let mut placing = instance.transaction("place an order").await?;
    let mut row = existing(placing.read("order", order.unsigned_abs()).await?)?;
    row[0] = PAID;
    placing.write("order", order.unsigned_abs(), row);
    transfer(&mut placing, order, account::WORLD, account::ESCROW, amount).await?;
    let letter = Outgoing {
        component: "mail".into(),
        function: "shop:mail/letters.send".into(),
        input: encode(order),
        memory_limit_bytes: 64 << 20,
        within_ms: None,
    };
    recorder.send("mail:letters.send", letter, 0)?;
    recorder.publish(Publishing {
        component: "orders".into(),
        topic: PLACED.into(),
        key: format!("item {item}"),
        content_type: "application/cbor".into(),
        payload: encode(order).to_vec(),
        retention_ms: 3_600_000,
    })?;
    recorder.schedule(
        &"orders".into(),
        Bounds::default(),
        PAY_OUT.into(),
        encode(order).to_vec(),
        ESCROW_MS,
    )?;
    placing.commit().await?;
    Ok((200, format!("order {order}")))
}

/// What an order waits for, by its row.
pub(crate) fn paid(row: &[i64]) -> Option<PromiseId> {
    let &[_, _, _, _, _, high, low] = row else { return None };
    Some(PromiseId(Uuid::from_u64_pair(
        high.cast_unsigned(),
        low.cast_unsigned(),
    )))
}

/// The provider says what became of a payment. It says so until it is answered.
pub(crate) async fn notified(instance: &Instance, order: i64, state: i64) -> Result<Response, Fault> {
    let mut looking = instance.transaction("look up a payment").await?;
    let row = looking.read("order", order.unsigned_abs()).await?;
    looking.rollback().await?;
    let Some(promise) = row.as_deref().and_then(paid) else {
        return Ok((404, format!("no order {order}")));
    };
    match instance.recorder.complete_promise(promise, &encode(state)).await? {
        Completed::Now | Completed::Before => Ok((200, format!("order {order} noted"))),
        Completed::Unknown => Ok((404, format!("order {order} waits for nothing"))),
    }
}

/// A paid order goes back: its buyer does not want it any more, or its seller will not sell it.
pub(crate) async fn give_back(instance: &Instance, order: i64) -> Result<Response, Fault> {
    let mut returning = instance.transaction("take an order back").await?;
    let mut row = existing(returning.read("order", order.unsigned_abs()).await?)?;
    if row[0] != PAID {
        returning.rollback().await?;
        return Ok((409, format!("order {order} cannot be given back")));
    }
    let amount = row[4];
    row[0] = REFUNDED;
    returning.write("order", order.unsigned_abs(), row);
    transfer(&mut returning, order, account::ESCROW, account::WORLD, amount).await?;
    returning.commit().await?;
    instance
        .call("stock:release", order, |callee| stock::release(callee, order).boxed())
        .await?;
    instance
        .call("payment:refund", order, |callee| payment::refund(callee, order).boxed())
        .await?;
    Ok((200, format!("order {order} is refunded")))
}

/// The seller has handed the goods over: he need not wait until nobody wants them back any more.
pub(crate) async fn confirm(instance: &Instance, order: i64) -> Result<Response, Fault> {
    Ok(match settle(instance, order).await? {
        true => (200, format!("order {order} is paid out")),
        false => (409, format!("order {order} cannot be paid out")),
    })
}

/// The seller's money, when nobody wants it back any more.
pub(crate) async fn pay_out(instance: &Instance, order: i64) -> Result<(), Fault> {
    settle(instance, order).await.map(drop)
}

/// Whether the order was to be settled, and now is.
async fn settle(instance: &Instance, order: i64) -> Result<bool, Fault> {
    let mut paying = instance.transaction("pay out").await?;
    let mut row = existing(paying.read("order", order.unsigned_abs()).await?)?;
    if row[0] != PAID {
        paying.rollback().await?;
        return Ok(false);
    }
    let commission = row[4] * COMMISSION_PERCENT / 100;
    let amount = row[4] - commission;
    row[0] = SETTLED;
    paying.write("order", order.unsigned_abs(), row);
    transfer(&mut paying, order, account::ESCROW, account::SELLER, amount).await?;
    transfer(&mut paying, order, account::ESCROW, account::PLATFORM, commission).await?;
    paying.commit().await?;
    Ok(true)
}

/// Undoes one thing; harmless when there is nothing to undo.
pub(crate) async fn undo(instance: &Instance, name: &str, order: i64) -> Result<(), Fault> {
    match name {
        CLOSE => close(instance, order).await,
        RELEASE => {
            let release = |callee| stock::release(callee, order).boxed();
            instance.call("stock:release", order, release).await.map(drop)
        }
        REFUND => {
            let refund = |callee| payment::refund(callee, order).boxed();
            instance.call("payment:refund", order, refund).await.map(drop)
        }
        name => Err(Fault::Guest(format!("nothing is undone by {name}"))),
    }
}

async fn undo_all(instance: &Instance, names: &[&str], order: i64) -> Result<(), Fault> {
    for name in names {
        undo(instance, name, order).await?;
        instance.recorder.compensation_undone()?;
    }
    Ok(())
}

async fn close(instance: &Instance, order: i64) -> Result<(), Fault> {
    let mut closing = instance.transaction("close an order").await?;
    let row = closing.read("order", order.unsigned_abs()).await?;
    let mut row = row.unwrap_or_else(|| vec![NEW, -1, 0, 0, 0, 0, 0]);
    if row[0] == NEW {
        row[0] = CLOSED;
    }
    closing.write("order", order.unsigned_abs(), row);
    closing.commit().await
}

fn push(instance: &Instance, name: &str, order: i64) -> Result<(), Fault> {
    instance.recorder.push_compensation(name.into(), encode(order).to_vec())
}

fn existing(row: Option<Vec<i64>>) -> Result<Vec<i64>, Fault> {
    row.ok_or_else(|| Fault::Guest("an order is gone".into()))
}
