//! `/payment/webhook`: what payment gateways report. No token and no envelope: the gateway signs, and reads the status.

use sdk::{
    http::{Error, Request, Response},
    log, now,
};
use serde_json::json;

use crate::{
    peers::payments::{NoEvent, Received},
    workflow::notify::{self, Failure},
};

/// More is no report.
const MAX_BODY_BYTES: usize = 64 << 10;

pub(super) fn receive(request: &Request) -> Result<Response, Error> {
    let gateway: String = request.param("gateway")?;
    if request.body().len() > MAX_BODY_BYTES {
        return answer(413);
    }
    let received = Received {
        query: request.query_text().to_owned(),
        headers: request.headers().to_vec(),
        body: request.body().to_vec(),
        at: now(),
    };
    let reason = match notify::receive(&gateway, received) {
        Ok(()) => return answer(200),
        Err(Failure::Failed(error)) => return Err(error.into()),
        Err(Failure::Rejected(reason)) => reason,
    };
    let (status, reason) = match reason {
        NoEvent::NotFound => (404, "nobody here waits for it".to_owned()),
        NoEvent::Forged(reason) => (401, reason),
        NoEvent::Malformed(reason) => (400, reason),
    };
    log::info("a webhook was refused", &[("gateway", &gateway), ("reason", &reason)]);
    answer(status)
}

fn answer(status: u16) -> Result<Response, Error> {
    Response::plain(status, &json!({ "success": status == 200 }))
}
