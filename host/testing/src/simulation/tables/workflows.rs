//! The ids of workflows, and the promises that belong to them.

use std::collections::BTreeSet;

use host_journal::{AppendError, Message, OUTPUT_PROMISE, WorkflowEnd, WorkflowKey, WorkflowStart, workflow_promise};
use host_types::{InvocationId, PromiseId};

use super::{Promise, Tables};
use crate::simulation::sabotage::Sabotage;

/// Who runs under an id.
pub(crate) struct Workflow {
    pub(crate) invocation: InvocationId,
    promise_key: [u8; 32],
    /// Those with a name, the output among them.
    promises: BTreeSet<PromiseId>,
}

impl Tables {
    /// Of two that start one the second's append fails.
    pub(super) fn workflows_are_free(&self, messages: &[Message]) -> Result<(), AppendError> {
        let taken = |start: &WorkflowStart| self.workflows.contains_key(&start.key.to_bytes());
        let is_taken = messages
            .iter()
            .filter_map(|message| message.workflow.as_ref())
            .any(taken);
        if is_taken && !self.has(Sabotage::WorkflowStartedTwice) {
            return Err(AppendError::Unknown("the workflow was started by another".into()));
        }
        Ok(())
    }

    pub(super) fn start_workflow(&mut self, message: &Message) {
        let Some(start) = &message.workflow else { return };
        self.lead(start.key.to_bytes(), message.invocation, start.promise_key);
    }

    fn lead(&mut self, id: Vec<u8>, invocation: InvocationId, promise_key: [u8; 32]) {
        let output = workflow_promise(&promise_key, OUTPUT_PROMISE);
        self.promises.insert(output, Promise::default());
        let workflow = Workflow {
            invocation,
            promise_key,
            promises: BTreeSet::from([output]),
        };
        self.workflows.insert(id, workflow);
    }

    /// Who waits for the output of what an operator ended is told.
    pub(super) fn cancel_workflow(&mut self, invocation: InvocationId) {
        let ended = self
            .workflows
            .values()
            .find(|workflow| workflow.invocation == invocation);
        let Some(output) = ended.map(|workflow| workflow_promise(&workflow.promise_key, OUTPUT_PROMISE)) else {
            return;
        };
        if self
            .promises
            .get(&output)
            .is_some_and(|promise| promise.value.is_none())
        {
            self.complete(output, &WorkflowEnd::Cancelled.to_payload());
        }
    }

    /// From here on the id leads to what was begun in its place, and who waits for something of the earlier run is woken. No id is
    /// forgotten here.
    pub(super) fn succeed_workflow(&mut self, old: InvocationId, new: InvocationId, promise_key: [u8; 32]) {
        let mut workflows = self.workflows.iter();
        let found = workflows.find(|(_, workflow)| workflow.invocation == old);
        let Some((id, names)) = found.map(|(id, workflow)| (id.clone(), workflow.promises.clone())) else {
            return;
        };
        for promise in names {
            let is_open = self.promises.get(&promise).is_some_and(|stored| stored.value.is_none());
            if is_open && let Some(void) = self.promises.remove(&promise) {
                self.wakeups.extend(void.waiters);
            }
        }
        self.lead(id, new, promise_key);
    }

    pub(crate) fn workflow(&self, key: &WorkflowKey) -> Option<InvocationId> {
        Some(self.workflows.get(&key.to_bytes())?.invocation)
    }

    /// It is there as soon as the workflow is.
    pub(crate) fn workflow_promise(&mut self, key: &WorkflowKey, name: &str) -> Option<PromiseId> {
        let workflow = self.workflows.get_mut(&key.to_bytes())?;
        let promise = workflow_promise(&workflow.promise_key, name);
        workflow.promises.insert(promise);
        self.promises.entry(promise).or_default();
        Some(promise)
    }
}
