//! Events as server-sent events: what a component's response names by topic and key is streamed to its client, for as long as that listens.
//!
//! A stream is a connection and a place in the log, nothing else: no instance, no database connection. One reader per node finds out which
//! keys have something new, reads it once however many listen, and keeps the newest of it; a client that is further behind reads the log.

mod body;
mod channel;
mod frame;
mod reader;
mod request;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use host_types::EventId;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

pub(crate) use request::{Asked, STREAM, StreamError, good_for};

use channel::Channel;

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Greater than those of all earlier events of its key.
    pub number: i64,
    /// Its id, which a client sends to go on after it.
    pub event: EventId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// What a client is told.
    pub payload: Vec<u8>,
}

/// Which keys have something new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Each with the number of its newest event. May hold what an earlier look held.
    pub keys: Vec<(String, i64)>,
    /// What the next look goes on from.
    pub from: u64,
}

/// What a log answers with; an error is for a person to read, and another try may succeed.
pub type LogAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where events are read. Answered by the database, and by the doubles that test streams.
pub trait EventLog: Send + Sync + 'static {
    /// What was published since the look that gave this `from`, without a gap; with none, only where to go on from.
    fn news(&self, from: Option<u64>) -> LogAnswer<'_, News>;

    /// Of each of these keys up to `limit` events after the number, oldest first.
    fn after<'a>(&'a self, places: &'a [(String, i64)], limit: u32) -> LogAnswer<'a, Vec<LoggedEvent>>;

    /// The number of a key's newest event, 0 before the first: all later ones have a greater one.
    fn newest<'a>(&'a self, key: &'a str) -> LogAnswer<'a, i64>;

    /// The number of an event of this key, if it is still there.
    fn number<'a>(&'a self, event: EventId, key: &'a str) -> LogAnswer<'a, Option<i64>>;
}

/// All streams of this node. Clones share everything.
#[derive(Clone)]
pub struct Streams {
    hub: Arc<Hub>,
}

pub(crate) struct Hub {
    log: Arc<dyn EventLog>,
    /// By key.
    channels: Mutex<HashMap<String, Arc<Channel>>>,
    /// Bytes that all channels keep.
    kept_bytes: AtomicUsize,
    /// A channel came: the reader has work.
    opened: Notify,
    /// Changes when something may have been published.
    published: watch::Receiver<u64>,
    /// How many clients may read the log at once.
    reading: Semaphore,
    /// How many streams there may be.
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

/// Streams of one node at once.
const MAX_STREAMS: usize = 10_000;
/// Clients that read the log at once: the database has others to serve.
const READING: usize = 4;

impl Streams {
    /// Nothing is streamed yet. `published` changes when something may have been published.
    pub fn new(log: Arc<dyn EventLog>, published: watch::Receiver<u64>) -> Self {
        let hub = Hub {
            log,
            channels: Mutex::default(),
            kept_bytes: AtomicUsize::new(0),
            opened: Notify::new(),
            published,
            reading: Semaphore::new(READING),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            stopping: watch::Sender::new(false),
        };
        Self { hub: Arc::new(hub) }
    }

    /// How many there are now.
    pub fn open(&self) -> usize {
        MAX_STREAMS - self.hub.places.available_permits()
    }

    /// Reads what is published for those who listen. Runs until dropped.
    pub async fn run(self) {
        reader::run(&self.hub).await;
    }

    /// Ends all streams, cleanly, so that their clients come back to another node.
    pub(crate) fn stop(&self) {
        self.hub.stopping.send_replace(true);
    }
}
