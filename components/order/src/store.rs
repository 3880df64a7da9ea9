//! The schema `order`: one file per aggregate, one function per statement.
//!
//! What locks rows takes sessions first, by id, and items after them, by id: so no two transactions wait for each other.

pub(crate) mod cart;
pub(crate) mod dealing;
pub(crate) mod event;
pub(crate) mod item;
pub(crate) mod item_list;
pub(crate) mod leg;
pub(crate) mod order;
pub(crate) mod order_list;
pub(crate) mod session;
pub(crate) mod transport;
pub(crate) mod wait;

use sdk::Timestamp;

/// A part of a list that is sorted by creation, newest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<Id> {
    /// The last row seen.
    pub(crate) after: Option<(Timestamp, Id)>,
    /// Rows to return at most.
    pub(crate) limit: i64,
    /// Rows to skip.
    pub(crate) offset: i64,
}

impl<Id: Copy> Window<Id> {
    fn after_date(&self) -> Option<Timestamp> {
        self.after.map(|(date, _)| date)
    }

    fn after_id(&self) -> Option<Id> {
        self.after.map(|(_, id)| id)
    }
}
