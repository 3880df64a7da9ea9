//! `spin:key-value`, and `fermyon:spin/key-value` as it was before, for components that are not journaled: each call goes to the
//! backend when it is made, and is done when it is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use host_bindings::KeyValueBucket;
use host_bindings::stock::fermyon::spin::key_value as fermyon;
use host_bindings::stock::spin::key_value::key_value as spin;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasData, Linker, Resource, ResourceTable, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};

use crate::{Answer, KeyValueGrants, Page, bounds};

/// Stores an instance may have open at once.
const MAX_OPEN: usize = 256;
/// Keys of one answer at most, where they are not given as a stream.
const MAX_KEYS: usize = 100_000;

/// What one instance needs.
pub struct SpinKeyValues {
    grants: Arc<KeyValueGrants>,
    open: usize,
}

impl SpinKeyValues {
    /// Of one instance.
    pub fn new(grants: Arc<KeyValueGrants>) -> Self {
        Self { grants, open: 0 }
    }
}

/// What the host functions see of an instance.
pub struct SpinKeyValuesView<'a> {
    /// The instance's context.
    pub context: &'a mut SpinKeyValues,
    /// Where its opened stores live.
    pub table: &'a mut ResourceTable,
}

struct SpinData;

impl HasData for SpinData {
    type Data<'a> = SpinKeyValuesView<'a>;
}

/// Answers `spin:key-value` and `fermyon:spin/key-value`.
pub fn add_spin_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> SpinKeyValuesView<'_>,
) -> wasmtime::Result<()> {
    spin::add_to_linker::<T, SpinData>(linker, get)?;
    fermyon::add_to_linker::<T, SpinData>(linker, get)
}

/// Why a call has no answer, in the words of both interfaces.
enum Refused {
    TableFull,
    NoSuchStore,
    Other(String),
}

impl From<Refused> for spin::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TableFull => Self::StoreTableFull,
            Refused::NoSuchStore => Self::NoSuchStore,
            Refused::Other(text) => Self::Other(text),
        }
    }
}

impl From<Refused> for fermyon::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TableFull => Self::StoreTableFull,
            Refused::NoSuchStore => Self::NoSuchStore,
            Refused::Other(text) => Self::Other(text),
        }
    }
}

impl From<host_bindings::wasi::keyvalue::store::Error> for Refused {
    fn from(error: host_bindings::wasi::keyvalue::store::Error) -> Self {
        use host_bindings::wasi::keyvalue::store::Error;
        match error {
            Error::NoSuchStore | Error::AccessDenied => Self::NoSuchStore,
            Error::Other(text) => Self::Other(text),
        }
    }
}

/// A store by its name, apart from the instance that opened it: a call goes on while the instance does other things.
struct Opened {
    grants: Arc<KeyValueGrants>,
    store: String,
}

impl SpinKeyValuesView<'_> {
    fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<KeyValueBucket>, Refused>> {
        // One it may not open is as good as none: what others keep is not told.
        if !self.context.grants.stores.contains(&label) {
            return Ok(Err(Refused::NoSuchStore));
        }
        if self.context.open >= MAX_OPEN {
            return Ok(Err(Refused::TableFull));
        }
        let opened = self.table.push(KeyValueBucket(label))?;
        self.context.open += 1;
        Ok(Ok(opened))
    }

    fn close(&mut self, store: Resource<KeyValueBucket>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.context.open -= 1;
        Ok(())
    }

    fn opened(&self, store: &Resource<KeyValueBucket>) -> wasmtime::Result<Opened> {
        let KeyValueBucket(name) = self.table.get(store)?;
        Ok(Opened {
            grants: Arc::clone(&self.context.grants),
            store: name.clone(),
        })
    }
}

impl Opened {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Refused> {
        bounds::key(key)?;
        self.within_time(self.grants.backend.get(&self.store, key)).await
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        bounds::key(key)?;
        bounds::value(value)?;
        self.within_time(self.grants.backend.set(&self.store, key, value)).await
    }

    async fn delete(&self, key: &str) -> Result<(), Refused> {
        bounds::key(key)?;
        self.within_time(self.grants.backend.delete(&self.store, key)).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Refused> {
        bounds::key(key)?;
        self.within_time(self.grants.backend.exists(&self.store, key)).await
    }

    async fn page(&self, cursor: Option<u64>) -> Result<Page, Refused> {
        self.within_time(self.grants.backend.list_keys(&self.store, cursor))
            .await
    }

    async fn all_keys(&self) -> Result<Vec<String>, Refused> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.page(cursor).await?;
            keys.extend(page.keys);
            if keys.len() > MAX_KEYS {
                return Err(Refused::Other(format!(
                    "the store has more than {MAX_KEYS} keys: list them with spin:key-value 3, which streams them"
                )));
            }
            match page.cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }

    async fn within_time<T>(&self, answer: Answer<'_, T>) -> Result<T, Refused> {
        match tokio::time::timeout(self.grants.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| Refused::Other(error.to_string())),
            Err(_) => Err(Refused::Other(format!(
                "no answer of the store within {:?}: a write may have happened or not",
                self.grants.timeout
            ))),
        }
    }
}

fn opened<T>(accessor: &Accessor<T, SpinData>, store: &Resource<KeyValueBucket>) -> wasmtime::Result<Opened> {
    accessor.with(|mut access| access.get().opened(store))
}

impl<T: Send> spin::HostStoreWithStore<T> for SpinData {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<KeyValueBucket>, spin::Error>> {
        let opened = accessor.with(|mut access| access.get().open(label))?;
        Ok(opened.map_err(Into::into))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, spin::Error>> {
        Ok(opened(accessor, &this)?.get(&key).await.map_err(Into::into))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        this: Resource<KeyValueBucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), spin::Error>> {
        Ok(opened(accessor, &this)?.set(&key, &value).await.map_err(Into::into))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<(), spin::Error>> {
        Ok(opened(accessor, &this)?.delete(&key).await.map_err(Into::into))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<bool, spin::Error>> {
        Ok(opened(accessor, &this)?.exists(&key).await.map_err(Into::into))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        this: Resource<KeyValueBucket>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), spin::Error>>)> {
        accessor.with(|mut access| {
            let opened = access.get().opened(&this)?;
            let (ended, end) = oneshot::channel();
            let keys = Keys {
                opened: Arc::new(opened),
                asked: None,
                cursor: None,
                ended: Some(ended),
            };
            Ok((
                StreamReader::new(&mut access, keys)?,
                FutureReader::new(&mut access, end)?,
            ))
        })
    }
}

impl spin::HostStore for SpinKeyValuesView<'_> {
    fn drop(&mut self, this: Resource<KeyValueBucket>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl spin::Host for SpinKeyValuesView<'_> {}

type Asked = Pin<Box<dyn Future<Output = Result<Page, Refused>> + Send>>;

/// The keys of a store, a page at a time, as the guest reads them.
struct Keys {
    opened: Arc<Opened>,
    asked: Option<Asked>,
    cursor: Option<u64>,
    /// Told once: how the listing ended.
    ended: Option<oneshot::Sender<Result<(), spin::Error>>>,
}

impl Keys {
    fn end(&mut self, result: Result<(), spin::Error>) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(ended) = self.ended.take() {
            // The guest may not want to know.
            let _ = ended.send(result);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // Asked whether it is ready, which it is once it is read.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        loop {
            let (opened, cursor) = (Arc::clone(&self.opened), self.cursor);
            let asked = self
                .asked
                .get_or_insert_with(|| Box::pin(async move { opened.page(cursor).await }));
            let page = match asked.as_mut().poll(cx) {
                Poll::Ready(page) => page,
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            };
            self.asked = None;
            let Page { keys, cursor } = match page {
                Ok(page) => page,
                Err(refused) => return self.end(Err(refused.into())),
            };
            let is_empty = keys.is_empty();
            destination.set_buffer(keys.into());
            if cursor.is_none() {
                return self.end(Ok(()));
            }
            self.cursor = cursor;
            if !is_empty {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
        }
    }
}

impl fermyon::HostStore for SpinKeyValuesView<'_> {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<KeyValueBucket>, fermyon::Error>> {
        Ok(SpinKeyValuesView::open(self, label)?.map_err(Into::into))
    }

    async fn get(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, fermyon::Error>> {
        Ok(self.opened(&this)?.get(&key).await.map_err(Into::into))
    }

    async fn set(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), fermyon::Error>> {
        Ok(self.opened(&this)?.set(&key, &value).await.map_err(Into::into))
    }

    async fn delete(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<(), fermyon::Error>> {
        Ok(self.opened(&this)?.delete(&key).await.map_err(Into::into))
    }

    async fn exists(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<bool, fermyon::Error>> {
        Ok(self.opened(&this)?.exists(&key).await.map_err(Into::into))
    }

    async fn get_keys(
        &mut self,
        this: Resource<KeyValueBucket>,
    ) -> wasmtime::Result<Result<Vec<String>, fermyon::Error>> {
        Ok(self.opened(&this)?.all_keys().await.map_err(Into::into))
    }

    async fn drop(&mut self, this: Resource<KeyValueBucket>) -> wasmtime::Result<()> {
        self.close(this)
    }
}

impl fermyon::Host for SpinKeyValuesView<'_> {}
