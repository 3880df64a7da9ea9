//! Rows as clients read them. Keys are always present unless they say otherwise.

use std::{borrow::Cow, collections::BTreeMap};

use sdk::{AccountId, Currency, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    domain::{
        id::{ItemId, OrderId, SessionId, SkuId, SpuId, TransportId},
        item::Item,
        order::{OrderDetail, Transport},
        session::Session,
        status::Status,
    },
    workflow::cart::ShownLine,
};

#[derive(Debug, Serialize)]
pub(super) struct PaymentSession<'a> {
    id: SessionId,
    kind: &'a str,
    status: Status,
    from_id: Option<AccountId>,
    to_id: Option<AccountId>,
    note: &'a str,
    currency: Currency,
    total_amount: i64,
    data: Cow<'a, Value>,
    date_created: Timestamp,
    date_paid: Option<Timestamp>,
    date_expired: Timestamp,
}

impl<'a> PaymentSession<'a> {
    /// How it is paid is for who pays it, or is paid: a share that is less than all tells what the payer's wallet held.
    pub(super) fn shown_to(reader: AccountId, session: &'a Session) -> Self {
        let data = if [session.from_id, session.to_id].contains(&Some(reader)) {
            Cow::Borrowed(&session.data)
        } else {
            Cow::Owned(json!({}))
        };
        Self {
            id: session.id,
            kind: &session.kind,
            status: session.status,
            from_id: session.from_id,
            to_id: session.to_id,
            note: &session.note,
            currency: session.currency,
            total_amount: session.total_amount,
            data,
            date_created: session.date_created,
            date_paid: session.date_paid,
            date_expired: session.date_expired,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct OrderItem<'a> {
    id: ItemId,
    order_id: Option<OrderId>,
    account_id: AccountId,
    seller_id: AccountId,
    sku_id: SkuId,
    spu_id: SpuId,
    slug: &'a str,
    sku_name: &'a str,
    /// Pictures belong to no module yet.
    image_url: Option<&'a str>,
    address: &'a str,
    note: Option<&'a str>,
    serial_ids: Option<&'a [String]>,
    /// There are numbers of units for which there was no room, as there may be on a smaller page; absent where there are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_abridged: bool,
    quantity: i64,
    transport_option: &'a str,
    subtotal_amount: i64,
    total_amount: i64,
    payment_session_id: SessionId,
    date_created: Timestamp,
    date_cancelled: Option<Timestamp>,
    cancelled_by_id: Option<AccountId>,
    /// Absent where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_session: Option<PaymentSession<'a>>,
}

impl<'a> From<&'a Item> for OrderItem<'a> {
    fn from(item: &'a Item) -> Self {
        Self {
            id: item.id,
            order_id: item.order_id,
            account_id: item.account_id,
            seller_id: item.seller_id,
            sku_id: item.sku_id,
            spu_id: item.spu_id,
            slug: &item.slug,
            sku_name: &item.sku_name,
            image_url: None,
            address: &item.address,
            note: item.note.as_deref(),
            serial_ids: item.serial_ids.as_deref(),
            is_abridged: item.is_abridged,
            quantity: item.quantity,
            transport_option: &item.transport_option,
            subtotal_amount: item.subtotal_amount,
            total_amount: item.total_amount,
            payment_session_id: item.payment_session_id,
            date_created: item.date_created,
            date_cancelled: item.date_cancelled,
            cancelled_by_id: item.cancelled_by_id,
            payment_session: None,
        }
    }
}

impl<'a> OrderItem<'a> {
    /// With its checkout, when that is among the sessions. Which units are the buyer's is said once they are: whoever reads the number of one that
    /// may still go to somebody else could claim its guarantee.
    pub(super) fn for_buyer(item: &'a Item, sessions: &'a BTreeMap<SessionId, Session>) -> Self {
        let payment_session = sessions
            .get(&item.payment_session_id)
            .map(|session| PaymentSession::shown_to(item.account_id, session));
        let shown = Self::from(item);
        Self {
            payment_session,
            serial_ids: shown.serial_ids.filter(|_| item.order_id.is_some()),
            is_abridged: shown.is_abridged && item.order_id.is_some(),
            ..shown
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TransportView<'a> {
    id: TransportId,
    option: &'a str,
    /// The same: clients of two generations read one or the other.
    option_id: &'a str,
    status: Status,
    data: &'a Value,
    date_created: Timestamp,
}

impl<'a> From<&'a Transport> for TransportView<'a> {
    fn from(transport: &'a Transport) -> Self {
        Self {
            id: transport.id,
            option: &transport.option,
            option_id: &transport.option,
            status: transport.status,
            data: &transport.data,
            date_created: transport.date_created,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct OrderView<'a> {
    id: OrderId,
    buyer_id: AccountId,
    seller_id: AccountId,
    transport_id: TransportId,
    address: &'a str,
    date_created: Timestamp,
    confirmed_by_id: AccountId,
    confirm_session_id: SessionId,
    note: Option<&'a str>,
    total_amount: i64,
    items: Vec<OrderItem<'a>>,
    /// There are more lines, for which there was no room, as there may be on a smaller page; absent where there are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_abridged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<TransportView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_session: Option<PaymentSession<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payout_session: Option<PaymentSession<'a>>,
}

impl<'a> OrderView<'a> {
    pub(super) fn shown_to(reader: AccountId, detail: &'a OrderDetail) -> Self {
        let order = &detail.order;
        let session = |session: &'a Session| PaymentSession::shown_to(reader, session);
        Self {
            id: order.id,
            buyer_id: order.buyer_id,
            seller_id: order.seller_id,
            transport_id: order.transport_id,
            address: &order.address,
            date_created: order.date_created,
            confirmed_by_id: order.confirmed_by_id,
            confirm_session_id: order.confirm_session_id,
            note: order.note.as_deref(),
            total_amount: detail.total_amount,
            items: detail.items.iter().map(OrderItem::from).collect(),
            is_abridged: detail.is_abridged,
            transport: detail.transport.as_ref().map(TransportView::from),
            confirm_session: detail.confirm_session.as_ref().map(session),
            payout_session: detail.payout_session.as_ref().map(session),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CartItem<'a> {
    spu_id: SpuId,
    sku: CartSku<'a>,
    quantity: i64,
    /// Pictures belong to no module yet.
    resource: Option<&'a str>,
    currency: Currency,
}

#[derive(Debug, Serialize)]
struct CartSku<'a> {
    id: SkuId,
    spu_id: SpuId,
    price: i64,
    combinable: bool,
    date_created: Timestamp,
    stock: i64,
    attributes: Vec<Attribute<'a>>,
    package_details: &'a Value,
}

#[derive(Debug, Serialize)]
struct Attribute<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> From<&'a ShownLine> for CartItem<'a> {
    fn from(line: &'a ShownLine) -> Self {
        let (variant, offer) = (&line.variant, &line.variant.offer);
        Self {
            spu_id: offer.spu_id,
            sku: CartSku {
                id: offer.sku_id,
                spu_id: offer.spu_id,
                price: offer.price,
                combinable: variant.combinable,
                date_created: variant.date_created,
                stock: line.stock,
                attributes: variant
                    .attributes
                    .iter()
                    .map(|(name, value)| Attribute { name, value })
                    .collect(),
                package_details: &variant.package_details,
            },
            quantity: line.quantity,
            resource: None,
            currency: offer.currency,
        }
    }
}

/// A line of a checkout summary.
#[derive(Debug, Serialize)]
pub(super) struct SummaryItem<'a> {
    id: ItemId,
    sku_id: SkuId,
    spu_id: SpuId,
    slug: &'a str,
    sku_name: &'a str,
    quantity: i64,
    total_amount: i64,
    currency: Currency,
    /// Pictures belong to no module yet.
    image_url: Option<&'a str>,
}

impl<'a> From<&'a Item> for SummaryItem<'a> {
    fn from(item: &'a Item) -> Self {
        Self {
            id: item.id,
            sku_id: item.sku_id,
            spu_id: item.spu_id,
            slug: &item.slug,
            sku_name: &item.sku_name,
            quantity: item.quantity,
            total_amount: item.total_amount,
            currency: item.currency,
            image_url: None,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::domain::{order::Order, sample};

    fn keys(value: &Value) -> Vec<&str> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_line_has_every_key_and_its_session_only_where_asked_for() {
        let item = sample::item(7);
        let alone = serde_json::to_value(OrderItem::from(&item)).unwrap();
        assert_eq!(
            keys(&alone),
            [
                "account_id",
                "address",
                "cancelled_by_id",
                "date_cancelled",
                "date_created",
                "id",
                "image_url",
                "note",
                "order_id",
                "payment_session_id",
                "quantity",
                "seller_id",
                "serial_ids",
                "sku_id",
                "sku_name",
                "slug",
                "spu_id",
                "subtotal_amount",
                "total_amount",
                "transport_option"
            ]
        );
        assert_eq!(
            (&alone["id"], &alone["note"], &alone["serial_ids"]),
            (&json!(7), &Value::Null, &Value::Null)
        );

        let sessions = BTreeMap::from([(sample::session().id, sample::session())]);
        let with = serde_json::to_value(OrderItem::for_buyer(&item, &sessions)).unwrap();
        assert_eq!(
            keys(&with["payment_session"]),
            [
                "currency",
                "data",
                "date_created",
                "date_expired",
                "date_paid",
                "from_id",
                "id",
                "kind",
                "note",
                "status",
                "to_id",
                "total_amount"
            ]
        );
        assert_eq!(with["payment_session"]["status"], "Pending");
    }

    #[test]
    fn an_order_leaves_out_what_it_has_not() {
        let order = Order {
            id: "0190a5b2-7c11-7d3e-8f00-0123456789ab".parse().unwrap(),
            buyer_id: sample::BUYER,
            seller_id: sample::SELLER,
            transport_id: TransportId(5),
            address: "1 Main Street, Vietnam".to_owned(),
            date_created: Timestamp::from_ms(0),
            confirmed_by_id: sample::SELLER,
            confirm_session_id: sample::session().id,
            note: None,
        };
        let transport = Transport {
            id: TransportId(5),
            provider: "transport-flat".to_owned(),
            option: "standard".to_owned(),
            status: Status::Pending,
            data: json!({ "quote": 15_000 }),
            date_created: Timestamp::from_ms(0),
        };
        let detail = OrderDetail {
            order,
            items: vec![sample::item(1), sample::item(2)],
            is_abridged: false,
            total_amount: 115_000,
            transport: Some(transport),
            confirm_session: Some(sample::session()),
            payout_session: None,
        };
        let view = serde_json::to_value(OrderView::shown_to(sample::BUYER, &detail)).unwrap();
        assert_eq!(
            keys(&view),
            [
                "address",
                "buyer_id",
                "confirm_session",
                "confirm_session_id",
                "confirmed_by_id",
                "date_created",
                "id",
                "items",
                "note",
                "seller_id",
                "total_amount",
                "transport",
                "transport_id"
            ]
        );
        assert_eq!(view["total_amount"], 115_000);
        assert_eq!(view["items"].as_array().unwrap().len(), 2);
        let abridged = OrderDetail {
            is_abridged: true,
            ..detail.clone()
        };
        let view_of_a_part = serde_json::to_value(OrderView::shown_to(sample::BUYER, &abridged)).unwrap();
        assert_eq!(view_of_a_part["is_abridged"], true);
        assert_eq!(
            view["transport"],
            json!({
                "id": 5, "option": "standard", "option_id": "standard", "status": "Pending",
                "data": { "quote": 15_000 }, "date_created": "1970-01-01T00:00:00Z"
            })
        );
    }
}
