//! Reading a body within its bounds: the component's size limit, a time limit, and the memory all bodies share.

use std::time::Duration;

use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Error;

/// Memory is counted in units of this many bytes: finer counting would cost more than it saves.
const UNIT_BYTES: usize = 16 << 10;
/// Of a body nobody wants, this much is read before the connection is closed on its sender.
const DISCARD_BYTES: usize = 8 << 20;
/// And for this long.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// What overload is worth waiting.
const RETRY_AFTER_S: u32 = 1;

/// The memory for all bodies that are being read or worked on.
pub(crate) struct BodyMemory(Semaphore);

/// A part of that memory; given back when dropped.
pub(crate) type Reserved<'a> = Option<SemaphorePermit<'a>>;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyBounds {
    pub(crate) limit_bytes: u64,
    pub(crate) timeout: Duration,
}

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Semaphore::new(bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS)))
    }

    /// Makes `reserved` cover `bytes`.
    fn cover<'a>(&'a self, reserved: &mut Reserved<'a>, bytes: usize) -> Result<(), Error> {
        let held = reserved.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let overloaded = Error::Overloaded {
            retry_after_s: RETRY_AFTER_S,
        };
        let Ok(missing) = u32::try_from(missing) else {
            return Err(overloaded);
        };
        let more = self.0.try_acquire_many(missing).map_err(|_| overloaded)?;
        match reserved {
            Some(reserved) => reserved.merge(more),
            None => *reserved = Some(more),
        }
        Ok(())
    }
}

/// The whole body, and the memory reserved for it. On an error what is left of the body has been dealt with.
pub(crate) async fn read(
    mut body: Incoming,
    bounds: BodyBounds,
    memory: &BodyMemory,
    expects_continue: bool,
) -> Result<(Vec<u8>, Reserved<'_>), Error> {
    if body.is_end_stream() {
        return Ok((Vec::new(), None));
    }
    if body.size_hint().lower() > bounds.limit_bytes {
        discard(body, expects_continue).await;
        return Err(Error::BodyTooLarge {
            limit_bytes: bounds.limit_bytes,
        });
    }
    let read = tokio::time::timeout(bounds.timeout, collect(&mut body, bounds.limit_bytes, memory)).await;
    match read {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            // The client was told to go on when the first byte was asked for.
            discard(body, false).await;
            Err(error)
        }
        Err(_) => Err(Error::BodyTimeout),
    }
}

async fn collect<'a>(
    body: &mut Incoming,
    limit_bytes: u64,
    memory: &'a BodyMemory,
) -> Result<(Vec<u8>, Reserved<'a>), Error> {
    let mut reserved = None;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers are nobody's.
        let Ok(data) = frame.map_err(|_| Error::BodyBroken)?.into_data() else {
            continue;
        };
        let total = bytes.len() + data.len();
        if total as u64 > limit_bytes {
            return Err(Error::BodyTooLarge { limit_bytes });
        }
        memory.cover(&mut reserved, total)?;
        if bytes.is_empty() {
            // Mostly one frame is all there is. More is reserved as it comes: a length that is only claimed costs nothing.
            bytes.reserve_exact(data.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, reserved))
}

/// Reads and forgets what is still coming, within bounds. A connection that is closed with unread bytes is reset, and the reset
/// can reach the client before the response does. One that waits for `100 Continue` has sent nothing and is not invited to.
pub(crate) async fn discard(mut body: Incoming, expects_continue: bool) {
    if expects_continue || body.is_end_stream() {
        return;
    }
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len());
            if discarded > DISCARD_BYTES {
                break;
            }
        }
    };
    // Either way the response is next.
    let _ = tokio::time::timeout(DISCARD_TIME, discard).await;
}
