//! Who sent a webhook, and what it says.

use serde::Deserialize;

use crate::signature;

/// How far the clocks of both sides may be apart, and how long a webhook may have been under way.
const WINDOW_MS: u64 = 5 * 60 * 1000;

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
    Forged(&'static str),
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
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let (Some(id), Some(timestamp), Some(signatures)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return Err(Rejection::Forged("it is not signed"));
    };
    if !signature::is_of_webhook(signatures, secret, id, timestamp, body) {
        return Err(Rejection::Forged("its signature is not the gateway's"));
    }
    let sent_ms = timestamp
        .parse::<u64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000));
    if sent_ms.is_none_or(|sent_ms| sent_ms.abs_diff(received_ms) > WINDOW_MS) {
        return Err(Rejection::Forged("it was not signed in the last five minutes"));
    }
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

    fn signed(body: &str, timestamp: &str) -> Vec<(String, String)> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shared").unwrap();
        mac.update(format!("evt_1.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        [
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn received(body: &str, late_ms: i64) -> Result<Event, Rejection> {
        let headers = signed(body, &SENT_S.to_string());
        read(
            &headers,
            body.as_bytes(),
            "shared",
            (SENT_S * 1000).saturating_add_signed(late_ms),
        )
    }

    #[test]
    fn a_signed_webhook_is_an_event() {
        let event = received(BODY, 1_000).unwrap();
        assert_eq!(
            (event.id.as_str(), event.charge.leg_id.as_str(), event.occurred_ms),
            ("evt_1", "l", 7)
        );
        assert_eq!((event.charge.status, event.charge.amount), (Status::Succeeded, 5));
    }

    #[test]
    fn the_window_is_five_minutes_both_ways() {
        for late_ms in [-300_000, 300_000] {
            assert!(received(BODY, late_ms).is_ok());
        }
        for late_ms in [-300_001, 300_001] {
            assert!(matches!(received(BODY, late_ms), Err(Rejection::Forged(_))));
        }
    }

    #[test]
    fn what_is_not_signed_by_the_gateway_is_forged_whatever_it_says() {
        for missing in 0..3 {
            let mut headers = signed(BODY, &SENT_S.to_string());
            headers.remove(missing);
            let outcome = read(&headers, BODY.as_bytes(), "shared", SENT_S * 1000);
            assert!(matches!(outcome, Err(Rejection::Forged(_))));
        }
        let headers = signed(BODY, &SENT_S.to_string());
        assert!(matches!(
            read(&headers, b"{", "shared", SENT_S * 1000),
            Err(Rejection::Forged(_))
        ));
        assert!(matches!(
            read(&headers, BODY.as_bytes(), "other", SENT_S * 1000),
            Err(Rejection::Forged(_))
        ));
        // Signed, with a time that is none.
        let headers = signed(BODY, "soon");
        assert!(matches!(
            read(&headers, BODY.as_bytes(), "shared", SENT_S * 1000),
            Err(Rejection::Forged(_))
        ));
    }

    #[test]
    fn what_is_signed_and_no_event_is_malformed() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"leg_id":"l","status":"paid","amount":5,"currency":"VND","occurred_ms":7}"#,
        ] {
            assert!(matches!(received(body, 0), Err(Rejection::Malformed(_))), "{body}");
        }
    }
}
