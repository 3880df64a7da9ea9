//! The functions of `wasi:keyvalue/store`.

use bytes::Bytes;
use host_bindings::KeyValueBucket;
use host_bindings::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use host_journal::KeyValueWrite;
use host_recorder::ExternalStep;
use host_types::Fault;
use wasmtime::component::Resource;

use crate::record::{self, Read, arguments};
use crate::{Answer, BackendError, KeyValueContext, KeyValueView, bounds};

const GET: &str = "wasi:keyvalue/store.bucket.get";
const SET: &str = "wasi:keyvalue/store.bucket.set";
const DELETE: &str = "wasi:keyvalue/store.bucket.delete";
const EXISTS: &str = "wasi:keyvalue/store.bucket.exists";
const LIST_KEYS: &str = "wasi:keyvalue/store.bucket.list-keys";

impl Host for KeyValueView<'_> {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<KeyValueBucket>, Error>> {
        if !self.context.grants.stores.contains(&identifier) {
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.table.push(KeyValueBucket(identifier))?))
    }
}

impl HostBucket for KeyValueView<'_> {
    async fn get(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let KeyValueBucket(store) = self.table.get(&this)?;
        if let Err(error) = bounds::key(&key) {
            return Ok(Err(error));
        }
        let arguments = arguments(&[store.as_bytes(), key.as_bytes()]);
        let perform = match self.context.recorder.unwritten_key_value(store, &key) {
            Some(own) => ready(own),
            None => self.context.grants.backend.get(store, &key),
        };
        match self.context.read(GET, &arguments, perform, Read::Value).await? {
            Read::Value(value) => Ok(Ok(value)),
            _ => Err(self.context.malformed(GET)),
        }
    }

    async fn set(
        &mut self,
        this: Resource<KeyValueBucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let KeyValueBucket(store) = self.table.get(&this)?;
        if let Err(error) = bounds::key(&key).and_then(|()| bounds::value(&value)) {
            return Ok(Err(error));
        }
        let arguments = arguments(&[store.as_bytes(), key.as_bytes(), &value]);
        if self.context.grants.backend.rides_the_append() {
            self.context.note(SET, &arguments, store, key, Some(value))?;
        } else {
            let performed = self.context.grants.backend.set(store, &key, &value);
            self.context.write(SET, &arguments, performed).await?;
        }
        Ok(Ok(()))
    }

    async fn delete(&mut self, this: Resource<KeyValueBucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        let KeyValueBucket(store) = self.table.get(&this)?;
        if let Err(error) = bounds::key(&key) {
            return Ok(Err(error));
        }
        let arguments = arguments(&[store.as_bytes(), key.as_bytes()]);
        if self.context.grants.backend.rides_the_append() {
            self.context.note(DELETE, &arguments, store, key, None)?;
        } else {
            let performed = self.context.grants.backend.delete(store, &key);
            self.context.write(DELETE, &arguments, performed).await?;
        }
        Ok(Ok(()))
    }

    async fn exists(&mut self, this: Resource<KeyValueBucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        let KeyValueBucket(store) = self.table.get(&this)?;
        if let Err(error) = bounds::key(&key) {
            return Ok(Err(error));
        }
        let arguments = arguments(&[store.as_bytes(), key.as_bytes()]);
        let perform = match self.context.recorder.unwritten_key_value(store, &key) {
            Some(own) => ready(own.is_some()),
            None => self.context.grants.backend.exists(store, &key),
        };
        match self.context.read(EXISTS, &arguments, perform, Read::Exists).await? {
            Read::Exists(exists) => Ok(Ok(exists)),
            _ => Err(self.context.malformed(EXISTS)),
        }
    }

    async fn list_keys(
        &mut self,
        this: Resource<KeyValueBucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let KeyValueBucket(store) = self.table.get(&this)?;
        let from = cursor.map(u64::to_be_bytes);
        let arguments = arguments(&[store.as_bytes(), from.as_ref().map_or(&[], |from| from.as_slice())]);
        // A listing in pages has no place for what is not in the store yet: so it is put there first.
        let context = &*self.context;
        let perform = Box::pin(async move {
            let flushed = context.recorder.flush_key_values(store).await;
            flushed.map_err(|fault| BackendError::Unavailable(fault.to_string()))?;
            context.grants.backend.list_keys(store, cursor).await
        });
        match self.context.read(LIST_KEYS, &arguments, perform, Read::from).await? {
            Read::Keys(keys, cursor) => Ok(Ok(KeyResponse { keys, cursor })),
            _ => Err(self.context.malformed(LIST_KEYS)),
        }
    }

    async fn drop(&mut self, this: Resource<KeyValueBucket>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// An answer that needs nobody to be asked.
fn ready<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl KeyValueContext {
    /// An observation. A backend's future does nothing before it is awaited, so a recorded answer costs no read.
    async fn read<T>(
        &self,
        target: &str,
        arguments: &[u8],
        perform: Answer<'_, T>,
        keep: impl FnOnce(T) -> Read,
    ) -> Result<Read, Fault> {
        let mut fresh = None;
        let observed = async {
            let read = keep(self.within_time(target, perform).await?);
            let payload = record::encode(&read);
            fresh = Some(read);
            Ok(payload)
        };
        let recorded = self.recorder.observe(target, arguments, observed).await?;
        match fresh {
            Some(read) => Ok(read),
            None => record::decode(&recorded).map_err(|fault| self.fault(fault)),
        }
    }

    /// A message: the pair is written by the append that carries it.
    fn note(
        &self,
        target: &str,
        arguments: &[u8],
        store: &str,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let store = store.to_owned();
        let write = KeyValueWrite { store, key, value };
        self.recorder.write_key_value(target, arguments, write)
    }

    /// An external effect that may be repeated. Its outcome is that it happened: what a guest may not write was refused before.
    async fn write(&self, target: &str, arguments: &[u8], perform: Answer<'_, ()>) -> Result<(), Fault> {
        // What is on record needs none.
        if !self.recorder.is_replaying() {
            self.within_lease(target)?;
        }
        match self.recorder.external(target, arguments).await? {
            ExternalStep::Recorded(_) => Ok(()),
            ExternalStep::Perform(effect) | ExternalStep::InDoubt(effect) => {
                // The intent may have taken its time; on failure it is in doubt, and the next attempt repeats it.
                self.within_lease(target)?;
                self.within_time(target, perform)
                    .await
                    .map_err(|fault| self.fault(fault))?;
                effect.happened(Bytes::new()).await
            }
        }
    }

    fn within_lease(&self, target: &str) -> Result<(), Fault> {
        if (self.lease_left)() >= self.grants.timeout {
            return Ok(());
        }
        Err(self.fault(Fault::Transient(format!(
            "{target}: too little of the lease is left to begin a write"
        ))))
    }

    async fn within_time<T>(&self, target: &str, perform: Answer<'_, T>) -> Result<T, Fault> {
        match tokio::time::timeout(self.grants.timeout, perform).await {
            Ok(answer) => answer.map_err(|error| Fault::Transient(format!("{target}: {error}"))),
            Err(_) => Err(Fault::Transient(format!(
                "{target}: no answer within {:?}",
                self.grants.timeout
            ))),
        }
    }

    fn malformed(&self, target: &str) -> wasmtime::Error {
        wasmtime::Error::new(self.fault(record::malformed(&format!(
            "{target} has the answer of another function"
        ))))
    }
}
