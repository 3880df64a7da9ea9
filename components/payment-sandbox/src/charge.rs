//! The requests to the gateway.

use std::time::Duration;

use sdk::{
    now,
    outbound::{self, ErrorCode, Reply},
    sleep,
};
use serde::Deserialize;
use serde_json::json;

use crate::{notification::Charge, settings::Settings, signature};

/// How long is waited before a charge is sent again that the gateway says it does not know, each time; after the last it is sent no more. One
/// that does not answer at all is not asked on and on: that is for whoever wants the charge to decide.
const PAUSES_MS: [u64; 4] = [200, 600, 1_800, 5_400];

/// Too many requests: as good as no answer.
const BUSY: u16 = 429;

/// What is to be charged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) leg_id: &'a str,
    pub(crate) amount: i64,
    pub(crate) currency: &'a str,
    pub(crate) description: &'a str,
    pub(crate) expires_ms: u64,
}

impl Wanted<'_> {
    /// What the gateway charged must be what was wanted: otherwise nothing is settled by it, and a person has to look.
    fn check(&self, charge: Charge) -> Result<Charge, Failure> {
        if charge.is_of(self.leg_id, self.amount, self.currency) {
            return Ok(charge);
        }
        Err(Failure::Other(format!(
            "the gateway charged {} {} for leg {}, and {} {} for leg {} were wanted",
            charge.amount, charge.currency, charge.leg_id, self.amount, self.currency, self.leg_id
        )))
    }
}

/// Why there is no charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The gateway knows no charge of that leg.
    NotFound,
    /// It refuses, for good.
    Declined(String),
    /// It does not answer.
    Unavailable(String),
    /// It answers something else.
    Other(String),
}

#[derive(Deserialize)]
struct Declined {
    reason: String,
}

/// Charges a leg; for one that was charged before, that charge.
///
/// The answer to a request that changes something is recorded, also that there was none, and then stays so. Therefore the last question is
/// always one that only reads: it is asked again when the invocation is tried again, and the gateway's word decides how to go on. It is sent again
/// for as long only as somebody could still pay it.
pub(crate) fn charge(settings: &Settings, wanted: &Wanted<'_>) -> Result<Charge, Failure> {
    let body = json!({
        "leg_id": wanted.leg_id,
        "amount": wanted.amount,
        "currency": wanted.currency,
        "description": wanted.description,
        "expires_ms": wanted.expires_ms,
    });
    let mut pauses_ms = PAUSES_MS.into_iter();
    loop {
        match send(settings, "POST", "/charges", body.to_string().as_bytes()) {
            Ok(reply) if reply.status < 500 && reply.status != BUSY => return wanted.check(read(&reply)?),
            Ok(_) | Err(_) => match query(settings, wanted.leg_id) {
                // Certainly not charged: the gateway knows a leg once it has taken its request.
                Err(Failure::NotFound) => {}
                answered => return wanted.check(answered?),
            },
        }
        let Some(pause_ms) = pauses_ms.next() else {
            return Err(Failure::NotFound);
        };
        sleep(Duration::from_millis(pause_ms));
        if now().as_ms() as u64 >= wanted.expires_ms {
            return Err(Failure::NotFound);
        }
    }
}

/// How far the charge of a leg is.
pub(crate) fn query(settings: &Settings, leg_id: &str) -> Result<Charge, Failure> {
    let reply = send(settings, "GET", &format!("/charges/{leg_id}"), b"");
    let reply = reply.map_err(|error| Failure::Unavailable(format!("the gateway does not answer: {error:?}")))?;
    if reply.status >= 500 || reply.status == BUSY {
        return Err(Failure::Unavailable(format!("the gateway answers {}", reply.status)));
    }
    read(&reply)
}

fn send(settings: &Settings, method: &str, path: &str, body: &[u8]) -> Result<Reply, ErrorCode> {
    let signature = signature::of_request(&settings.secret, method, path, body);
    outbound::send(&outbound::Request {
        method,
        is_secure: settings.is_secure,
        authority: &settings.authority,
        path,
        headers: &[
            ("content-type", "application/json"),
            (signature::REQUEST_HEADER, &signature),
        ],
        body,
    })
}

fn read(reply: &Reply) -> Result<Charge, Failure> {
    let malformed = |error: serde_json::Error| Failure::Other(format!("the gateway's answer: {error}"));
    match reply.status {
        200 => serde_json::from_slice(&reply.body).map_err(malformed),
        402 => {
            let Declined { reason } = serde_json::from_slice(&reply.body).map_err(malformed)?;
            Err(Failure::Declined(reason))
        }
        404 => Err(Failure::NotFound),
        status => Err(Failure::Other(format!("the gateway answers {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Status;

    fn answer(status: u16, body: &str) -> Result<Charge, Failure> {
        read(&Reply {
            status,
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn a_charge_of_another_leg_or_amount_settles_nothing() {
        let wanted = Wanted {
            leg_id: "l",
            amount: 5,
            currency: "VND",
            description: "",
            expires_ms: 0,
        };
        let charged = |leg_id: &str, amount: i64, currency: &str| Charge {
            leg_id: leg_id.to_owned(),
            status: Status::Succeeded,
            amount,
            currency: currency.to_owned(),
            redirect_url: String::new(),
            reference: "r".to_owned(),
        };
        assert!(wanted.check(charged("l", 5, "VND")).is_ok());
        for other in [charged("m", 5, "VND"), charged("l", 4, "VND"), charged("l", 5, "USD")] {
            assert!(matches!(wanted.check(other), Err(Failure::Other(_))));
        }
    }

    #[test]
    fn an_answer_is_a_charge_or_says_why_there_is_none() {
        let body = r#"{"leg_id":"l","status":"pending","amount":5,"currency":"VND","redirect_url":"http://pay/l"}"#;
        assert_eq!(answer(200, body).unwrap().redirect_url, "http://pay/l");
        assert_eq!(
            answer(402, r#"{"reason":"no funds"}"#),
            Err(Failure::Declined("no funds".to_owned()))
        );
        assert_eq!(answer(404, ""), Err(Failure::NotFound));
        for (status, body) in [(200, "{}"), (200, ""), (402, ""), (401, "{}"), (301, "")] {
            assert!(
                matches!(answer(status, body), Err(Failure::Other(_))),
                "{status} {body}"
            );
        }
    }
}
