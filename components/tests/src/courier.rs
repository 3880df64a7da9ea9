//! The drivers of `components/transport-flat`, who report where their parcels are.

use anyhow::Result;
use serde_json::json;

use crate::{
    Gateway,
    notice::{self, Notice},
};

/// What both sides sign with.
pub(crate) const SECRET: &str = "whsec-of-the-drivers";
/// Where reports go.
const WEBHOOK: &str = "/api/v1/transport/webhook/flat";

/// What is reported of the parcel of an order, at the time it is outside of the marketplace.
pub fn report(outside: &Gateway, order: &str, status: &str) -> Result<Notice> {
    let signed_s = outside.now_s()?;
    Ok(Notice {
        path: WEBHOOK,
        id: format!("{order}-{status}"),
        signed_s,
        secret: SECRET.to_owned(),
        body: json!({ "order_id": order, "status": status, "occurred_ms": signed_s * 1000 }),
    })
}

/// Reports it until it is acknowledged.
pub async fn deliver(outside: &Gateway, order: &str, status: &str) -> Result<()> {
    notice::deliver(|| outside.url(), || report(outside, order, status)).await
}
