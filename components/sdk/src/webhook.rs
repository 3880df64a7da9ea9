//! Who signed a webhook, as Standard Webhooks has it: HMAC-SHA256 under a shared secret, compared in constant time.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The signatures of a version that is known.
const VERSION: &str = "v1,";

/// How far the clocks of both sides may be apart, and how long a webhook may have been under way.
const WINDOW_MS: u64 = 5 * 60 * 1000;

/// Why a webhook is not its sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// One of the three headers is missing.
    #[error("it is not signed")]
    Unsigned,
    /// Signed by somebody else, or changed since.
    #[error("its signature is not the sender's")]
    Signature,
    /// A repetition by somebody who has seen it, or a clock that goes wrong.
    #[error("it was not signed in the last five minutes")]
    Age,
}

/// The id (`webhook-id`) of a webhook that was received at this time (milliseconds since 1970-01-01 UTC) and that who knows the secret has signed.
/// It is the same in each repetition. Names of headers are in lower case.
///
/// # Errors
/// It may be anybody's.
pub fn verify<'a>(
    headers: &'a [(String, String)],
    body: &[u8],
    secret: &str,
    received_ms: u64,
) -> Result<&'a str, Forged> {
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let (Some(id), Some(timestamp), Some(signatures)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return Err(Forged::Unsigned);
    };
    if !is_signed(signatures, secret, id, timestamp, body) {
        return Err(Forged::Signature);
    }
    let sent_ms = timestamp
        .parse::<u64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000));
    if sent_ms.is_none_or(|sent_ms| sent_ms.abs_diff(received_ms) > WINDOW_MS) {
        return Err(Forged::Age);
    }
    Ok(id)
}

/// Whether one of these signatures, separated by blanks, is that of a webhook.
fn is_signed(signatures: &str, secret: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is a key");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    let given = signatures
        .split_ascii_whitespace()
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok());
    // All of them are compared, whichever is the right one.
    given.fold(false, |found, signature| {
        mac.clone().verify_slice(&signature).is_ok() | found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "{}";
    const SENT_S: u64 = 1_700_000_000;
    /// Made with another implementation: `printf 'evt_1.1700000000.{}' | openssl dgst -sha256 -hmac shared -binary | base64`.
    const SIGNATURE: &str = "v1,yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=";

    fn signed(timestamp: &str, signature: &str) -> Vec<(String, String)> {
        [
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn received(late_ms: i64) -> Result<String, Forged> {
        let headers = signed(&SENT_S.to_string(), SIGNATURE);
        let at = (SENT_S * 1000).saturating_add_signed(late_ms);
        verify(&headers, BODY.as_bytes(), "shared", at).map(str::to_owned)
    }

    #[test]
    fn another_implementation_signs_the_same() {
        assert_eq!(received(1_000), Ok("evt_1".to_owned()));
    }

    #[test]
    fn the_window_is_five_minutes_both_ways() {
        for late_ms in [-300_000, 300_000] {
            assert!(received(late_ms).is_ok());
        }
        for late_ms in [-300_001, 300_001] {
            assert_eq!(received(late_ms), Err(Forged::Age));
        }
    }

    #[test]
    fn what_lacks_a_part_of_its_signature_is_not_signed() {
        for missing in 0..3 {
            let mut headers = signed(&SENT_S.to_string(), SIGNATURE);
            headers[missing].1.clear();
            let outcome = verify(&headers, BODY.as_bytes(), "shared", SENT_S * 1000);
            assert_eq!(outcome, Err(Forged::Unsigned));
            headers.remove(missing);
            let outcome = verify(&headers, BODY.as_bytes(), "shared", SENT_S * 1000);
            assert_eq!(outcome, Err(Forged::Unsigned));
        }
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let several = format!("v1a,AAAA v1,AAAA {SIGNATURE}");
        assert!(is_signed(&several, "shared", "evt_1", "1700000000", b"{}"));
    }

    #[test]
    fn nothing_of_what_is_signed_can_be_changed() {
        for (secret, id, timestamp, body) in [
            ("other", "evt_1", "1700000000", "{}"),
            ("shared", "evt_2", "1700000000", "{}"),
            ("shared", "evt_1", "1700000001", "{}"),
            ("shared", "evt_1", "1700000000", "{ }"),
        ] {
            assert!(!is_signed(SIGNATURE, secret, id, timestamp, body.as_bytes()));
        }
        for signature in [
            "",
            "v1,",
            "v1,!",
            "yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=",
            "v2,yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=",
        ] {
            assert!(!is_signed(signature, "shared", "evt_1", "1700000000", b"{}"));
        }
        // A time that is none is not signed with ours, and is nobody's.
        let headers = signed("soon", SIGNATURE);
        assert_eq!(
            verify(&headers, BODY.as_bytes(), "shared", SENT_S * 1000),
            Err(Forged::Signature)
        );
    }
}
