//! Confirmed orders.

use std::collections::BTreeMap;

use sdk::{
    AccountId,
    sql::{self, Error, Row, Transaction, params, sql},
};

use super::{item, session, transport};
use crate::domain::{
    id::{OrderId, SessionId},
    order::{Order, OrderDetail},
};

/// Inserts an order.
pub(crate) fn insert(tx: &Transaction, order: &Order) -> Result<(), Error> {
    tx.execute(
        sql!(
            r#"INSERT INTO "order"."order"
               (id, buyer_id, seller_id, transport_id, address, date_created, confirmed_by_id, confirm_session_id, note)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#
        ),
        params![
            order.id,
            order.buyer_id,
            order.seller_id,
            order.transport_id,
            order.address,
            order.date_created,
            order.confirmed_by_id,
            order.confirm_session_id,
            order.note
        ],
    )
    .map(drop)
}

/// An order, whoever's it is.
pub(crate) fn get(id: OrderId) -> Result<Option<Order>, Error> {
    sql::query_opt(sql!(r#"SELECT * FROM "order"."order" WHERE id = $1"#), params![id])?
        .as_ref()
        .map(read)
        .transpose()
}

/// An order, if it is this buyer's.
pub(crate) fn of_buyer(id: OrderId, buyer: AccountId) -> Result<Option<Order>, Error> {
    sql::query_opt(
        sql!(r#"SELECT * FROM "order"."order" WHERE id = $1 AND buyer_id = $2"#),
        params![id, buyer],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// An order, if it is this seller's.
pub(crate) fn of_seller(id: OrderId, seller: AccountId) -> Result<Option<Order>, Error> {
    sql::query_opt(
        sql!(r#"SELECT * FROM "order"."order" WHERE id = $1 AND seller_id = $2"#),
        params![id, seller],
    )?
    .as_ref()
    .map(read)
    .transpose()
}

/// The orders with their lines, parcels and sessions, in the same order: a few statements, however many orders, and a few more for
/// many lines.
pub(crate) fn detail(orders: Vec<Order>) -> Result<Vec<OrderDetail>, Error> {
    let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
    let transport_ids: Vec<_> = orders.iter().map(|order| order.transport_id).collect();
    // The payout of an order has the order's id.
    let session_ids: Vec<SessionId> = orders
        .iter()
        .flat_map(|order| [order.confirm_session_id, SessionId(order.id.0)])
        .collect();

    let item::Shown { lines, sums } = item::of_orders(&ids)?;
    let mut items = BTreeMap::<_, Vec<_>>::new();
    for item in lines {
        items.entry(item.order_id).or_default().push(item);
    }
    let mut transports = transport::by_ids(&transport_ids)?;
    let mut sessions = session::by_ids(&session_ids)?;
    Ok(orders
        .into_iter()
        .map(|order| {
            let items = items.remove(&Some(order.id)).unwrap_or_default();
            let sum = sums.get(&order.id).copied().unwrap_or_default();
            OrderDetail {
                is_abridged: (items.len() as i64) < sum.lines,
                total_amount: sum.total_amount,
                items,
                transport: transports.remove(&order.transport_id),
                confirm_session: sessions.remove(&order.confirm_session_id),
                payout_session: sessions.remove(&SessionId(order.id.0)),
                order,
            }
        })
        .collect())
}

pub(super) fn all(rows: Vec<Row>) -> Result<Vec<Order>, Error> {
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Order, Error> {
    Ok(Order {
        id: row.get("id")?,
        buyer_id: row.get("buyer_id")?,
        seller_id: row.get("seller_id")?,
        transport_id: row.get("transport_id")?,
        address: row.get("address")?,
        date_created: row.get("date_created")?,
        confirmed_by_id: row.get("confirmed_by_id")?,
        confirm_session_id: row.get("confirm_session_id")?,
        note: row.get("note")?,
    })
}
