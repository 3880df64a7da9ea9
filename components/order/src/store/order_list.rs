//! Lists of orders, newest first.

use sdk::{
    AccountId,
    sql::{self, Error, params, sql},
};

use super::{Window, order};
use crate::domain::{
    id::OrderId,
    order::{Bucket, Order},
};

/// A buyer's orders of one bucket, and how many there are.
pub(crate) fn of_buyer(buyer: AccountId, bucket: Bucket, window: Window<OrderId>) -> Result<(Vec<Order>, i64), Error> {
    let orders = order::all(sql::query(
        sql!(
            r#"SELECT o.* "#,
            buyer_orders!(),
            r#" AND ($3::timestamptz IS NULL OR (o.date_created, o.id) < ($3::timestamptz, $4::uuid))
                ORDER BY o.date_created DESC, o.id DESC LIMIT $5 OFFSET $6"#
        ),
        params![
            buyer,
            bucket.as_str(),
            window.after_date(),
            window.after_id(),
            window.limit,
            window.offset
        ],
    )?)?;
    let count = sql!("SELECT count(*) AS total ", buyer_orders!());
    let total = sql::query_one(count, params![buyer, bucket.as_str()])?.get("total")?;
    Ok((orders, total))
}

/// A seller's orders whose id contains a text, and how many there are.
pub(crate) fn of_seller(
    seller: AccountId,
    search: Option<&str>,
    window: Window<OrderId>,
) -> Result<(Vec<Order>, i64), Error> {
    let orders = order::all(sql::query(
        sql!(
            r#"SELECT o.* "#,
            seller_orders!(),
            r#" AND ($3::timestamptz IS NULL OR (o.date_created, o.id) < ($3::timestamptz, $4::uuid))
                ORDER BY o.date_created DESC, o.id DESC LIMIT $5 OFFSET $6"#
        ),
        params![
            seller,
            search,
            window.after_date(),
            window.after_id(),
            window.limit,
            window.offset
        ],
    )?)?;
    let count = sql!("SELECT count(*) AS total ", seller_orders!());
    let total = sql::query_one(count, params![seller, search])?.get("total")?;
    Ok((orders, total))
}

/// An order has no state of its own; `domain/order.rs` says what the buckets mean.
macro_rules! buyer_orders {
    () => {
        r#"FROM "order"."order" o
           JOIN "order".payment_session fee ON fee.id = o.confirm_session_id
           JOIN "order".transport t ON t.id = o.transport_id
           LEFT JOIN "order".payment_session payout ON payout.id = o.id AND payout.kind = 'seller-payout'
           WHERE o.buyer_id = $1 AND $2::text = CASE
               WHEN fee.status IN ('Failed', 'Cancelled') OR t.status IN ('Failed', 'Cancelled')
                    OR payout.status IN ('Failed', 'Cancelled') THEN 'cancelled'
               WHEN payout.status = 'Success' THEN 'completed'
               ELSE 'pending'
           END"#
    };
}
use buyer_orders;

macro_rules! seller_orders {
    () => {
        r#"FROM "order"."order" o
           WHERE o.seller_id = $1 AND ($2::text IS NULL OR position(lower($2::text) IN o.id::text) > 0)"#
    };
}
use seller_orders;
