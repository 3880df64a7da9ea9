//! Limited requests, counted in the database.

use std::sync::Arc;

use host_http::{CountAnswer, CountRequests, Counted};
use host_store::{RequestCount, Store};

/// The store as a counter.
pub(crate) struct DatabaseCounter(pub(crate) Arc<Store>);

impl CountRequests for DatabaseCounter {
    fn count<'a>(&'a self, bucket: &'a str, window_seconds: u32) -> CountAnswer<'a> {
        Box::pin(async move {
            let counted = self.0.count_request(bucket, window_seconds).await;
            let RequestCount { requests, left_ms } = counted.map_err(|error| error.to_string())?;
            Ok(Counted { requests, left_ms })
        })
    }
}
