//! A stock record.

use sdk::{Timestamp, Uuid};

/// Quantities are JSON numbers, exact up to here.
pub(crate) const MAX_QUANTITY: i64 = (1 << 53) - 1;
/// Serials that one call may bring in.
pub(crate) const MAX_SERIALS: usize = 10_000;
/// Serials whose status one call may change: what is read of them is one message, and so is what their transaction did.
pub(crate) const MAX_CHANGED_SERIALS: usize = 1_000;
/// Units with serials that one reservation may hold: their numbers are in its answer, which is one message.
pub(crate) const MAX_HELD_SERIALS: i64 = 1_000;

/// Ids are drawn by the database and shown to clients as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct StockId(pub(crate) i64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stock {
    pub(crate) id: StockId,
    /// Kind of the owner, as stored.
    pub(crate) ref_type: String,
    pub(crate) ref_id: Uuid,
    /// Free to reserve.
    pub(crate) available: i64,
    /// Held or sold.
    pub(crate) taken: i64,
    /// While true, `available` is the number of Active serials.
    pub(crate) serial_required: bool,
    pub(crate) created: Timestamp,
    /// Its SKU was deleted: nothing comes in, and nothing is reserved.
    pub(crate) is_archived: bool,
}
