//! What a person says about an invocation, as `nexus invocations` does.

use std::str::FromStr;

use anyhow::{Context, Result};
use host_invoker::Asked;
use host_journal::Body;
use host_runtime::Deployment;
use host_types::InvocationId;

use super::TestHost;

impl TestHost {
    /// Stops an open invocation until it is resumed.
    pub async fn pause(&self, invocation: &str) -> Result<()> {
        let id = InvocationId::from_str(invocation)?;
        Ok(self.invoker().pause(id, &asked()).await?)
    }

    /// Sets a paused invocation going again.
    pub async fn resume(&self, invocation: &str) -> Result<()> {
        let id = InvocationId::from_str(invocation)?;
        Ok(self.invoker().resume(id, &asked()).await?)
    }

    /// Ends an open invocation; what it can undo is undone.
    pub async fn cancel(&self, invocation: &str) -> Result<()> {
        let id = InvocationId::from_str(invocation)?;
        Ok(self.invoker().cancel(id, &asked()).await?)
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
        let recorded = |deployment: &Deployment, target: &str| deployment.answer_from_json(target, answer);
        Ok(self.invoker().complete_entry(id, position, recorded, &asked()).await?)
    }
}

fn asked() -> Asked {
    Asked {
        by: "test".to_owned(),
        reason: String::new(),
    }
}
