//! Promises that a person completes, and what an invocation waits for.

use host_types::{ComponentId, InvocationId, PromiseId};
use serde::{Deserialize, Serialize};

use crate::problem::Refusal;
use crate::query;
use crate::steer::Answer;

/// Which promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromiseName {
    /// That of this id.
    Id(PromiseId),
    /// That of this name of a workflow.
    OfWorkflow {
        /// The component that runs it; may be left out where one alone exports the function.
        component: Option<ComponentId>,
        /// The interface and the function.
        function: String,
        /// The id it was started under.
        workflow: String,
        /// The promise.
        name: String,
    },
}

/// The body of `POST /v1/promises/{id}`, and of `POST /v1/promises`, which names it by its workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletingPromise {
    /// What it is completed with. Components of the SDK read JSON.
    pub value: Answer,
    /// Why, for the audit log.
    pub reason: String,
    /// The component that runs the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// The workflow's interface and function: `shop:order/purchases.checkout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The id it was started under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The name of the promise within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl CompletingPromise {
    /// Which promise is meant, where the path does not say.
    pub(crate) fn of_workflow(&self) -> Result<PromiseName, Refusal> {
        let given = |name: &str, value: &Option<String>| {
            query::stored(name, value.as_deref())?;
            match value.as_deref() {
                Some(value) if !value.is_empty() => Ok(value.to_owned()),
                _ => Err(Refusal::Parameter {
                    name: name.to_owned(),
                    detail: "is missing: give function, workflow and name, or the promise's id in the path".to_owned(),
                }),
            }
        };
        query::stored("component", self.component.as_ref().map(ComponentId::as_str))?;
        Ok(PromiseName::OfWorkflow {
            component: self.component.clone(),
            function: given("function", &self.function)?,
            workflow: given("workflow", &self.workflow)?,
            name: given("name", &self.name)?,
        })
    }

    /// The path names it: the body does not.
    pub(crate) fn of_id(&self, id: &str) -> Result<PromiseName, Refusal> {
        let refused = |name: &str, detail: String| Refusal::Parameter {
            name: name.to_owned(),
            detail,
        };
        if self.component.is_some() || self.function.is_some() || self.workflow.is_some() || self.name.is_some() {
            let detail = "names a workflow's promise, and the path names one by its id: send one of the two";
            return Err(refused("workflow", detail.to_owned()));
        }
        let id = id
            .parse()
            .map_err(|error: host_types::ParseIdError| refused("id", error.to_string()));
        Ok(PromiseName::Id(id?))
    }
}

/// A promise after a person's word to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromiseView {
    /// Its id.
    pub id: PromiseId,
    /// That made it, or that is its workflow.
    pub invocation: InvocationId,
    /// `completed`, or `already-completed`: it had a value before, and keeps it.
    pub outcome: PromiseOutcome,
}

/// What a word to a promise came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromiseOutcome {
    /// It has this value now.
    Completed,
    /// It had a value before, and keeps it.
    AlreadyCompleted,
}

/// Something an invocation waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitView {
    /// A promise.
    Promise {
        /// Its id.
        id: PromiseId,
        /// Whose it is.
        invocation: InvocationId,
        /// The workflow it belongs to: its function, and its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow: Option<(String, String)>,
        /// Its name there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The end of a workflow.
    Output {
        /// Its invocation.
        invocation: InvocationId,
        /// Its function, and its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow: Option<(String, String)>,
    },
    /// An exclusive key.
    Key {
        /// The function that runs one at a time.
        function: String,
        /// Who holds it.
        holder: InvocationId,
    },
}
