//! Pairs in memory, for tests and for a host without a database.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::{Answer, Backend, PAGE_KEYS, Page};

/// A backend that lasts as long as its process.
#[derive(Default)]
pub struct MemoryBackend {
    stores: Mutex<HashMap<String, Store>>,
}

#[derive(Default)]
struct Store {
    pairs: HashMap<String, Pair>,
    /// Keys by the mark they got when they came.
    order: BTreeMap<u64, String>,
    next_mark: u64,
}

struct Pair {
    mark: u64,
    value: Vec<u8>,
}

impl Store {
    fn set(&mut self, key: &str, value: &[u8]) {
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.value = value.to_vec();
            return;
        }
        let mark = self.next_mark;
        self.next_mark += 1;
        self.order.insert(mark, key.to_owned());
        self.pairs.insert(
            key.to_owned(),
            Pair {
                mark,
                value: value.to_vec(),
            },
        );
    }

    fn delete(&mut self, key: &str) {
        if let Some(pair) = self.pairs.remove(key) {
            self.order.remove(&pair.mark);
        }
    }

    fn page(&self, cursor: Option<u64>) -> Page {
        let Some(first) = cursor.map_or(Some(0), |last| last.checked_add(1)) else {
            return Page::default();
        };
        let mut rest = self.order.range(first..);
        let mut page = Page::default();
        let mut last = None;
        for (mark, key) in rest.by_ref().take(PAGE_KEYS) {
            page.keys.push(key.clone());
            last = Some(*mark);
        }
        page.cursor = rest.next().and(last);
        page
    }
}

impl MemoryBackend {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn read<T: Default>(&self, store: &str, read: impl FnOnce(&Store) -> T) -> T {
        self.stores.lock().get(store).map(read).unwrap_or_default()
    }
}

impl Backend for MemoryBackend {
    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.read(store, |store| store.pairs.get(key).map(|pair| pair.value.clone()))) })
    }

    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.stores.lock().entry(store.to_owned()).or_default().set(key, value);
            Ok(())
        })
    }

    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            if let Some(store) = self.stores.lock().get_mut(store) {
                store.delete(key);
            }
            Ok(())
        })
    }

    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.read(store, |store| store.pairs.contains_key(key))) })
    }

    fn list_keys<'a>(&'a self, store: &'a str, cursor: Option<u64>) -> Answer<'a, Page> {
        Box::pin(async move { Ok(self.read(store, |store| store.page(cursor))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stays_is_in_exactly_one_page_whatever_happens_between_them() {
        let mut store = Store::default();
        (0..PAGE_KEYS + 5).for_each(|n| store.set(&format!("k{n}"), b""));
        let first = store.page(None);
        store.delete("k0");
        store.set("k1", b"again");
        let second = store.page(first.cursor);
        assert_eq!(first.keys.len(), PAGE_KEYS);
        let expected: Vec<_> = (PAGE_KEYS..PAGE_KEYS + 5).map(|n| format!("k{n}")).collect();
        assert_eq!(
            second,
            Page {
                keys: expected,
                cursor: None
            }
        );
    }

    #[test]
    fn a_full_page_is_the_last_when_nothing_follows() {
        let mut store = Store::default();
        (0..PAGE_KEYS).for_each(|n| store.set(&format!("k{n}"), b""));
        assert_eq!(store.page(None).cursor, None);
        assert_eq!(store.page(Some(u64::MAX)), Page::default());
    }
}
