//! An order's parcel is booked with its carrier. It begins with the commit that makes the order, in an invocation of its own: a carrier that does not
//! answer, or does not want the parcel, takes nothing of the order back, and is asked again.

use sdk::{Money, log, sql};
use serde_json::json;

use super::payout;
use crate::{
    domain::{
        booking::{Booking, Content},
        id::OrderId,
        order::OrderDetail,
        status::Status,
    },
    error::Error,
    peers::{account, carriers},
    store::{order, transport},
};

/// Books the parcel of an order, unless it has come to an end already. The carrier knows it by the order, so it is one parcel however often this is run.
pub(crate) fn book(id: OrderId) -> Result<(), Error> {
    let order = order::get(id)?.ok_or(Error::OrderNotFound)?;
    let detail = order::detail(vec![order])?.pop().ok_or(Error::OrderNotFound)?;
    let parcel = detail.transport.as_ref().ok_or(Error::OrderNotFound)?;
    if matches!(parcel.status, Status::Success | Status::Cancelled) {
        log::warn(
            "a parcel has come to its end before its carrier had booked it",
            &[("order", &id), ("status", &parcel.status.as_str())],
        );
        return Ok(());
    }
    let booked = carriers::book(&parcel.provider, &booking(&detail, &parcel.option)?)?;
    let mut shown = json!({ "tracking_id": booked.tracking_code });
    if let Some(label) = &booked.label_url {
        shown["label_url"] = json!(label);
    }
    sql::transaction(|tx| Ok(transport::set_booked(tx, parcel.id, &booked.tracking_code, &shown)?))
}

fn booking(detail: &OrderDetail, option: &str) -> Result<Booking, Error> {
    let order = &detail.order;
    let payout = detail.payout_session.as_ref().ok_or(Error::OrderNotFound)?;
    let lines = || detail.items.iter().filter(|line| line.date_cancelled.is_none());
    Ok(Booking {
        order: order.id,
        option: option.to_owned(),
        sender: account::sender(order.seller_id)?,
        recipient: account::recipient(order.buyer_id, &order.address)?,
        contents: lines().map(Content::from).collect(),
        // Less than what the lines cost with their carriage, which was added up when they were confirmed.
        value: Money::new(lines().map(|line| line.subtotal_amount).sum(), payout.currency),
        collect: payout::to_collect(order.id, payout)?,
        note: order.note.clone(),
    })
}
