//! Whose workflows a component may name, and the promises of those. Part of the deployment the invocation is pinned to, so nothing
//! is recorded.

use std::collections::BTreeMap;

use host_bindings::nexus::durable::workflows::{self, Completion, WaitError, Workflow};
use host_journal::WorkflowKey;
use host_recorder::{Completed, Waited};
use host_types::{ComponentId, Fault};

use crate::BasicView;

/// Who runs the workflows of an interface, and the interface it exports for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerer {
    /// The component.
    pub component: ComponentId,
    /// Its interface, with or without a version; the caller's own when none.
    pub export: Option<String>,
}

/// By interface or package, as the caller names it.
#[derive(Debug, Clone, Default)]
pub struct Workflows {
    by_interface: BTreeMap<String, Answerer>,
}

impl Workflows {
    /// The key of a workflow of this function; none when it is not granted, or no function.
    fn key(&self, function: &str, id: String) -> Option<WorkflowKey> {
        // A version has dots as well: the function stands behind the last one.
        let (interface, function) = function.rsplit_once('.')?;
        let interface = without_version(interface);
        let package = interface.split('/').next().unwrap_or_default();
        let Answerer { component, export } = self.by_interface.get(interface).or(self.by_interface.get(package))?;
        let export = export.as_deref().unwrap_or(interface);
        Some(WorkflowKey::new(component.clone(), export, function, id))
    }
}

impl FromIterator<(String, Answerer)> for Workflows {
    fn from_iter<I: IntoIterator<Item = (String, Answerer)>>(granted: I) -> Self {
        let granted = granted.into_iter();
        let by_interface = granted.map(|(interface, answerer)| (without_version(&interface).to_owned(), answerer));
        Self {
            by_interface: by_interface.collect(),
        }
    }
}

fn without_version(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}

impl BasicView<'_> {
    fn workflow(&self, named: Workflow) -> wasmtime::Result<WorkflowKey> {
        let Workflow { function, id } = named;
        self.0.grants.workflows.key(&function, id).ok_or_else(|| {
            let function = &function[..function.floor_char_boundary(128)];
            self.0.fault(Fault::Guest(format!(
                "workflows of {function:?} are not granted: name an interface and a function, as in \
                 \"shop:order/purchases.checkout\", of this component or of one that answers a dependency of its manifest"
            )))
        })
    }
}

impl workflows::Host for BasicView<'_> {
    async fn current(&mut self) -> wasmtime::Result<Option<Workflow>> {
        let current = self.0.recorder.workflow();
        Ok(current.map(|(function, id)| Workflow { function, id }))
    }

    async fn complete(&mut self, of: Workflow, name: String, value: Vec<u8>) -> wasmtime::Result<Completion> {
        let key = self.workflow(of)?;
        Ok(match self.0.recorder.complete_named(&key, &name, &value).await? {
            Completed::Now => Completion::Completed,
            Completed::Before => Completion::AlreadyCompleted,
            Completed::Unknown => Completion::NotFound,
        })
    }

    async fn wait(
        &mut self,
        of: Workflow,
        name: String,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u8>, WaitError>> {
        let key = self.workflow(of)?;
        Ok(match self.0.recorder.wait_for_named(key, name, timeout_ms).await? {
            Waited::Value(value) => Ok(value),
            Waited::TimedOut => Err(WaitError::TimedOut),
            Waited::Unknown => Err(WaitError::NotFound),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_is_that_of_who_answers_the_interface() {
        let answerer = Answerer {
            component: "order".into(),
            export: Some("shop:order/checkouts@0.2.0".into()),
        };
        let whole = Answerer {
            component: "stock".into(),
            export: None,
        };
        let granted = [("shop:order/purchases@0.1.0", answerer), ("shop:inventory", whole)];
        let granted: Workflows = granted
            .map(|(name, answerer)| (name.to_owned(), answerer))
            .into_iter()
            .collect();
        for named in ["shop:order/purchases.checkout", "shop:order/purchases@0.1.3.checkout"] {
            let key = granted.key(named, "7".into()).unwrap();
            assert_eq!(
                (key.component.as_str(), &*key.function, &*key.id),
                ("order", "shop:order/checkouts.checkout", "7")
            );
        }
        let of_package = granted.key("shop:inventory/counts@0.1.0.count", "7".into()).unwrap();
        assert_eq!(
            (of_package.component.as_str(), &*of_package.function),
            ("stock", "shop:inventory/counts.count")
        );
        for other in ["shop:order/refunds.refund", "checkout", ""] {
            assert_eq!(granted.key(other, "7".into()), None, "{other}");
        }
    }
}
