//! What happens to a reservation: one file per step, one transaction each.

pub(crate) mod commit;
pub(crate) mod expire;
pub(crate) mod release;
pub(crate) mod release_part;
pub(crate) mod reserve;

mod put_back;
