//! What requests to the gateway are signed with: HMAC-SHA256 under the shared secret.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header of a request to the gateway.
pub(crate) const REQUEST_HEADER: &str = "x-sandbox-signature";

/// What a request to the gateway is signed with.
pub(crate) fn of_request(secret: &str, method: &str, path: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is a key");
    for part in [method.as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with another implementation: `printf 'POST\n/charges\n{}' | openssl dgst -sha256 -hmac shared`.
    const REQUEST: &str = "45315a17863fcd9f640f1510a0744349eba61bf860a7126791bf6171e24f9a9f";

    #[test]
    fn another_implementation_signs_the_same() {
        assert_eq!(of_request("shared", "POST", "/charges", b"{}"), REQUEST);
    }
}
