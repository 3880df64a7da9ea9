//! The one reader of a node: finds out which keys have something new, and reads it once for all who listen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::channel::Channel;
use super::{Hub, LoggedEvent};

/// The slow look, for what no notification told of.
const POLL: Duration = Duration::from_secs(1);
/// Between two looks, however much is published.
const PACE: Duration = Duration::from_millis(5);
/// Keys read at once.
const KEYS: usize = 256;
/// Events of each key read at once.
const PAGE: u32 = 64;

/// Runs until dropped.
pub(super) async fn run(hub: &Arc<Hub>) {
    let mut published = hub.published.clone();
    // Where the last look ended. None while nobody listened: then there is no place to go on from.
    let mut from = None;
    loop {
        let opened = hub.opened.notified();
        if hub.channels.lock().is_empty() {
            from = None;
            opened.await;
            continue;
        }
        published.mark_unchanged();
        match hub.log.news(from).await {
            Ok(news) => {
                let changed = match from {
                    Some(_) => hub.changed(&news.keys),
                    // Those who listened before there was a place may have missed something.
                    None => hub.channels.lock().values().cloned().collect(),
                };
                from = Some(news.from);
                hub.read(changed).await;
            }
            Err(error) => tracing::warn!(%error, "what is published cannot be read; trying again"),
        }
        tokio::time::sleep(PACE).await;
        tokio::select! {
            changed = published.changed() => if changed.is_err() {
                // Nobody is left who would publish here; other nodes may.
                tokio::time::sleep(POLL).await;
            },
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

impl Hub {
    /// The channels of those keys that have something newer than they know.
    fn changed(&self, keys: &[(String, i64)]) -> Vec<Arc<Channel>> {
        let channels = self.channels.lock();
        let found = keys.iter().filter_map(|(key, number)| {
            let channel = channels.get(key)?;
            channel
                .place()
                .is_none_or(|place| place < *number)
                .then(|| Arc::clone(channel))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by(|left, right| left.key.cmp(&right.key));
        found.dedup_by(|left, right| left.key == right.key);
        found
    }

    /// Reads what these channels do not know yet. One that cannot be read now is read with its next event, or by its listeners.
    pub(super) async fn read(&self, mut channels: Vec<Arc<Channel>>) {
        while !channels.is_empty() {
            let now = channels.split_off(channels.len().saturating_sub(KEYS));
            let places: Vec<_> = now
                .iter()
                .filter_map(|channel| Some((channel.key.clone(), channel.place()?)))
                .collect();
            if places.is_empty() {
                continue;
            }
            let events = match self.log.after(&places, PAGE).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(%error, "events cannot be read; trying again");
                    tokio::time::sleep(PACE).await;
                    channels.extend(now);
                    continue;
                }
            };
            let mut by_key: HashMap<String, Vec<LoggedEvent>> = HashMap::new();
            for event in events {
                by_key.entry(event.key.clone()).or_default().push(event);
            }
            for channel in now {
                let Some(events) = by_key.remove(&channel.key) else {
                    continue;
                };
                let is_whole = events.len() < PAGE as usize;
                channel.push(events.into_iter().map(Into::into), &self.kept_bytes);
                if !is_whole {
                    channels.push(channel);
                }
            }
        }
    }
}
