//! What is known here of the events of one key, for all who listen to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Hub;
use super::frame::Frame;

/// Events kept of one key.
const MAX_FRAMES: usize = 64;
/// Bytes kept of one key.
const MAX_BYTES: usize = 256 << 10;
/// Bytes kept of all keys; beyond them clients read the log.
const MAX_ALL_BYTES: usize = 32 << 20;
/// What one client is handed at once, unless one event is more.
pub(super) const MAX_CHUNK_BYTES: usize = 64 << 10;

pub(super) struct Channel {
    pub(super) key: String,
    state: Mutex<State>,
    /// Changes with every event.
    pub(super) newest: watch::Sender<i64>,
}

#[derive(Default)]
struct State {
    /// Since when it is kept complete: the number of the last event that is not. None before the first listener has found out.
    base: Option<i64>,
    /// All events after the base, oldest first.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The reader found something before there was a base to go on from.
    is_behind: bool,
    /// How many listen. Changes under the lock of all channels.
    listeners: usize,
}

/// What a client that has come this far is sent next.
pub(super) enum Next {
    /// These bytes, after which it has come that far. They may be none: nothing of it was for this client.
    Chunk(Vec<u8>, i64),
    /// Nothing, yet.
    Nothing,
    /// It is further behind than what is kept: read the log.
    Behind,
}

impl Channel {
    pub(super) fn new(key: String) -> Self {
        Self {
            key,
            state: Mutex::default(),
            newest: watch::Sender::new(0),
        }
    }

    /// The number up to which the channel knows everything. None: there is none yet, and the first who listens will know that it was asked.
    pub(super) fn place(&self) -> Option<i64> {
        let mut state = self.state.lock();
        let newest = state.frames.back().map(|frame| frame.number).or(state.base);
        state.is_behind |= newest.is_none();
        newest
    }

    /// A listener has found out the number of the newest event. Says whether there may be newer ones by now, which nobody will tell.
    pub(super) fn begin(&self, newest: i64) -> bool {
        let mut state = self.state.lock();
        match state.base {
            Some(_) => false,
            None => {
                state.base = Some(newest);
                std::mem::take(&mut state.is_behind)
            }
        }
    }

    /// Newer events, oldest first. What is here already is left out.
    pub(super) fn push(&self, frames: impl IntoIterator<Item = Frame>, all_bytes: &AtomicUsize) {
        let mut state = self.state.lock();
        let State {
            base: Some(base),
            frames: kept,
            bytes,
            ..
        } = &mut *state
        else {
            return;
        };
        let before = *bytes;
        let mut newest = kept.back().map_or(*base, |frame| frame.number);
        for frame in frames {
            if frame.number <= newest {
                continue;
            }
            newest = frame.number;
            *bytes += frame.bytes.len();
            kept.push_back(frame);
        }
        let others = all_bytes.load(Ordering::Relaxed).saturating_sub(before);
        while kept.len() > MAX_FRAMES || *bytes > MAX_BYTES || (*bytes > 0 && others + *bytes > MAX_ALL_BYTES) {
            let Some(oldest) = kept.pop_front() else { break };
            *bytes -= oldest.bytes.len();
            *base = oldest.number;
        }
        let after = *bytes;
        if after >= before {
            all_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            all_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
        drop(state);
        self.newest.send_if_modified(|known| {
            let is_newer = newest > *known;
            *known = newest.max(*known);
            is_newer
        });
    }

    /// What follows for whoever has come so far.
    pub(super) fn next(&self, after: i64, is_for: impl Fn(&str) -> bool) -> Next {
        let state = self.state.lock();
        let newest = state.frames.back().map(|frame| frame.number).or(state.base);
        if newest.is_none_or(|newest| newest <= after) {
            return Next::Nothing;
        }
        if state.base.is_none_or(|base| after < base) {
            return Next::Behind;
        }
        let begin = state.frames.partition_point(|frame| frame.number <= after);
        let (mut chunk, mut reached) = (Vec::new(), after);
        for frame in state.frames.range(begin..) {
            reached = frame.number;
            if is_for(&frame.topic) {
                chunk.extend_from_slice(&frame.bytes);
            }
            if chunk.len() >= MAX_CHUNK_BYTES {
                break;
            }
        }
        Next::Chunk(chunk, reached)
    }
}

/// One of those who listen to a key; the channel goes with the last of them.
pub(super) struct Listening {
    pub(super) hub: Arc<Hub>,
    pub(super) channel: Arc<Channel>,
}

impl Listening {
    pub(super) fn new(hub: &Arc<Hub>, key: &str) -> Self {
        let mut channels = hub.channels.lock();
        let channel = match channels.get(key) {
            Some(channel) => Arc::clone(channel),
            None => {
                let channel = Arc::new(Channel::new(key.to_owned()));
                channels.insert(key.to_owned(), Arc::clone(&channel));
                channel
            }
        };
        channel.state.lock().listeners += 1;
        drop(channels);
        hub.opened.notify_one();
        Self {
            hub: Arc::clone(hub),
            channel,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut channels = self.hub.channels.lock();
        let mut state = self.channel.state.lock();
        state.listeners -= 1;
        if state.listeners == 0 {
            channels.remove(&self.channel.key);
            // The reader may have it in its hands: without a base nothing is kept any more.
            let State { bytes, .. } = std::mem::take(&mut *state);
            self.hub.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(numbers: std::ops::RangeInclusive<i64>, length: usize) -> impl Iterator<Item = Frame> {
        numbers.map(move |number| Frame {
            number,
            topic: if number % 2 == 0 { "even" } else { "odd" }.into(),
            bytes: vec![b'0' + (number % 10) as u8; length].into(),
        })
    }

    fn sent(channel: &Channel, after: i64, topic: &str) -> String {
        match channel.next(after, |of| topic == "*" || of == topic) {
            Next::Chunk(chunk, reached) => format!("{} {reached}", String::from_utf8(chunk).unwrap()),
            Next::Nothing => "nothing".into(),
            Next::Behind => "behind".into(),
        }
    }

    #[test]
    fn everybody_is_sent_what_follows_and_is_meant_for_them() {
        let (channel, all) = (Channel::new("k".into()), AtomicUsize::new(0));
        channel.push(frames(1..=2, 1), &all);
        assert_eq!(
            sent(&channel, 0, "*"),
            "nothing",
            "nobody knows since when it is complete"
        );
        assert!(!channel.begin(3));
        channel.push(frames(2..=6, 1), &all);
        assert_eq!(sent(&channel, 3, "*"), "456 6");
        assert_eq!(sent(&channel, 4, "odd"), "5 6");
        assert_eq!(sent(&channel, 6, "*"), "nothing");
        assert_eq!(sent(&channel, 2, "*"), "behind");
        channel.push(frames(4..=6, 1), &all);
        assert_eq!(
            (sent(&channel, 3, "*").as_str(), all.load(Ordering::Relaxed)),
            ("456 6", 3)
        );
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_rest_is_in_the_log() {
        let (channel, all) = (Channel::new("k".into()), AtomicUsize::new(0));
        channel.begin(0);
        channel.push(frames(1..=100, 1), &all);
        assert_eq!(sent(&channel, 35, "*"), "behind");
        assert!(sent(&channel, 36, "*").ends_with(" 100"));
        channel.push(frames(101..=103, MAX_BYTES), &all);
        assert_eq!(sent(&channel, 101, "*"), "behind");
        assert!(all.load(Ordering::Relaxed) <= MAX_BYTES);
        // Others have taken it all: nothing is kept, and everybody reads the log.
        let full = AtomicUsize::new(MAX_ALL_BYTES);
        let other = Channel::new("o".into());
        other.begin(0);
        other.push(frames(1..=1, 10), &full);
        assert_eq!(
            (sent(&other, 0, "*").as_str(), full.load(Ordering::Relaxed)),
            ("behind", MAX_ALL_BYTES)
        );
    }

    #[test]
    fn what_came_before_the_first_listener_knew_its_place_is_looked_for_again() {
        let channel = Channel::new("k".into());
        assert_eq!(channel.place(), None);
        assert!(channel.begin(4));
        assert_eq!(channel.place(), Some(4));
        assert!(!channel.begin(9));
    }
}
