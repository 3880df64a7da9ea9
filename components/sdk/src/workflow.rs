//! Workflows, invocations under an id of somebody's choosing, and their promises by name, as JSON. The world must import
//! `nexus:durable/workflows`.
//!
//! Workflows are started and waited for through the variants `<interface>-workflow` and `<interface>-attach` of what a component imports.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    bindings::nexus::durable::workflows,
    promise::{Completion, WaitError, from_json, millis, to_json},
};

/// A workflow, by its function and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    function: String,
    id: String,
}

impl Workflow {
    /// That of this function (`shop:order/purchases.checkout`), of this component or of one that answers a dependency of its manifest.
    pub fn new(function: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            id: id.into(),
        }
    }

    /// The one that this invocation is, if it is one. Asks the host.
    pub fn current() -> Option<Self> {
        workflows::current().map(|current| Self::new(current.function, current.id))
    }

    /// The id it was started under.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its promise of this name. It is there as soon as the workflow is started, before anybody waits for it.
    pub fn promise<T>(&self, name: impl Into<String>) -> NamedPromise<T> {
        NamedPromise {
            workflow: self.clone(),
            name: name.into(),
            value: PhantomData,
        }
    }

    fn to_wit(&self) -> workflows::Workflow {
        workflows::Workflow {
            function: self.function.clone(),
            id: self.id.clone(),
        }
    }
}

/// A value of type `T` that somebody will bring to a workflow, under a name.
pub struct NamedPromise<T> {
    workflow: Workflow,
    name: String,
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize> NamedPromise<T> {
    /// Completes it with the invocation's next effect; in a transaction, with its commit. The first completion wins. Asks the host.
    pub fn complete(&self, value: &T) -> Completion {
        workflows::complete(&self.workflow.to_wit(), &self.name, &to_json(value))
    }
}

impl<T: DeserializeOwned> NamedPromise<T> {
    /// Returns the value once there is one. A long wait costs nothing but rows. Asks the host.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<T, WaitError> {
        let value = workflows::wait(&self.workflow.to_wit(), &self.name, timeout.map(millis))?;
        Ok(from_json(&value, &self))
    }
}

impl<T> fmt::Display for NamedPromise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workflow { function, id } = &self.workflow;
        write!(f, "{:?} of the workflow {id:?} of {function}", self.name)
    }
}
