//! What an account has not brought to its end.

use sdk::{
    AccountId, Timestamp,
    sql::{self, Error, params, sql},
};

/// Whether this account has a payment to make, a line that waits for its seller, or an order whose money is kept; as a buyer or as a seller.
/// What is paid at the door is open as long as one of its lines is on its way: nobody collects anything for a parcel that was not delivered.
/// An attempt to pay elsewhere that was over after `since` may have been paid all the same, and would have to go back.
pub(crate) fn is_open(account: AccountId, since: Timestamp) -> Result<bool, Error> {
    sql::query_one(
        sql!(r#"SELECT EXISTS (
               SELECT FROM "order".payment_session s
               WHERE s.from_id = $1 AND s.status IN ('Pending', 'Processing') AND (NOT s.collect_on_delivery OR EXISTS (
                   SELECT FROM "order".item i LEFT JOIN "order".payment_session payout ON payout.id = i.order_id
                   WHERE i.payment_session_id = s.id AND i.date_cancelled IS NULL
                     AND (payout.id IS NULL OR payout.status IN ('Pending', 'Processing'))
               ))
           ) OR EXISTS (
               SELECT FROM "order".item i JOIN "order".payment_session s ON s.id = i.payment_session_id
               WHERE i.account_id = $1 AND i.order_id IS NULL AND i.date_cancelled IS NULL AND s.status = 'Success'
           ) OR EXISTS (
               SELECT FROM "order".item i JOIN "order".payment_session s ON s.id = i.payment_session_id
               WHERE i.seller_id = $1 AND i.order_id IS NULL AND i.date_cancelled IS NULL AND s.status IN ('Pending', 'Success')
           ) OR EXISTS (
               SELECT FROM "order"."order" o JOIN "order".payment_session payout ON payout.id = o.id
               WHERE (o.buyer_id = $1 OR o.seller_id = $1) AND payout.status IN ('Pending', 'Processing')
           ) OR EXISTS (
               SELECT FROM "order".payment_session s JOIN "order".transaction t ON t.session_id = s.id
               WHERE s.from_id = $1 AND t.data ? 'provider' AND t.status <> 'Success' AND t.date_expired > $2
           ) AS is_open"#),
        params![account, since],
    )?
    .get("is_open")
}
