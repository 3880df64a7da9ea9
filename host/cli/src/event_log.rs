//! The log of events that clients listen to, kept in the database.

use std::sync::Arc;

use host_http::{EventLog, LogAnswer, LoggedEvent, News};
use host_store::{Error, Store, StoredEvent};
use host_types::EventId;

/// The store as a log.
pub(crate) struct DatabaseLog(pub(crate) Arc<Store>);

fn unavailable(error: Error) -> String {
    error.to_string()
}

fn logged(event: StoredEvent) -> LoggedEvent {
    LoggedEvent {
        number: event.number,
        event: event.event,
        topic: event.topic,
        key: event.key,
        payload: event.payload,
    }
}

impl EventLog for DatabaseLog {
    fn news(&self, from: Option<u64>) -> LogAnswer<'_, News> {
        Box::pin(async move {
            let host_store::News { keys, from } = self.0.news(from).await.map_err(unavailable)?;
            Ok(News { keys, from })
        })
    }

    fn after<'a>(&'a self, places: &'a [(String, i64)], limit: u32) -> LogAnswer<'a, Vec<LoggedEvent>> {
        Box::pin(async move {
            let events = self.0.events_after(places, limit).await.map_err(unavailable)?;
            Ok(events.into_iter().map(logged).collect())
        })
    }

    fn newest<'a>(&'a self, key: &'a str) -> LogAnswer<'a, i64> {
        Box::pin(async move { self.0.newest_event(key).await.map_err(unavailable) })
    }

    fn number<'a>(&'a self, event: EventId, key: &'a str) -> LogAnswer<'a, Option<i64>> {
        Box::pin(async move { self.0.event_number(event, key).await.map_err(unavailable) })
    }
}
