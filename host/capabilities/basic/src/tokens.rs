//! JSON Web Tokens in compact form, signed with HMAC-SHA-512 and with nothing else, and keyed fingerprints.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use ring::hmac;
use serde_json::{Map, Value};

use crate::MasterKey;

/// Longer ones are not looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;
const ALGORITHM: &str = "HS512";

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours, changed, or of another key.
    #[error("{0}")]
    Invalid(&'static str),
    /// Its time has passed.
    #[error("the token has expired")]
    Expired,
}

/// A token that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The payload as its issuer wrote it, a JSON object.
    pub payload: String,
    /// The same, read.
    pub claims: Map<String, Value>,
}

impl Verified {
    /// The claim that says whose token this is; text or a whole number.
    pub fn subject(&self, claim: &str) -> Option<String> {
        match self.claims.get(claim)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The host's token keys, each by name.
pub struct TokenKeys {
    fingerprints: MasterKey,
    /// The first signs, all verify.
    versions: RwLock<Vec<Arc<MasterKey>>>,
}

impl TokenKeys {
    /// All keys are derived from the master key: those of fingerprints for good, those of tokens until they are replaced.
    pub fn new(master: MasterKey) -> Self {
        let versions = vec![Arc::new(master.clone())];
        Self {
            fingerprints: master,
            versions: RwLock::new(versions),
        }
    }

    /// From now on the first of these signs, and what any of them signed is good. Without any, nothing changes.
    pub fn replace(&self, versions: Vec<MasterKey>) {
        if !versions.is_empty() {
            *self.versions.write() = versions.into_iter().map(Arc::new).collect();
        }
    }

    /// Signs a payload: a JSON object with a numeric `exp`, since a token without an end could never be taken back.
    pub fn sign(&self, key_name: &str, payload: &str) -> Result<String, TokenError> {
        let claims = object(payload.as_bytes()).ok_or(TokenError::Invalid("the payload is not a JSON object"))?;
        if !claims.get("exp").is_some_and(Value::is_number) {
            return Err(TokenError::Invalid(
                "the payload has no expiry (exp, seconds since 1970)",
            ));
        }
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let version = self.versions.read().first().map(Arc::clone);
        let version = version.ok_or(TokenError::Invalid("there is no key to sign with"))?;
        let signature = hmac::sign(&signing(&version, key_name), signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid("the payload is too long for a token"));
        }
        Ok(token)
    }

    /// Checks signature, then times. `now_ms` is milliseconds since 1970-01-01 UTC.
    pub fn verify(&self, key_name: &str, token: &str, now_ms: u64) -> Result<Verified, TokenError> {
        const MALFORMED: TokenError = TokenError::Invalid("the token is malformed");
        if token.len() > MAX_TOKEN_BYTES {
            return Err(MALFORMED);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, payload) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        // The header is not trusted to choose anything: it must say what we do anyway.
        let header = object(&header).ok_or(MALFORMED)?;
        if header.get("alg").and_then(Value::as_str) != Some(ALGORITHM) {
            return Err(TokenError::Invalid("the token is not signed with HS512"));
        }
        if header.contains_key("crit") {
            return Err(TokenError::Invalid("the token has extensions"));
        }
        let is_signed_with =
            |version: &Arc<MasterKey>| hmac::verify(&signing(version, key_name), signed.as_bytes(), &signature).is_ok();
        if !self.versions.read().iter().any(is_signed_with) {
            return Err(TokenError::Invalid("the token's signature does not match"));
        }
        let payload = String::from_utf8(payload).map_err(|_| MALFORMED)?;
        let claims = object(payload.as_bytes()).ok_or(MALFORMED)?;
        let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64);
        let now_s = now_ms as f64 / 1000.0;
        match seconds("exp") {
            None => return Err(TokenError::Invalid("the token has no expiry")),
            Some(expires) if expires <= now_s => return Err(TokenError::Expired),
            Some(_) => {}
        }
        if claims.contains_key("nbf") && seconds("nbf").is_none_or(|begins| begins > now_s) {
            return Err(TokenError::Invalid("the token is not valid yet"));
        }
        Ok(Verified { payload, claims })
    }

    /// HMAC-SHA-256 in hex: the same value gives the same text, and the text does not give the value.
    pub fn fingerprint(&self, key_name: &str, value: &str) -> String {
        let key: [u8; 32] = self.fingerprints.derive(&format!("fingerprint:{key_name}"));
        hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), value.as_bytes()))
    }
}

fn signing(version: &MasterKey, key_name: &str) -> hmac::Key {
    let key: [u8; 64] = version.derive(&format!("token:{key_name}"));
    hmac::Key::new(hmac::HMAC_SHA512, &key)
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys(..)")
    }
}

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"sub":"7","exp":2000,"role":"buyer"}"#;
    const NOW_MS: u64 = 1_999_999;

    fn keys() -> TokenKeys {
        TokenKeys::new(MasterKey::new(&[1; 32]))
    }

    /// A token with this header and payload and a right signature.
    fn forge(header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac::sign(&signing(&MasterKey::new(&[1; 32]), "access"), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn refused(token: &str) -> TokenError {
        keys().verify("access", token, NOW_MS).expect_err(token)
    }

    #[test]
    fn a_token_comes_back_as_it_was_signed() {
        let token = keys().sign("access", PAYLOAD).unwrap();
        let verified = keys().verify("access", &token, NOW_MS).unwrap();
        assert_eq!(verified.payload, PAYLOAD);
        assert_eq!(verified.subject("sub").as_deref(), Some("7"));
        assert_eq!(verified.subject("exp").as_deref(), Some("2000"));
        assert_eq!(
            (verified.subject("role").as_deref(), verified.subject("nothing")),
            (Some("buyer"), None)
        );
    }

    /// Computed with another implementation; fails if tokens in the hands of clients would stop to verify.
    #[test]
    fn a_token_stays_as_it_is() {
        let parts = [
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9",
            "eyJzdWIiOiI3IiwiZXhwIjoyMDAwLCJyb2xlIjoiYnV5ZXIifQ",
            "PW9KvDR6JSMGaXay2HfC1L33VTlZKuv7_XZvFIh7eIxv3SgcLG6GDY-Vb8p8ZTQfy8eCQFIcJtbScUdwr7e89Q",
        ];
        assert_eq!(keys().sign("access", PAYLOAD).unwrap(), parts.join("."));
        assert_eq!(
            keys().fingerprint("refresh", "value"),
            "032a3956c2f2e60f5be7f08126df2dfdbc096d986dd9219bded119b44f94c7ea"
        );
    }

    #[test]
    fn a_replaced_key_verifies_what_it_signed_for_as_long_as_it_is_kept() {
        let keys = keys();
        let (old, mark) = (keys.sign("access", PAYLOAD).unwrap(), keys.fingerprint("refresh", "a"));
        let version = |number| MasterKey::new(&[number; 32]);
        // Made, and not yet in use.
        keys.replace(vec![version(1), version(2)]);
        assert_eq!(keys.sign("access", PAYLOAD).unwrap(), old);
        keys.replace(vec![version(2), version(1)]);
        let new = keys.sign("access", PAYLOAD).unwrap();
        assert_ne!(new, old);
        for token in [&old, &new] {
            assert!(keys.verify("access", token, NOW_MS).is_ok());
        }
        assert_eq!(
            keys.fingerprint("refresh", "a"),
            mark,
            "what is kept by its fingerprint is found again"
        );
        keys.replace(vec![version(2)]);
        assert!(keys.verify("access", &old, NOW_MS).is_err());
        keys.replace(Vec::new());
        assert!(keys.verify("access", &new, NOW_MS).is_ok());
    }

    #[test]
    fn only_our_algorithm_passes() {
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"hs512"}"#,
            r#"{"alg":["HS512"]}"#,
            "{}",
        ] {
            assert_eq!(
                refused(&forge(header, PAYLOAD)),
                TokenError::Invalid("the token is not signed with HS512")
            );
        }
        let critical = forge(r#"{"alg":"HS512","crit":["exp"]}"#, PAYLOAD);
        assert_eq!(refused(&critical), TokenError::Invalid("the token has extensions"));
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert!(matches!(
            refused(&format!("{header}.{}.", URL_SAFE_NO_PAD.encode(PAYLOAD))),
            TokenError::Invalid(_)
        ));
    }

    #[test]
    fn any_change_is_noticed() {
        let token = keys().sign("access", PAYLOAD).unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys().verify("access", &changed, NOW_MS).is_err(), "byte {at}");
        }
        assert!(keys().verify("refresh", &token, NOW_MS).is_err(), "another key");
        for bad in [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c.d",
            &token[..token.len() - 1],
            &format!("{token}="),
        ] {
            assert!(matches!(refused(bad), TokenError::Invalid(_)), "{bad}");
        }
    }

    #[test]
    fn times_are_checked_to_the_millisecond() {
        let token = keys().sign("access", PAYLOAD).unwrap();
        assert_eq!(keys().verify("access", &token, 2_000_000), Err(TokenError::Expired));
        let header = r#"{"alg":"HS512"}"#;
        assert!(
            matches!(refused(&forge(header, r#"{"sub":"7"}"#)), TokenError::Invalid(_)),
            "without an end"
        );
        assert!(
            matches!(refused(&forge(header, r#"{"exp":"2000"}"#)), TokenError::Invalid(_)),
            "an end that is text"
        );
        let early = forge(header, r#"{"exp":3000,"nbf":2000}"#);
        assert_eq!(refused(&early), TokenError::Invalid("the token is not valid yet"));
        assert!(keys().verify("access", &early, 2_000_000).is_ok());
    }

    #[test]
    fn only_objects_with_an_end_are_signed() {
        for payload in ["", "7", "[]", "{", r#"{"sub":"7"}"#] {
            assert!(keys().sign("access", payload).is_err(), "{payload}");
        }
        let long = format!(r#"{{"exp":1,"text":"{}"}}"#, "x".repeat(MAX_TOKEN_BYTES));
        assert!(keys().sign("access", &long).is_err());
    }

    #[test]
    fn fingerprints_differ_by_key_and_value() {
        assert_ne!(keys().fingerprint("refresh", "a"), keys().fingerprint("refresh", "b"));
        assert_ne!(keys().fingerprint("refresh", "a"), keys().fingerprint("access", "a"));
    }
}
