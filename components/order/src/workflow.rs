//! What happens in several steps, one file per flow. A transaction happens once, a call is answered from the record when the
//! flow is run again, and what fails is undone backwards.

pub(crate) mod begin;
pub(crate) mod booking;
pub(crate) mod cancel;
pub(crate) mod cart;
pub(crate) mod checkout;
pub(crate) mod collect;
pub(crate) mod confirm;
pub(crate) mod expire;
pub(crate) mod notify;
pub(crate) mod owed;
pub(crate) mod parcel;
pub(crate) mod payment_url;
pub(crate) mod payout;
pub(crate) mod quote;
pub(crate) mod undo;
mod wallet;
