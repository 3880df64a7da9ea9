//! `wasi:keyvalue/store` over the memory backend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host_bindings::KeyValueBucket;
use host_bindings::wasi::keyvalue::store::{Error, Host, HostBucket};
use host_keyvalue::{
    Answer, Backend, BackendError, KeyValueContext, KeyValueGrants, KeyValueView, LeaseLeft, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, MemoryBackend, PAGE_KEYS, Page,
};
use host_recorder::test_support::MemoryJournal;
use host_recorder::{Attempt, TransactionStep};
use host_types::Fault;
use parking_lot::Mutex;
use wasmtime::component::{Resource, ResourceTable};

/// What a backend does with the next write.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Failing,
    Silent,
}

/// The memory backend, watched: what was asked of it, and what of the journal was durable then.
struct Watched {
    backend: MemoryBackend,
    journal: Arc<MemoryJournal>,
    asked: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
    rides: bool,
}

impl Watched {
    fn note<'a, T>(&'a self, what: &'static str, answer: Answer<'a, T>) -> Answer<'a, T>
    where
        T: 'a,
    {
        Box::pin(async move {
            self.asked.lock().push(format!("{what} {}", self.journal.shape()));
            let mood = *self.mood.lock();
            match mood {
                Mood::Well => answer.await,
                Mood::Failing => Err(BackendError::Unavailable("connection refused".into())),
                Mood::Silent => std::future::pending().await,
            }
        })
    }
}

impl Backend for Watched {
    fn rides_the_append(&self) -> bool {
        self.rides
    }

    fn get<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.note("get", self.backend.get(store, key))
    }

    fn set<'a>(&'a self, store: &'a str, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        self.note("set", self.backend.set(store, key, value))
    }

    fn delete<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, ()> {
        self.note("delete", self.backend.delete(store, key))
    }

    fn exists<'a>(&'a self, store: &'a str, key: &'a str) -> Answer<'a, bool> {
        self.note("exists", self.backend.exists(store, key))
    }

    fn list_keys<'a>(&'a self, store: &'a str, cursor: Option<u64>) -> Answer<'a, Page> {
        self.note("list", self.backend.list_keys(store, cursor))
    }
}

/// A component that is granted the stores `cart` and `seen`.
struct World {
    journal: Arc<MemoryJournal>,
    backend: Arc<Watched>,
    timeout: Duration,
    lease_left: LeaseLeft,
}

impl World {
    fn new() -> Self {
        Self::with(false)
    }

    /// Whose pairs the journal writes.
    fn riding() -> Self {
        Self::with(true)
    }

    fn with(rides: bool) -> Self {
        let journal = Arc::new(MemoryJournal::default());
        let backend = Watched {
            backend: MemoryBackend::new(),
            journal: journal.clone(),
            asked: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            rides,
        };
        Self {
            journal,
            backend: Arc::new(backend),
            timeout: Duration::from_secs(5),
            lease_left: Arc::new(|| Duration::from_secs(30)),
        }
    }

    fn instance(&self) -> Instance {
        let attempt = self.journal.attempt();
        let grants = KeyValueGrants {
            stores: BTreeSet::from(["cart".to_owned(), "seen".to_owned()]),
            backend: self.backend.clone(),
            timeout: self.timeout,
        };
        let context = KeyValueContext::new(Arc::new(grants), attempt.recorder(), self.lease_left.clone());
        Instance {
            attempt,
            context,
            table: ResourceTable::new(),
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.backend.asked.lock())
    }

    fn mood(&self, mood: Mood) {
        *self.backend.mood.lock() = mood;
    }
}

struct Instance {
    attempt: Arc<Attempt>,
    context: KeyValueContext,
    table: ResourceTable,
}

impl Instance {
    fn view(&mut self) -> KeyValueView<'_> {
        KeyValueView {
            context: &mut self.context,
            table: &mut self.table,
        }
    }

    async fn open(&mut self, store: &str) -> Resource<KeyValueBucket> {
        let opened = self.view().open(store.into()).await.expect("open never traps");
        opened.expect("the store is granted")
    }

    async fn get(&mut self, store: &str, key: &str) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let bucket = self.open(store).await;
        self.view().get(bucket, key.into()).await
    }

    async fn set(&mut self, store: &str, key: &str, value: &[u8]) -> wasmtime::Result<Result<(), Error>> {
        let bucket = self.open(store).await;
        self.view().set(bucket, key.into(), value.into()).await
    }
}

fn fault<T>(ended: wasmtime::Result<T>) -> Fault {
    match ended {
        Ok(_) => panic!("the attempt went on"),
        Err(error) => error.downcast::<Fault>().expect("a host function ends with a fault"),
    }
}

#[tokio::test]
async fn only_granted_stores_open() {
    let world = World::new();
    let refused = world
        .instance()
        .view()
        .open("orders".into())
        .await
        .expect("open never traps");
    assert!(matches!(refused, Err(Error::AccessDenied)));
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn stores_are_apart_and_a_value_is_read_where_it_was_written() {
    let world = World::new();
    let mut instance = world.instance();
    instance.set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(instance.get("cart", "7").await.unwrap().unwrap(), Some(b"tea".to_vec()));
    assert_eq!(instance.get("seen", "7").await.unwrap().unwrap(), None);

    let bucket = instance.open("cart").await;
    assert!(
        instance
            .view()
            .exists(Resource::new_borrow(bucket.rep()), "7".into())
            .await
            .unwrap()
            .unwrap()
    );
    instance
        .view()
        .delete(Resource::new_borrow(bucket.rep()), "7".into())
        .await
        .unwrap()
        .unwrap();
    assert!(
        !instance
            .view()
            .exists(Resource::new_borrow(bucket.rep()), "7".into())
            .await
            .unwrap()
            .unwrap()
    );
    instance.view().drop(bucket).await.unwrap();
}

#[tokio::test]
async fn a_write_happens_between_its_durable_intent_and_its_durable_outcome() {
    let world = World::new();
    let mut instance = world.instance();
    instance.get("cart", "7").await.unwrap().unwrap();
    assert_eq!(world.journal.shape(), "", "a read alone leaves nothing");
    instance.set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(world.asked(), ["get ", "set SRI"]);
    assert_eq!(world.journal.shape(), "SRID");
}

#[tokio::test]
async fn replay_answers_from_the_record_without_asking_the_backend() {
    let world = World::new();
    let mut first = world.instance();
    assert_eq!(first.get("cart", "7").await.unwrap().unwrap(), None);
    first.set("cart", "7", b"tea").await.unwrap().unwrap();
    world.asked();

    let mut second = world.instance();
    assert_eq!(
        second.get("cart", "7").await.unwrap().unwrap(),
        None,
        "what was read then, not what is there now"
    );
    second.set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_write_in_doubt_is_repeated() {
    let world = World::new();
    world.instance().set("cart", "7", b"tea").await.unwrap().unwrap();
    world.journal.cut(2);
    world.asked();
    world.instance().set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(world.asked(), ["set SI"]);
    assert_eq!(world.journal.shape(), "SID");
}

#[tokio::test]
async fn a_write_that_rides_the_append_asks_no_backend_and_is_seen_at_once() {
    let world = World::riding();
    let mut instance = world.instance();
    instance.set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(instance.get("cart", "7").await.unwrap().unwrap(), Some(b"tea".to_vec()));
    let bucket = instance.open("cart").await;
    let again = || Resource::new_borrow(bucket.rep());
    assert!(instance.view().exists(again(), "7".into()).await.unwrap().unwrap());
    instance.view().delete(again(), "7".into()).await.unwrap().unwrap();
    assert!(!instance.view().exists(again(), "7".into()).await.unwrap().unwrap());
    assert_eq!(world.asked(), Vec::<String>::new());
    assert_eq!(world.journal.shape(), "", "nothing is durable, and nobody else sees it");

    // Who lists wants to see it too: so it is made durable first.
    instance.view().list_keys(again(), None).await.unwrap().unwrap();
    assert_eq!(world.asked(), ["list SCRRCR"]);
    let written = world.journal.key_values();
    assert_eq!(
        (written.len(), written[0].key.as_str(), &written[0].value),
        (1, "7", &None)
    );
}

#[tokio::test]
async fn another_write_than_the_recorded_one_is_a_mismatch() {
    let world = World::new();
    world.instance().set("cart", "7", b"tea").await.unwrap().unwrap();
    let other = fault(world.instance().set("cart", "7", b"coffee").await);
    assert!(matches!(other, Fault::Mismatch { .. }), "{other}");
}

#[tokio::test]
async fn a_backend_that_fails_ends_the_attempt_and_the_next_one_writes() {
    let world = World::new();
    world.mood(Mood::Failing);
    let mut instance = world.instance();
    let failed = fault(instance.set("cart", "7", b"tea").await);
    assert!(matches!(failed, Fault::Transient(_)), "{failed}");
    assert_eq!(instance.attempt.fault(), Some(failed));
    let unread = fault(world.instance().get("cart", "7").await);
    assert!(
        matches!(unread, Fault::Mismatch { .. }),
        "a write is recorded there: {unread}"
    );

    world.mood(Mood::Well);
    world.instance().set("cart", "7", b"tea").await.unwrap().unwrap();
    assert_eq!(world.backend.backend.get("cart", "7").await, Ok(Some(b"tea".to_vec())));
}

#[tokio::test]
async fn a_backend_that_says_nothing_ends_the_attempt() {
    let world = World {
        timeout: Duration::from_millis(10),
        ..World::new()
    };
    world.mood(Mood::Silent);
    let unread = fault(world.instance().get("cart", "7").await);
    assert!(
        matches!(&unread, Fault::Transient(text) if text.contains("10ms")),
        "{unread}"
    );
    let unwritten = fault(world.instance().set("cart", "7", b"tea").await);
    assert!(matches!(unwritten, Fault::Transient(_)), "{unwritten}");
}

#[tokio::test]
async fn no_write_begins_when_the_lease_is_about_to_end() {
    let world = World {
        lease_left: Arc::new(|| Duration::from_secs(4)),
        ..World::new()
    };
    let refused = fault(world.instance().set("cart", "7", b"tea").await);
    assert!(matches!(refused, Fault::Transient(_)), "{refused}");
    assert_eq!(
        (world.asked(), world.journal.shape().as_str()),
        (vec![], ""),
        "nothing was begun, so nothing is in doubt"
    );
    world.instance().get("cart", "7").await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_the_bound() {
    let world = World::new();
    let mut instance = world.instance();
    let long_key = "k".repeat(MAX_KEY_BYTES + 1);
    let Err(Error::Other(reason)) = instance.get("cart", &long_key).await.unwrap() else {
        panic!("the key was taken")
    };
    assert!(reason.contains("256 bytes") && reason.contains("255"), "{reason}");
    let long_value = vec![0; MAX_VALUE_BYTES + 1];
    let Err(Error::Other(reason)) = instance.set("cart", "k", &long_value).await.unwrap() else {
        panic!("the value was taken")
    };
    assert!(reason.contains("262144"), "{reason}");
    assert_eq!((world.asked(), world.journal.shape().as_str()), (vec![], ""));
}

#[tokio::test]
async fn the_longest_value_is_written_and_its_reading_is_recorded() {
    let world = World::new();
    let value = vec![7; MAX_VALUE_BYTES];
    let mut instance = world.instance();
    instance.set("cart", "k", &value).await.unwrap().unwrap();
    assert_eq!(
        instance.get("cart", "k").await.unwrap().unwrap().as_deref(),
        Some(value.as_slice())
    );
    instance.set("cart", "done", b"").await.unwrap().unwrap();
    assert_eq!(world.journal.shape(), "SIDRID");
}

#[tokio::test]
async fn keys_come_in_pages_that_a_replay_repeats() {
    let world = World::new();
    for n in 0..=PAGE_KEYS {
        world.backend.backend.set("cart", &format!("k{n}"), b"").await.unwrap();
    }
    let mut first = world.instance();
    let pages = list(&mut first).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [PAGE_KEYS, 1]);
    first.set("seen", "end", b"").await.unwrap().unwrap();
    world.backend.backend.delete("cart", "k0").await.unwrap();
    assert_eq!(list(&mut world.instance()).await, pages);
}

async fn list(instance: &mut Instance) -> Vec<Vec<String>> {
    let bucket = instance.open("cart").await;
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let bucket = Resource::new_borrow(bucket.rep());
        let page = instance.view().list_keys(bucket, cursor).await.unwrap().unwrap();
        pages.push(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn an_open_transaction_excludes_the_store() {
    let world = World::new();
    let mut instance = world.instance();
    let recorder = instance.attempt.recorder();
    let TransactionStep::Perform(open) = recorder.transaction(b"").unwrap() else {
        panic!("nothing is recorded")
    };
    let refused = fault(instance.set("cart", "7", b"tea").await);
    assert!(matches!(refused, Fault::Guest(_)), "{refused}");
    assert_eq!(world.asked(), Vec::<String>::new());
    drop(open);
}
