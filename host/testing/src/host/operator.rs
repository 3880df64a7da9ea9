//! What a person says about an invocation, as `nexus invocations` does.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host_invoker::{Asked, DeadLetters, Handlers, Invoker, OperateError};
use host_journal::{Body, WorkflowKey};
use host_types::{InvocationId, PromiseId};

use super::TestHost;

impl TestHost {
    /// Stops an open invocation until it is resumed.
    pub async fn pause(&self, invocation: &str) -> Result<()> {
        self.say(
            invocation,
            |invoker, id| async move { invoker.pause(id, &asked()).await },
        )
        .await
    }

    /// Sets a paused invocation going again.
    pub async fn resume(&self, invocation: &str) -> Result<()> {
        self.say(
            invocation,
            |invoker, id| async move { invoker.resume(id, &asked()).await },
        )
        .await
    }

    /// Ends an open invocation; what it can undo is undone.
    pub async fn cancel(&self, invocation: &str) -> Result<()> {
        self.say(
            invocation,
            |invoker, id| async move { invoker.cancel(id, &asked()).await },
        )
        .await
    }

    /// Begins an ended or a paused invocation again, as another one, whose id is returned: the same however often it is said. A paused one is
    /// cancelled first. Refused when something it did stands and would be done twice, unless `forced`.
    pub async fn restart_invocation(&self, invocation: &str, forced: bool) -> Result<String> {
        let restarted = self.say(invocation, move |invoker, id| async move {
            invoker.restart(id, forced, &asked()).await
        });
        let successor: InvocationId = restarted.await?;
        Ok(successor.to_string())
    }

    /// Has an event delivered once more whose delivery, this invocation, was given up.
    pub async fn redeliver(&self, invocation: &str) -> Result<()> {
        let store = Arc::clone(&self.process().serving().store);
        self.say(invocation, |invoker, id| async move {
            DeadLetters::new(invoker, store).replay(id, &asked()).await.map(drop)
        })
        .await
    }

    /// Gives the first command of this target in a paused invocation its answer, as JSON.
    pub async fn answer(&self, invocation: &str, target: &str, answer: &serde_json::Value) -> Result<()> {
        let id = InvocationId::from_str(invocation)?;
        let loaded = self.store().load(id).await?;
        let loaded = loaded.with_context(|| format!("there is no invocation {invocation}"))?;
        let position = loaded.entries.iter().find_map(|entry| match &entry.body {
            Body::Command {
                position, target: of, ..
            } if of == target => Some(position.clone()),
            _ => None,
        });
        let position = position.with_context(|| format!("{invocation} has asked for no {target}"))?;
        let recorded = |pinned: Arc<dyn Handlers>, target: &str| {
            let deployment = pinned.deployment().ok_or("no component is called there")?;
            deployment.answer_from_json(target, answer)
        };
        Ok(self.invoker().complete_entry(id, position, recorded, &asked()).await?)
    }

    /// Brings a promise its value, as JSON. `false`: it had one before, and keeps it.
    pub async fn complete(&self, promise: &str, value: &serde_json::Value) -> Result<bool> {
        self.bring(PromiseId::from_str(promise)?, value).await
    }

    /// The same of a promise of a workflow, by its name: the function is that of the workflow, without a version
    /// (`shop:order/workflows.missing`).
    pub async fn complete_named(
        &self,
        function: &str,
        workflow: &str,
        name: &str,
        value: &serde_json::Value,
    ) -> Result<bool> {
        let components = self.store().workflow_components(function, workflow).await?;
        let [component] = &components[..] else {
            bail!("{} components run {function} under {workflow:?}", components.len());
        };
        let (interface, exported) = function
            .rsplit_once('.')
            .with_context(|| format!("{function} is no interface and function"))?;
        let key = WorkflowKey::new(component.clone(), interface, exported, workflow.to_owned());
        let promise = self.store().workflow_promise(&key, name).await?;
        let promise = promise.with_context(|| format!("there is no workflow {workflow:?} of {function}"))?;
        self.bring(promise, value).await
    }

    async fn bring(&self, promise: PromiseId, value: &serde_json::Value) -> Result<bool> {
        let value = value.to_string().into_bytes();
        let invoker = self.invoker().clone();
        let completing = async move { invoker.complete_promise(promise, &value, &asked()).await };
        let (_, is_new) = self.process().run(completing).await??;
        Ok(is_new)
    }

    /// On the process's threads: what a word sets going ends with the process.
    async fn say<W, T>(&self, invocation: &str, word: impl FnOnce(Invoker, InvocationId) -> W) -> Result<T>
    where
        W: Future<Output = std::result::Result<T, OperateError>> + Send + 'static,
        T: Send + 'static,
    {
        let id = InvocationId::from_str(invocation)?;
        let said = self.process().run(word(self.invoker().clone(), id)).await?;
        Ok(said?)
    }
}

fn asked() -> Asked {
    Asked {
        by: "test".to_owned(),
        reason: String::new(),
    }
}
