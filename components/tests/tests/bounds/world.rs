//! The application of `components/tests/bounds` in a real host.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Edited, Nexus, NexusOptions, workspace};
use serde_json::json;

/// Relative to the workspace.
pub(crate) const MANIFEST: &str = "components/tests/bounds/spin.toml";

pub(crate) struct World {
    pub(crate) nexus: Nexus,
    pub(crate) audit: Audit,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(NexusOptions::default()).await
    }

    pub(crate) async fn start_with(options: NexusOptions) -> Result<Self> {
        Self::start_application(&workspace().join(Path::new(MANIFEST)), options).await
    }

    /// With a manifest that is changed, and kept by whoever starts it.
    pub(crate) async fn start_edited(edited: &Edited) -> Result<Self> {
        Self::start_application(&edited.manifest(), NexusOptions::default()).await
    }

    async fn start_application(manifest: &Path, options: NexusOptions) -> Result<Self> {
        let nexus = Nexus::start_application(manifest, options).await?;
        let audit = Audit::open(nexus.database_url()).await?;
        Ok(Self { nexus, audit })
    }

    /// Sends the crowd jobs that begin in an hour and nap for `ms`.
    pub(crate) async fn send_jobs(&self, ticket: &str, count: u32, ms: u64) -> Result<()> {
        let body = json!({ "ticket": ticket, "count": count, "delay_ms": 3_600_000, "ms": ms });
        let answer = self.nexus.client().post("/crowd/begin", body).await?;
        ensure!(answer.status == 200, "{}", answer.json);
        Ok(())
    }

    /// The node that lives, when there is one alone.
    pub(crate) async fn living_node(&self) -> Result<String> {
        let nodes = self
            .audit
            .texts("SELECT id::text FROM host.node WHERE gone_at IS NULL ORDER BY started_at DESC")
            .await?;
        nodes.into_iter().next().context("a node lives")
    }

    /// Returns when that many more have noted something.
    pub(crate) async fn noted_more(&self, count: i64) -> Result<()> {
        let noted = self.noted("noted").await?;
        while self.noted("noted").await? < noted + count {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    pub(crate) async fn noted(&self, what: &str) -> Result<i64> {
        let noted = format!("SELECT count(*) FROM crowd.note WHERE what = '{what}'");
        self.audit.count(&noted).await
    }
}
