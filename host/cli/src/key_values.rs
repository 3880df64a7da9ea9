//! Key-value stores, kept in the database.

use std::sync::Arc;

use host_keyvalue::{Answer, Backend, BackendError, PAGE_KEYS, Page};
use host_store::{Error, Store};

/// The store as the capability's backend.
pub(crate) struct DatabaseBackend(pub(crate) Arc<Store>);

fn unavailable(error: Error) -> BackendError {
    BackendError::Unavailable(error.to_string())
}

impl Backend for DatabaseBackend {
    fn rides_the_append(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.0.key_value(store, key).await.map_err(unavailable) })
    }

    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.0.set_key_value(store, key, value).await.map_err(unavailable) })
    }

    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.0.delete_key_value(store, key).await.map_err(unavailable) })
    }

    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.0.key_value_exists(store, key).await.map_err(unavailable) })
    }

    fn list_keys<'a>(&'a self, store: &'a str, cursor: Option<u64>) -> Answer<'a, Page> {
        Box::pin(async move {
            // Marks are positive: a cursor beyond them was never given out, and nothing follows it.
            let after_mark = cursor.map(|cursor| i64::try_from(cursor).unwrap_or(i64::MAX));
            let page = self.0.key_page(store, after_mark, PAGE_KEYS as u32).await;
            let page = page.map_err(unavailable)?;
            Ok(Page {
                keys: page.keys,
                cursor: page.last_mark.map(i64::cast_unsigned),
            })
        })
    }
}
