//! Types and rules of listings. No host calls: everything here runs in a plain `cargo test`.

pub(crate) mod attribute;
pub(crate) mod browse;
pub(crate) mod html;
pub(crate) mod package;
pub(crate) mod product;
pub(crate) mod size;
pub(crate) mod slug;
pub(crate) mod tag;
