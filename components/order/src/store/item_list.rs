//! Lists of unconfirmed lines, newest first.

use sdk::{
    AccountId,
    sql::{self, Error, params, sql},
};

use super::{Window, item};
use crate::domain::{id::ItemId, item::Item};

/// What a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemList {
    /// A buyer's lines that wait for their sellers.
    BuyerPending,
    /// A buyer's lines that came to nothing.
    BuyerCancelled,
    /// A seller's lines to confirm: paid, or to be paid at the door.
    SellerPending,
}

/// One part of a list and how many rows the whole list has.
pub(crate) fn page(list: ItemList, account: AccountId, window: Window<ItemId>) -> Result<(Vec<Item>, i64), Error> {
    let (rows, count) = match list {
        ItemList::BuyerPending => (BUYER_PENDING, BUYER_PENDING_COUNT),
        ItemList::BuyerCancelled => (BUYER_CANCELLED, BUYER_CANCELLED_COUNT),
        ItemList::SellerPending => (SELLER_PENDING, SELLER_PENDING_COUNT),
    };
    let items = item::of_page(&sql::query(
        rows,
        params![
            account,
            window.after_date(),
            window.after_id(),
            window.limit,
            window.offset
        ],
    )?)?;
    let total = sql::query_one(count, params![account])?.get("total")?;
    Ok((items, total))
}

/// The statements of a list: its rows, and their number.
macro_rules! list {
    ($rows:ident, $count:ident, $condition:literal) => {
        const $rows: &str = sql!(
            item::LINES,
            r#"JOIN "order".payment_session s ON s.id = i.payment_session_id WHERE "#,
            $condition,
            r#" AND ($2::timestamptz IS NULL OR (i.date_created, i.id) < ($2::timestamptz, $3::bigint))
                ORDER BY i.date_created DESC, i.id DESC LIMIT $4 OFFSET $5"#
        );
        const $count: &str = sql!(
            r#"SELECT count(*) AS total FROM "order".item i JOIN "order".payment_session s ON s.id = i.payment_session_id
               WHERE "#,
            $condition
        );
    };
}

list!(
    BUYER_PENDING,
    BUYER_PENDING_COUNT,
    "i.account_id = $1 AND i.order_id IS NULL AND i.date_cancelled IS NULL AND s.status IN ('Pending', 'Success')"
);
list!(
    BUYER_CANCELLED,
    BUYER_CANCELLED_COUNT,
    "i.account_id = $1 AND i.order_id IS NULL AND (i.date_cancelled IS NOT NULL OR s.status IN ('Failed', 'Cancelled'))"
);
list!(
    SELLER_PENDING,
    SELLER_PENDING_COUNT,
    "i.seller_id = $1 AND i.order_id IS NULL AND i.date_cancelled IS NULL
     AND (s.status = 'Success' OR (s.status = 'Pending' AND s.collect_on_delivery))"
);
