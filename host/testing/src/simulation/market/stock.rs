//! What is there, what is held for whom, and what is sold.

use host_recorder::Bounds;
use host_types::Fault;

use super::{DONE, REFUSED};
use crate::simulation::instance::{Instance, encode};

pub(crate) const EXPIRE: &str = "expire";

/// States of a reservation.
pub(crate) const HELD: i64 = 1;
pub(crate) const CONFIRMED: i64 = 2;
pub(crate) const RELEASED: i64 = 3;

/// How long it holds.
const HOLD_MS: u64 = 6_000;

pub(crate) async fn reserve(instance: Instance, order: i64, item: i64, quantity: i64) -> Result<i64, Fault> {
    let mut reserving = instance.transaction("reserve").await?;
    if reserving.read("reservation", order.unsigned_abs()).await?.is_some() {
        reserving.rollback().await?;
        return Ok(REFUSED);
    }
    let mut stock = reserving
        .read("stock", item.unsigned_abs())
        .await?
        .unwrap_or_else(|| vec![0, 0, 0]);
    if stock[0] < quantity {
        reserving.rollback().await?;
        return Ok(REFUSED);
    }
    stock[0] -= quantity;
    stock[1] += quantity;
    reserving.write("stock", item.unsigned_abs(), stock);
    reserving.write("reservation", order.unsigned_abs(), vec![HELD, item, quantity]);
    instance.recorder.schedule(
        &"stock".into(),
        Bounds::default(),
        EXPIRE.into(),
        encode(order).to_vec(),
        HOLD_MS,
    )?;
    reserving.commit().await?;
    Ok(DONE)
}

pub(crate) async fn confirm(instance: Instance, order: i64) -> Result<i64, Fault> {
    let mut confirming = instance.transaction("confirm").await?;
    let reservation = confirming.read("reservation", order.unsigned_abs()).await?;
    let Some([HELD, item, quantity]) = reservation.as_deref() else {
        confirming.rollback().await?;
        return Ok(REFUSED);
    };
    let mut stock = confirming
        .read("stock", item.unsigned_abs())
        .await?
        .unwrap_or_else(|| vec![0, 0, 0]);
    stock[1] -= quantity;
    stock[2] += quantity;
    confirming.write("stock", item.unsigned_abs(), stock);
    confirming.write("reservation", order.unsigned_abs(), vec![CONFIRMED, *item, *quantity]);
    confirming.commit().await?;
    Ok(DONE)
}

/// Of what was never reserved: it never will be.
pub(crate) async fn release(instance: Instance, order: i64) -> Result<i64, Fault> {
    let mut releasing = instance.transaction("release").await?;
    let reservation = releasing.read("reservation", order.unsigned_abs()).await?;
    let reservation = reservation.unwrap_or_else(|| vec![RELEASED, 0, 0]);
    let (state, item, quantity) = (reservation[0], reservation[1], reservation[2]);
    if state != RELEASED {
        let mut stock = releasing
            .read("stock", item.unsigned_abs())
            .await?
            .unwrap_or_else(|| vec![0, 0, 0]);
        let was = if state == HELD { 1 } else { 2 };
        stock[was] -= quantity;
        stock[0] += quantity;
        releasing.write("stock", item.unsigned_abs(), stock);
    }
    releasing.write("reservation", order.unsigned_abs(), vec![RELEASED, item, quantity]);
    releasing.commit().await?;
    Ok(DONE)
}

/// Its time is over; one that was confirmed is for good.
pub(crate) async fn expire(instance: &Instance, order: i64) -> Result<(), Fault> {
    let mut expiring = instance.transaction("expire").await?;
    let reservation = expiring.read("reservation", order.unsigned_abs()).await?;
    let Some([HELD, item, quantity]) = reservation.as_deref() else {
        return expiring.rollback().await;
    };
    let mut stock = expiring
        .read("stock", item.unsigned_abs())
        .await?
        .unwrap_or_else(|| vec![0, 0, 0]);
    stock[1] -= quantity;
    stock[0] += quantity;
    expiring.write("stock", item.unsigned_abs(), stock);
    expiring.write("reservation", order.unsigned_abs(), vec![RELEASED, *item, *quantity]);
    expiring.commit().await
}
