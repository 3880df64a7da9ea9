//! What both sides sign with: HMAC-SHA256 under the shared secret, compared in constant time.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header of a request to the gateway.
pub(crate) const REQUEST_HEADER: &str = "x-sandbox-signature";

/// The signatures of a version that is known.
const VERSION: &str = "v1,";

/// What a request to the gateway is signed with.
pub(crate) fn of_request(secret: &str, method: &str, path: &str, body: &[u8]) -> String {
    let mac = mac(secret, &[method.as_bytes(), b"\n", path.as_bytes(), b"\n", body]);
    hex::encode(mac.finalize().into_bytes())
}

/// Whether one of these signatures, separated by blanks, is that of a webhook.
pub(crate) fn is_of_webhook(signatures: &str, secret: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
    let mac = mac(secret, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    let given = signatures
        .split_ascii_whitespace()
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok());
    // All of them are compared, whichever is the right one.
    given.fold(false, |found, signature| {
        mac.clone().verify_slice(&signature).is_ok() | found
    })
}

fn mac(secret: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is a key");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with another implementation: `printf 'evt_1.1700000000.{}' | openssl dgst -sha256 -hmac shared -binary | base64`.
    const WEBHOOK: &str = "v1,yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=";
    /// `printf 'POST\n/charges\n{}' | openssl dgst -sha256 -hmac shared`.
    const REQUEST: &str = "45315a17863fcd9f640f1510a0744349eba61bf860a7126791bf6171e24f9a9f";

    #[test]
    fn another_implementation_signs_the_same() {
        assert_eq!(of_request("shared", "POST", "/charges", b"{}"), REQUEST);
        assert!(is_of_webhook(WEBHOOK, "shared", "evt_1", "1700000000", b"{}"));
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let several = format!("v1a,AAAA v1,AAAA {WEBHOOK}");
        assert!(is_of_webhook(&several, "shared", "evt_1", "1700000000", b"{}"));
    }

    #[test]
    fn nothing_of_what_is_signed_can_be_changed() {
        for (secret, id, timestamp, body) in [
            ("other", "evt_1", "1700000000", "{}"),
            ("shared", "evt_2", "1700000000", "{}"),
            ("shared", "evt_1", "1700000001", "{}"),
            ("shared", "evt_1", "1700000000", "{ }"),
        ] {
            assert!(!is_of_webhook(WEBHOOK, secret, id, timestamp, body.as_bytes()));
        }
        for signature in [
            "",
            "v1,",
            "v1,!",
            "yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=",
            "v2,yV+iIFCchcRN7BB8kpd8JarnAd4GE/9Lm4w6zKVIpGs=",
        ] {
            assert!(!is_of_webhook(signature, "shared", "evt_1", "1700000000", b"{}"));
        }
    }
}
