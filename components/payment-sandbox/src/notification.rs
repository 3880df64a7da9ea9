//! Who sent a webhook, and what it says.

use sdk::webhook::{self, Forged};
use serde::Deserialize;

/// A charge as the gateway describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Charge {
    /// Our name of it.
    pub(crate) leg_id: String,
    /// How far it is.
    pub(crate) status: Status,
    /// In the currency's smallest unit.
    pub(crate) amount: i64,
    /// ISO 4217.
    pub(crate) currency: String,
    /// Where the payer continues.
    #[serde(default)]
    pub(crate) redirect_url: String,
    /// The gateway's name of it.
    #[serde(default)]
    pub(crate) reference: String,
}

impl Charge {
    /// Whether it is of this leg, and of this amount.
    pub(crate) fn is_of(&self, leg_id: &str, amount: i64, currency: &str) -> bool {
        (self.leg_id.as_str(), self.amount, self.currency.as_str()) == (leg_id, amount, currency)
    }
}

/// How far a charge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Nothing is decided.
    Pending,
    /// Paid.
    Succeeded,
    /// Not paid.
    Failed,
    /// Not paid in time.
    Expired,
}

/// What a webhook reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The same in each repetition.
    pub(crate) id: String,
    /// What it is about, as it is now.
    pub(crate) charge: Charge,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) occurred_ms: u64,
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Not the gateway's, or too old.
    Forged(Forged),
    /// The gateway's, and no event.
    Malformed(String),
}

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    charge: Charge,
    occurred_ms: u64,
}

/// Checks and reads a webhook that was received at this time. Names of headers are in lower case.
pub(crate) fn read(
    headers: &[(String, String)],
    body: &[u8],
    secret: &str,
    received_ms: u64,
) -> Result<Event, Rejection> {
    let id = webhook::verify(headers, body, secret, received_ms).map_err(Rejection::Forged)?;
    let Body { charge, occurred_ms } =
        serde_json::from_slice(body).map_err(|error| Rejection::Malformed(error.to_string()))?;
    Ok(Event {
        id: id.to_owned(),
        charge,
        occurred_ms,
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, Mac};
    use sha2::Sha256;

    use super::*;

    const BODY: &str =
        r#"{"leg_id":"l","status":"succeeded","amount":5,"currency":"VND","reference":"r","occurred_ms":7}"#;
    const SENT_S: u64 = 1_700_000_000;

    fn signed(body: &str) -> Vec<(String, String)> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shared").unwrap();
        mac.update(format!("evt_1.{SENT_S}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        [
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", &SENT_S.to_string()),
            ("webhook-signature", &signature),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn received(body: &str) -> Result<Event, Rejection> {
        read(&signed(body), body.as_bytes(), "shared", SENT_S * 1000)
    }

    #[test]
    fn a_signed_webhook_is_an_event() {
        let event = received(BODY).unwrap();
        assert_eq!(
            (event.id.as_str(), event.charge.leg_id.as_str(), event.occurred_ms),
            ("evt_1", "l", 7)
        );
        assert_eq!((event.charge.status, event.charge.amount), (Status::Succeeded, 5));
    }

    #[test]
    fn what_is_not_signed_by_the_gateway_is_forged_whatever_it_says() {
        for (body, secret) in [("{", "shared"), (BODY, "other")] {
            let outcome = read(&signed(BODY), body.as_bytes(), secret, SENT_S * 1000);
            assert_eq!(outcome, Err(Rejection::Forged(Forged::Signature)));
        }
    }

    #[test]
    fn what_is_signed_and_no_event_is_malformed() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"leg_id":"l","status":"paid","amount":5,"currency":"VND","occurred_ms":7}"#,
        ] {
            assert!(matches!(received(body), Err(Rejection::Malformed(_))), "{body}");
        }
    }
}
