//! Idempotency keys. What is stored are keyed hashes; who runs on this node under which key is kept here.

use std::collections::HashMap;
use std::sync::Arc;

use host_journal::Claim;
use host_types::{HttpCall, HttpOutcome, Identity, InvocationId};
use parking_lot::Mutex;
use ring::hmac;
use tokio::sync::watch;

/// Turns calls into claims.
pub(crate) struct Claims {
    key: hmac::Key,
    running: Arc<Mutex<HashMap<[u8; 32], Running>>>,
}

struct Running {
    fingerprint: [u8; 32],
    invocation: InvocationId,
    outcome: watch::Receiver<Option<HttpOutcome>>,
}

/// Who a call with a key turns out to be on this node.
pub(crate) enum Entered {
    /// The first: it runs, and tells the others with the ticket.
    First(Ticket),
    /// Another one with the same request runs.
    Joins(InvocationId, watch::Receiver<Option<HttpOutcome>>),
    /// Another one with another request runs.
    Mismatch,
}

/// Held by the first call under a key. Dropping it lets go of the key on this node.
pub(crate) struct Ticket {
    key: [u8; 32],
    outcome: watch::Sender<Option<HttpOutcome>>,
    running: Arc<Mutex<HashMap<[u8; 32], Running>>>,
}

impl Claims {
    /// `secret` keys the hashes; the same on every node of a database.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            running: Arc::default(),
        }
    }

    /// The claim of a call, when it has a key. `retention_ms` is how long that is remembered.
    pub(crate) fn claim(&self, call: &HttpCall, now_ms: u64, retention_ms: impl FnOnce() -> u64) -> Option<Claim> {
        let key = call.idempotency_key.as_ref()?;
        let request = &call.request;
        let subject = match &request.identity {
            Identity::Verified(claims) => claims.subject.as_str(),
            Identity::Anonymous | Identity::Invalid(_) => "",
        };
        let content_type = request
            .headers
            .iter()
            .find(|(name, _)| name == "content-type")
            .map_or("", |(_, value)| value);
        let of_route = key_parts(call.component.as_str(), &request.method, &call.route, subject, &key.0);
        let mut of_path = of_route.to_vec();
        of_path.push(request.path.as_bytes());
        let fingerprint = self.hash(&[
            request.method.as_bytes(),
            request.path.as_bytes(),
            request.query.as_bytes(),
            content_type.as_bytes(),
            &request.body,
        ]);
        Some(Claim {
            key: self.hash(&of_route),
            path_key: self.hash(&of_path),
            fingerprint,
            expires_ms: now_ms.saturating_add(retention_ms()),
        })
    }

    /// A key as it is stored of a route, whichever its path.
    pub(crate) fn key(&self, component: &str, method: &str, route: &str, subject: &str, key: &str) -> [u8; 32] {
        self.hash(&key_parts(component, method, route, subject, key))
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Enters a call under its claim.
    pub(crate) fn enter(&self, claim: &Claim, invocation: InvocationId) -> Entered {
        let mut running = self.running.lock();
        if let Some(first) = running.get(&claim.path_key) {
            return if first.fingerprint == claim.fingerprint {
                Entered::Joins(first.invocation, first.outcome.clone())
            } else {
                Entered::Mismatch
            };
        }
        let (sender, outcome) = watch::channel(None);
        running.insert(
            claim.path_key,
            Running {
                fingerprint: claim.fingerprint,
                invocation,
                outcome,
            },
        );
        Entered::First(Ticket {
            key: claim.path_key,
            outcome: sender,
            running: Arc::clone(&self.running),
        })
    }
}

fn key_parts<'a>(component: &'a str, method: &'a str, route: &'a str, subject: &'a str, key: &'a str) -> [&'a [u8]; 5] {
    [component, method, route, subject, key].map(str::as_bytes)
}

impl Ticket {
    /// Tells those who joined.
    pub(crate) fn tell(&self, outcome: &HttpOutcome) {
        self.outcome.send_replace(Some(outcome.clone()));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use host_types::{Claims as TokenClaims, ComponentId, HttpRequest, IdempotencyKey};

    use super::*;

    fn call(subject: &str, key: &str, body: &str) -> HttpCall {
        HttpCall {
            invocation: InvocationId::new(1, [0; 10]),
            component: ComponentId::from("order"),
            route: "/api/v1/order/...".into(),
            request: HttpRequest {
                method: "POST".into(),
                path: "/api/v1/order/buyer/checkout".into(),
                query: String::new(),
                headers: Vec::new(),
                identity: Identity::Verified(TokenClaims {
                    subject: subject.into(),
                    payload: "{}".into(),
                }),
                peer: "127.0.0.1".into(),
                body: body.as_bytes().to_vec().into(),
            },
            idempotency_key: Some(IdempotencyKey(key.into())),
            trace_parent: None,
            sensitive: false,
            wait_ms: 1_000,
        }
    }

    /// The first of these calls, on another path of its route.
    fn call_elsewhere() -> HttpCall {
        let mut call = call("a", "k", "x");
        call.request.path = "/api/v1/order/seller/pending/confirm".into();
        call
    }

    #[test]
    fn a_key_belongs_to_its_subject_and_a_fingerprint_to_its_body() {
        let claims = Claims::new(b"secret");
        let of = |subject, key, body| claims.claim(&call(subject, key, body), 0, || 1).unwrap();
        assert_eq!(of("a", "k", "x"), of("a", "k", "x"));
        assert_ne!(of("a", "k", "x").key, of("b", "k", "x").key);
        assert_ne!(of("a", "k", "x").key, of("a", "l", "x").key);
        assert_eq!(of("a", "k", "x").key, of("a", "k", "y").key);
        assert_ne!(of("a", "k", "x").fingerprint, of("a", "k", "y").fingerprint);

        let elsewhere = claims.claim(&call_elsewhere(), 0, || 1).unwrap();
        assert_eq!(of("a", "k", "x").key, elsewhere.key);
        assert_ne!(of("a", "k", "x").path_key, elsewhere.path_key);
        assert_eq!(of("a", "k", "x").path_key, of("a", "k", "y").path_key);
        assert_ne!(of("a", "k", "x").path_key, of("b", "k", "x").path_key);
    }

    #[test]
    fn the_second_call_of_a_key_joins_the_first_until_it_lets_go() {
        let claims = Claims::new(b"secret");
        let claim = claims.claim(&call("a", "k", "x"), 0, || 1).unwrap();
        let other = claims.claim(&call("a", "k", "y"), 0, || 1).unwrap();
        let id = InvocationId::new(1, [0; 10]);
        let Entered::First(ticket) = claims.enter(&claim, id) else {
            panic!("not first")
        };
        assert!(matches!(claims.enter(&claim, id), Entered::Joins(..)));
        assert!(matches!(claims.enter(&other, id), Entered::Mismatch));
        let elsewhere = claims.claim(&call_elsewhere(), 0, || 1).unwrap();
        assert!(matches!(claims.enter(&elsewhere, id), Entered::First(_)));
        drop(ticket);
        assert!(matches!(claims.enter(&claim, id), Entered::First(_)));
    }
}
