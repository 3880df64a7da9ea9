//! Values that somebody else will bring, as JSON. The world must import `nexus:durable/promises`.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{bindings::nexus::durable::promises, saga::trap};

pub use promises::{Completion, WaitError};

/// A value of type `T` that somebody else will bring. It can be kept in a row and sent to whoever is to complete it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Promise<T> {
    id: String,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T> Promise<T> {
    /// A new promise. It is there for others as soon as an effect of this invocation is committed. Asks the host.
    #[expect(clippy::new_without_default, reason = "it asks the host, and no two are equal")]
    pub fn new() -> Self {
        Self::with_id(promises::create())
    }

    /// The promise of an id that was kept or received.
    pub fn with_id(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            of: PhantomData,
        }
    }

    /// Whoever knows this may complete the promise, and wait for it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl<T: Serialize> Promise<T> {
    /// Completes it with the invocation's next effect; in a transaction, with its commit. The first completion wins. Asks the host.
    pub fn complete(&self, value: &T) -> Completion {
        promises::complete(&self.id, &to_json(value))
    }
}

impl<T: DeserializeOwned> Promise<T> {
    /// Returns the value once there is one. A long wait costs nothing but rows. Asks the host.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<T, WaitError> {
        let value = promises::wait(&self.id, timeout.map(millis))?;
        Ok(from_json(&value, &self.id))
    }
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_vec(value);
    value.unwrap_or_else(|error| trap(&format!("the value of a promise has no JSON form: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(value: &[u8], promise: &dyn fmt::Display) -> T {
    let value = serde_json::from_slice(value);
    value.unwrap_or_else(|error| {
        trap(&format!(
            "the promise {promise} was completed with something else: {error}"
        ))
    })
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Self::with_id(&*self.id)
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promise({})", self.id)
    }
}
