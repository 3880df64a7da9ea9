//! A confirmed order and the buckets it is listed in.

use sdk::{AccountId, Timestamp};

use super::{
    id::{OrderId, SessionId, TransportId},
    item::Item,
    session::Session,
    status::Status,
};

/// A stored order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    pub(crate) buyer_id: AccountId,
    pub(crate) seller_id: AccountId,
    pub(crate) transport_id: TransportId,
    pub(crate) address: String,
    pub(crate) date_created: Timestamp,
    pub(crate) confirmed_by_id: AccountId,
    pub(crate) confirm_session_id: SessionId,
    pub(crate) note: Option<String>,
}

/// A stored parcel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    /// The component that speaks for the carrier.
    pub(crate) provider: String,
    pub(crate) option: String,
    pub(crate) status: Status,
    pub(crate) data: serde_json::Value,
    pub(crate) date_created: Timestamp,
}

/// An order with everything a client sees of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OrderDetail {
    pub(crate) order: Order,
    pub(crate) items: Vec<Item>,
    /// There are more lines, for which there is no room beside so many others.
    pub(crate) is_abridged: bool,
    /// Of all lines that were not cancelled.
    pub(crate) total_amount: i64,
    pub(crate) transport: Option<Transport>,
    pub(crate) confirm_session: Option<Session>,
    pub(crate) payout_session: Option<Session>,
}

/// Where an order is listed. An order has no state of its own: it is read off its fee session, its parcel and its payout.
/// Cancelled when one of the three failed or was cancelled; else completed when the payout succeeded; else pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    Cancelled,
    Completed,
    Pending,
}

impl Bucket {
    /// As the query of the lists spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::Pending => "pending",
        }
    }
}
