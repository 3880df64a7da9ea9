//! Who sent a report, and what it says of a parcel.

use sdk::webhook::{self, Forged};
use serde::Deserialize;

/// How far a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// To be picked up.
    Waiting,
    /// Under way.
    Travelling,
    /// With its buyer, and paid where it was to be paid at the door.
    Delivered,
    /// Nobody took it. It may be brought once more.
    Failed,
    /// It goes back, or is lost.
    Cancelled,
}

impl Status {
    /// As it is written in a report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Travelling => "travelling",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    /// Whose parcel it is.
    pub(crate) order_id: String,
    /// How far it is.
    pub(crate) status: Status,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) occurred_ms: u64,
}

/// Why a report is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Not the drivers', or too old.
    Forged(Forged),
    /// The drivers', and no report.
    Malformed(String),
}

/// Checks and reads a report that was received at this time; with it, its own id. Names of headers are in lower case.
pub(crate) fn read(
    headers: &[(String, String)],
    body: &[u8],
    secret: &str,
    received_ms: u64,
) -> Result<(String, Report), Rejection> {
    let id = webhook::verify(headers, body, secret, received_ms).map_err(Rejection::Forged)?;
    let report = serde_json::from_slice(body).map_err(|error| Rejection::Malformed(error.to_string()))?;
    Ok((id.to_owned(), report))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, Mac};
    use sha2::Sha256;

    use super::*;

    const SENT_S: u64 = 1_700_000_000;

    fn received(body: &str, secret: &str) -> Result<(String, Report), Rejection> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shared").unwrap();
        mac.update(format!("r_1.{SENT_S}.{body}").as_bytes());
        let headers = [
            ("webhook-id", "r_1"),
            ("webhook-timestamp", &SENT_S.to_string()),
            (
                "webhook-signature",
                &format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        read(&headers, body.as_bytes(), secret, SENT_S * 1000)
    }

    #[test]
    fn a_signed_report_is_read() {
        for status in [
            Status::Waiting,
            Status::Travelling,
            Status::Delivered,
            Status::Failed,
            Status::Cancelled,
        ] {
            let body = format!(r#"{{"order_id":"o","status":"{}","occurred_ms":7}}"#, status.as_str());
            let (id, report) = received(&body, "shared").unwrap();
            assert_eq!((id.as_str(), report.order_id.as_str()), ("r_1", "o"));
            assert_eq!((report.status, report.reason, report.occurred_ms), (status, None, 7));
        }
        let body = r#"{"order_id":"o","status":"failed","reason":"nobody at home","occurred_ms":7}"#;
        let (_, report) = received(body, "shared").unwrap();
        assert_eq!(report.reason.as_deref(), Some("nobody at home"));
    }

    #[test]
    fn what_the_drivers_have_not_signed_is_forged_and_what_they_signed_may_be_no_report() {
        let body = r#"{"order_id":"o","status":"delivered","occurred_ms":7}"#;
        assert_eq!(received(body, "other"), Err(Rejection::Forged(Forged::Signature)));
        for body in [
            "",
            "{}",
            r#"{"order_id":"o","status":"lost","occurred_ms":7}"#,
            r#"{"order_id":"o","status":"delivered"}"#,
            r#"{"order_id":"o","status":"delivered","occurred_ms":-7}"#,
        ] {
            assert!(
                matches!(received(body, "shared"), Err(Rejection::Malformed(_))),
                "{body}"
            );
        }
    }
}
