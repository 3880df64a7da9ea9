//! An open line and its checkout, for tests to change one thing of.

use sdk::{AccountId, Timestamp, Uuid};

use super::{
    id::{ItemId, ReservationId, SessionId, SkuId, SpuId},
    item::Item,
    session::Session,
    status::Status,
};

pub(crate) const BUYER: AccountId = AccountId(Uuid::from_u128(1));
pub(crate) const SELLER: AccountId = AccountId(Uuid::from_u128(2));
pub(crate) const STRANGER: AccountId = AccountId(Uuid::from_u128(3));
const SESSION: SessionId = SessionId(Uuid::from_u128(10));

/// Cash on delivery, pending.
pub(crate) fn session() -> Session {
    Session {
        id: SESSION,
        kind: "buyer-checkout".to_owned(),
        status: Status::Pending,
        from_id: Some(BUYER),
        to_id: None,
        note: "Checkout".to_owned(),
        currency: "VND".parse().unwrap(),
        total_amount: 115_000,
        collect_on_delivery: true,
        data: serde_json::json!({ "payment_option": "system-cod" }),
        date_created: Timestamp::from_ms(0),
        date_paid: None,
        date_expired: Timestamp::from_ms(86_400_000),
    }
}

/// Open, of [`session`].
pub(crate) fn item(id: i64) -> Item {
    Item {
        id: ItemId(id),
        order_id: None,
        confirm_session_id: None,
        account_id: BUYER,
        seller_id: SELLER,
        sku_id: SkuId(Uuid::from_u128(100 + id as u128)),
        spu_id: SpuId(Uuid::from_u128(200)),
        slug: "shirt".to_owned(),
        sku_name: "Shirt - red".to_owned(),
        address: "1 Main Street, Vietnam".to_owned(),
        note: None,
        serial_ids: None,
        is_abridged: false,
        quantity: 1,
        weight_grams: 500,
        transport_option: "standard".to_owned(),
        currency: "VND".parse().unwrap(),
        subtotal_amount: 100_000,
        total_amount: 115_000,
        wallet_amount: 0,
        payment_session_id: SESSION,
        reservation_id: ReservationId(Uuid::from_u128(300 + id as u128)),
        date_created: Timestamp::from_ms(0),
        date_cancelled: None,
        cancelled_by_id: None,
    }
}
