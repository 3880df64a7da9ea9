//! Requests counted in windows of time, for all nodes together. What a count means for a request is decided elsewhere.

use std::time::Duration;

use ring::hmac;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::secrets::Purpose;
use crate::{Error, Result, Store};

/// The secret that buckets are digested with.
pub(crate) const RATE_LIMITS: Purpose = "rate limits";
/// Sessions that count. Many who share a bucket wait for each other in the database: here they wait beside everybody else.
pub(crate) const COUNTING_CONNECTIONS: u32 = 2;
/// For a session, which may have to begin first.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// For a row that others count in. After this long nobody waits for the answer any more.
const STATEMENT_TIMEOUT: (&str, &str) = ("statement_timeout", "200ms");

/// A count, and when it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// Requests of the window, the last one included.
    pub requests: u64,
    /// Until the window ends, milliseconds, by the database's clock.
    pub left_ms: u64,
}

/// Sessions for nothing else. One round trip a count: a session is not tried out before it is used, and one that has broken is a count less.
pub(crate) fn counting_pool(session: &PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(COUNTING_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        // Beginning one may take longer than anybody waits.
        .idle_timeout(None)
        .max_lifetime(None);
    pool.connect_lazy_with(session.clone().options([STATEMENT_TIMEOUT]))
}

impl Store {
    /// Counts one more request of `bucket`, exactly once over all nodes. Its window begins with the first request after the last one's end.
    pub async fn count_request(&self, bucket: &str, window_seconds: u32) -> Result<RequestCount> {
        let key = self.inner.bucket_key.get().ok_or(Error::NotMigrated)?;
        let digest = hmac::sign(key, bucket.as_bytes());
        // `now()` is one moment for the whole statement: whoever finds the window over also begins the next one. Of two that begin one at
        // once, the second waits for the first one's row, and counts in it.
        let (requests, left_ms): (i64, i64) = sqlx::query_as(
            "INSERT INTO host.rate_count AS held (bucket, requests, ends_at) VALUES ($1, 1, now() + make_interval(secs => $2))
             ON CONFLICT (bucket) DO UPDATE SET
                 requests = CASE WHEN held.ends_at <= now() THEN 1 ELSE held.requests + 1 END,
                 ends_at = CASE WHEN held.ends_at <= now() THEN excluded.ends_at ELSE held.ends_at END
             RETURNING requests, ceil(extract(epoch FROM ends_at - now()) * 1000)::bigint",
        )
        .bind(digest.as_ref())
        .bind(f64::from(window_seconds))
        .fetch_one(&self.inner.counting)
        .await?;
        Ok(RequestCount {
            requests: requests.unsigned_abs(),
            left_ms: u64::try_from(left_ms).unwrap_or(0),
        })
    }

    /// Begins a session that counts, so that the first request does not wait for it.
    pub(crate) async fn begin_counting(&self) {
        let pool = &self.inner.counting;
        if let Err(error) = pool.acquire().await {
            tracing::debug!(%error, "the first limited request will have to wait for a session");
        }
    }

    /// Forgets counts whose window is over. Returns how many.
    pub(crate) async fn expire_counts(&self) -> Result<u64> {
        self.delete_in_parts(
            "DELETE FROM host.rate_count WHERE bucket IN (SELECT bucket FROM host.rate_count
                 WHERE ends_at <= now() ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .await
    }
}
