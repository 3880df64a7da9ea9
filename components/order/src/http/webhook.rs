//! `/payment/webhook`, `/transport/webhook`: what payment gateways and carriers report. No token and no envelope: whoever reports signs, and reads the
//! status.

use sdk::{
    http::{Error, Request, Response},
    log, now,
};
use serde_json::json;

use crate::{
    peers::webhook::{NoEvent, Received},
    workflow::{
        notify::{self, Failure},
        parcel,
    },
};

/// More is no report.
const MAX_BODY_BYTES: usize = 64 << 10;

pub(super) fn receive_of_gateway(request: &Request) -> Result<Response, Error> {
    receive(request, &request.param::<String>("gateway")?, notify::receive)
}

pub(super) fn receive_of_carrier(request: &Request) -> Result<Response, Error> {
    receive(request, &request.param::<String>("carrier")?, parcel::receive)
}

fn receive(
    request: &Request,
    sender: &str,
    take: impl FnOnce(&str, Received) -> Result<(), Failure>,
) -> Result<Response, Error> {
    if request.body().len() > MAX_BODY_BYTES {
        return answer(413);
    }
    let received = Received {
        query: request.query_text().to_owned(),
        headers: request.headers().to_vec(),
        body: request.body().to_vec(),
        at: now(),
    };
    let reason = match take(sender, received) {
        Ok(()) => return answer(200),
        Err(Failure::Failed(error)) => return Err(error.into()),
        Err(Failure::Rejected(reason)) => reason,
    };
    let (status, reason) = match reason {
        NoEvent::NotFound => (404, "nobody here waits for it".to_owned()),
        // It is to come again, once somebody here can tell whose it is.
        NoEvent::NotConfigured => (503, "its secret is not configured".to_owned()),
        NoEvent::Forged(reason) => (401, reason),
        NoEvent::Malformed(reason) => (400, reason),
    };
    log::info("a webhook was refused", &[("sender", &sender), ("reason", &reason)]);
    answer(status)
}

fn answer(status: u16) -> Result<Response, Error> {
    Response::plain(status, &json!({ "success": status == 200 }))
}
