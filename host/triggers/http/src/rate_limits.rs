//! How often a caller may ask. Requests are counted for all nodes together, elsewhere; here it is decided what a count means for one,
//! before anything else of it is looked at.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_manifest::{Component, LimitedBy, RateLimit, Uncounted};
use host_types::{Clock, Identity};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::error::Error;
use crate::metrics::HttpMetrics;

/// Longer than a count takes, and short enough to wait for it in vain.
const COUNT_TIMEOUT: Duration = Duration::from_millis(200);
/// Spent buckets that a node knows at most. Who is in none of them is counted, which costs more and comes to the same.
const MAX_SPENT: usize = 10_000;
/// The longest name of a spent bucket that is kept: together they bound the memory.
const MAX_SPENT_BYTES: usize = 256;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What a count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Requests of the window, this one included.
    pub requests: u64,
    /// Until the window ends, milliseconds, by the clock of whoever counts.
    pub left_ms: u64,
}

impl Counted {
    fn spent(quota: u64, left_ms: u64) -> Self {
        Self {
            requests: quota.saturating_add(1),
            left_ms,
        }
    }
}

/// The answer of a counter. The error says in words for the log why there is no count.
pub type CountAnswer<'a> = Pin<Box<dyn Future<Output = Result<Counted, String>> + Send + 'a>>;

/// Counts requests for all nodes together.
pub trait CountRequests: Send + Sync + 'static {
    /// One more request of this bucket, whose window begins now unless one is open, and is so long.
    fn count<'a>(&'a self, bucket: &'a str, window_seconds: u32) -> CountAnswer<'a>;
}

/// Decides by what was counted.
pub(crate) struct RateLimiter {
    counter: Arc<dyn CountRequests>,
    clock: Arc<dyn Clock>,
    metrics: HttpMetrics,
    spent: Mutex<Spent>,
}

/// How a limited request stands: what every answer to it says.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    limit: &'a RateLimit,
    /// None when nobody could say.
    window: Option<Window>,
}

/// What is left of a caller's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    is_spent: bool,
    remaining: u64,
    /// Seconds until there is a whole quota again, at least one.
    reset_s: u64,
}

impl Window {
    fn of(counted: Counted, quota: u64) -> Self {
        Self {
            is_spent: counted.requests > quota,
            remaining: quota.saturating_sub(counted.requests),
            reset_s: counted.left_ms.div_ceil(1_000).max(1),
        }
    }
}

impl RateLimiter {
    pub(crate) fn new(counter: Arc<dyn CountRequests>, clock: Arc<dyn Clock>, metrics: HttpMetrics) -> Self {
        Self {
            counter,
            clock,
            metrics,
            spent: Mutex::default(),
        }
    }

    /// Counts a request that this limit is for, as one of `whose`. It is refused when [`Standing::refusal`] says so.
    pub(crate) async fn count<'a>(
        &self,
        component: &Component,
        limit: &'a RateLimit,
        whose: Whose<'_>,
    ) -> Standing<'a> {
        let bucket = bucket(component, limit, whose);
        let asked_ns = self.clock.boot_ns();
        let known = self.spent.lock().left_ms(&bucket, asked_ns);
        let window = match known {
            // Until its window ends, a spent bucket stays so: whoever goes on asking costs the database nothing.
            Some(left_ms) => Some(Window::of(Counted::spent(limit.quota, left_ms), limit.quota)),
            None => {
                let counted = self.ask(&bucket, limit).await;
                let window = counted.map(|counted| Window::of(counted, limit.quota));
                if let (Some(counted), Some(Window { is_spent: true, .. })) = (counted, window) {
                    // From before it was asked for, so that it ends no later than the window itself.
                    self.spent.lock().insert(bucket, asked_ns, counted.left_ms);
                }
                window
            }
        };
        let outcome = match window {
            Some(Window { is_spent: false, .. }) => "allowed",
            Some(Window { is_spent: true, .. }) => "refused",
            None => "uncounted",
        };
        self.metrics.limited(component.id.as_str(), &limit.name, outcome);
        Standing { limit, window }
    }

    async fn ask(&self, bucket: &str, limit: &RateLimit) -> Option<Counted> {
        let counting = self.counter.count(bucket, limit.window_seconds);
        let reason = match tokio::time::timeout(COUNT_TIMEOUT, counting).await {
            Ok(Ok(counted)) => return Some(counted),
            Ok(Err(reason)) => reason,
            Err(_) => format!("no count within {} ms", COUNT_TIMEOUT.as_millis()),
        };
        tracing::debug!(policy = limit.name, reason, "a request is not counted");
        None
    }
}

impl Standing<'_> {
    /// Why the request goes no further, if so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.window {
            Some(Window { is_spent, reset_s, .. }) => is_spent.then(|| Error::TooManyRequests {
                policy: self.limit.name.clone(),
                quota: self.limit.quota,
                window_seconds: self.limit.window_seconds,
                retry_after_s: u32::try_from(reset_s).unwrap_or(u32::MAX),
            }),
            None => (self.limit.unknown == Uncounted::Refuse).then_some(Error::Uncounted),
        }
    }

    /// Says it in the response, in the words of the IETF's draft 11 on rate limits.
    pub(crate) fn apply(&self, response: &mut HeaderMap) {
        let RateLimit {
            name,
            quota,
            window_seconds,
            ..
        } = self.limit;
        response.append(POLICY, text(format!("\"{name}\";q={quota};w={window_seconds}")));
        if let Some(Window { remaining, reset_s, .. }) = self.window {
            response.append(LIMIT, text(format!("\"{name}\";r={remaining};t={reset_s}")));
        }
    }
}

/// What a component says of limits would be about others than the ones that hold.
pub(crate) fn forget_others(response: &mut HeaderMap) {
    response.remove(POLICY);
    response.remove(LIMIT);
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("a limit's name is words of letters and digits")
}

/// Who is meant by a request that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose<'a> {
    Account(&'a str),
    Address(&'a str),
    /// Who is named in a member of its body.
    Named(&'a str),
}

impl<'a> Whose<'a> {
    /// By what the head of the request says.
    pub(crate) fn of(by: &LimitedBy, identity: &'a Identity, address: &'a str) -> Self {
        match (by, identity) {
            (LimitedBy::Account, Identity::Verified(claims)) => Self::Account(&claims.subject),
            _ => Self::Address(address),
        }
    }
}

/// Whose requests are counted together, in words: another window is another count, another quota is not.
fn bucket(component: &Component, limit: &RateLimit, whose: Whose<'_>) -> String {
    let mut bucket = format!("{}/{}/{} ", component.id, limit.name, limit.window_seconds);
    // Writing to a text cannot fail.
    let _ = match whose {
        Whose::Account(subject) => write!(bucket, "account {subject}"),
        Whose::Address(address) => write!(bucket, "address {}", network(address)),
        Whose::Named(name) => write!(bucket, "named {name}"),
    };
    bucket
}

/// An IPv4 address as it is; of an IPv6 address its network, which is what one client is given.
fn network(peer: &str) -> String {
    match peer.parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => peer.to_owned(),
    }
}

/// Buckets that are known to be spent.
#[derive(Default)]
struct Spent {
    until_ns: HashMap<String, u64>,
}

impl Spent {
    fn left_ms(&self, bucket: &str, now_ns: u64) -> Option<u64> {
        let until_ns = *self.until_ns.get(bucket)?;
        let left_ns = until_ns.checked_sub(now_ns).filter(|left_ns| *left_ns > 0)?;
        Some(left_ns.div_ceil(1_000_000))
    }

    fn insert(&mut self, bucket: String, now_ns: u64, left_ms: u64) {
        if bucket.len() > MAX_SPENT_BYTES {
            return;
        }
        if self.until_ns.len() >= MAX_SPENT {
            // Most of them are over by now; those that are not are counted once more, and come back.
            self.until_ns.clear();
        }
        let until_ns = now_ns.saturating_add(left_ms.saturating_mul(1_000_000));
        self.until_ns.insert(bucket, until_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(requests: u64, left_ms: u64) -> (bool, u64, u64) {
        let window = Window::of(Counted { requests, left_ms }, 10);
        (window.is_spent, window.remaining, window.reset_s)
    }

    #[test]
    fn the_quota_passes_and_one_more_does_not() {
        assert_eq!(window(1, 60_000), (false, 9, 60));
        assert_eq!(window(10, 60_000), (false, 0, 60));
        assert_eq!(window(11, 60_000), (true, 0, 60));
        assert_eq!(window(u64::MAX, 60_000), (true, 0, 60));
    }

    #[test]
    fn seconds_are_rounded_up_so_that_who_waits_them_is_let_in() {
        for (left_ms, reset_s) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(window(11, left_ms).2, reset_s, "{left_ms}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::/64");
        assert_eq!(network("::1"), "0:0:0:0::/64");
    }

    #[test]
    fn a_spent_bucket_is_known_until_its_window_ends() {
        let mut spent = Spent::default();
        let second_ns = 1_000_000_000;
        spent.insert("one".into(), second_ns, 2_000);
        assert_eq!(spent.left_ms("one", second_ns), Some(2_000));
        assert_eq!(spent.left_ms("one", 3 * second_ns - 1), Some(1));
        assert_eq!(spent.left_ms("one", 3 * second_ns), None);
        assert_eq!(spent.left_ms("another", second_ns), None);
    }

    #[test]
    fn what_is_known_of_spent_buckets_is_bounded() {
        let mut spent = Spent::default();
        spent.insert("x".repeat(MAX_SPENT_BYTES + 1), 0, 1_000);
        assert_eq!(spent.until_ns.len(), 0);
        for number in 0..=MAX_SPENT {
            spent.insert(number.to_string(), 0, 1_000);
            assert!(spent.until_ns.len() <= MAX_SPENT);
        }
        assert_eq!(spent.left_ms(&MAX_SPENT.to_string(), 0), Some(1_000));
    }
}
