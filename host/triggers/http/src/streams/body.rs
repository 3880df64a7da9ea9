//! The body of a response that is a stream: what a client is sent, one chunk when it has taken the one before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use host_types::StreamBody;
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::channel::{Listening, MAX_CHUNK_BYTES, Next};
use super::frame::{self, GREETING, HEARTBEAT, RESYNC};
use super::request::{After, Asked, StreamError};
use super::{Hub, Streams};

/// Of silence, after which a client is told that the stream is still there.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(15);
/// Events read from the log at once for a client that is behind.
const PAGE: u32 = 32;
/// Between two tries to read the log.
const PAUSE: Duration = Duration::from_secs(1);

/// One client, and how far it has come.
struct Client {
    listening: Listening,
    asked: Asked,
    /// The number of the last event that it was sent, or that was not for it.
    reached: i64,
    /// To be sent before anything else.
    opening: Option<String>,
    newest: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    ends: Option<Instant>,
    last_sent: Instant,
    _place: OwnedSemaphorePermit,
}

impl Streams {
    /// Begins a stream, which ends when the node stops or the client's token does.
    pub(crate) async fn begin(&self, asked: Asked) -> Result<StreamBody, StreamError> {
        let hub = &self.hub;
        let Ok(place) = Arc::clone(&hub.places).try_acquire_owned() else {
            return Err(StreamError::Unavailable(
                "there are as many streams as a node may have".into(),
            ));
        };
        // Before it asks for its place: what is published from here on is told to the channel.
        let listening = Listening::new(hub, &asked.key);
        let newest = listening.channel.newest.subscribe();
        let (reached, is_lost) = hub.place(&listening, &asked).await.map_err(StreamError::Unavailable)?;
        let now = Instant::now();
        let client = Client {
            opening: Some(match is_lost {
                true => format!("{GREETING}{RESYNC}"),
                false => GREETING.to_owned(),
            }),
            ends: asked.good_for.and_then(|good_for| now.checked_add(good_for)),
            listening,
            asked,
            reached,
            newest,
            stopping: hub.stopping.subscribe(),
            last_sent: now,
            _place: place,
        };
        let chunks = unfold(client, |mut client| async move {
            let chunk = client.next().await?;
            client.last_sent = Instant::now();
            Some((Ok(Frame::data(chunk)), client))
        });
        Ok(http_body_util::StreamBody::new(chunks).boxed_unsync())
    }
}

impl Hub {
    /// The number after which a client goes on, and whether it has lost what it wanted to go on after.
    async fn place(self: &Arc<Self>, listening: &Listening, asked: &Asked) -> Result<(i64, bool), String> {
        let _turn = self.turn().await;
        let newest = self.log.newest(&asked.key).await?;
        let found = match asked.after {
            After::Now => Some(newest),
            After::Event(event) => self.log.number(event, &asked.key).await?,
            After::Unknown => None,
        };
        if listening.channel.begin(newest) {
            self.read(vec![Arc::clone(&listening.channel)]).await;
        }
        Ok((found.unwrap_or(newest), found.is_none()))
    }

    /// Somebody's turn to read the log. The semaphore is never closed; were it, reading in a crowd would beat not reading.
    async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.reading.acquire().await.ok()
    }
}

impl Client {
    /// What it is sent next. None: the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let is_over = self.ends.is_some_and(|ends| ends <= Instant::now());
            if is_over || *self.stopping.borrow() {
                return None;
            }
            if let Some(opening) = self.opening.take() {
                return Some(opening.into());
            }
            self.newest.mark_unchanged();
            let topic = &self.asked.topic;
            match self.listening.channel.next(self.reached, |of| topic.matches(of)) {
                Next::Chunk(chunk, reached) => {
                    self.reached = reached;
                    if !chunk.is_empty() {
                        return Some(chunk.into());
                    }
                }
                Next::Behind => match self.read().await {
                    Ok(chunk) if chunk.is_empty() => {}
                    Ok(chunk) => return Some(chunk.into()),
                    Err(error) => {
                        tracing::warn!(%error, "a stream cannot read what it missed; trying again");
                        self.pause(PAUSE).await;
                    }
                },
                Next::Nothing => {
                    let silent_until = self.last_sent + HEARTBEAT_AFTER;
                    if silent_until <= Instant::now() {
                        return Some(Bytes::from_static(HEARTBEAT.as_bytes()));
                    }
                    self.pause(silent_until - Instant::now()).await;
                }
            }
        }
    }

    /// Waits at most so long for something to happen.
    async fn pause(&mut self, patience: Duration) {
        let ends = self.ends;
        let over = async {
            match ends {
                Some(ends) => tokio::time::sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.newest.changed() => {}
            // A dropped sender is a stop as well, which the next look finds out.
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            () = over => {}
            () = tokio::time::sleep(patience) => {}
        }
    }

    /// Reads what is kept no more in memory.
    async fn read(&mut self) -> Result<Vec<u8>, String> {
        let hub = &self.listening.hub;
        let _turn = hub.turn().await;
        let place = [(self.asked.key.clone(), self.reached)];
        let events = hub.log.after(&place, PAGE).await?;
        if events.is_empty() {
            // What it missed is past its time.
            self.reached = self.listening.channel.place().unwrap_or(self.reached);
        }
        let mut chunk = Vec::new();
        for event in events {
            let frame = frame::Frame::from(event);
            self.reached = frame.number;
            if self.asked.topic.matches(&frame.topic) {
                chunk.extend_from_slice(&frame.bytes);
            }
            if chunk.len() >= MAX_CHUNK_BYTES {
                // A client that reads slowly holds no more than this; what is left is read again.
                break;
            }
        }
        Ok(chunk)
    }
}
