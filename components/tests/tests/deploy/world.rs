//! Two hosts on one database, whose module there are several builds of.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use component_tests::{Answer, Audit, Edited, Guests, Nexus, other_build};
use http::Method;
use serde_json::{Value, json};

/// Relative to the workspace.
const MANIFEST: &str = "components/tests/waiting/spin.toml";
const GUEST: &str = "guest-waiter";

/// What the module says: as it was built, and another build of it.
pub(crate) const PLAIN: &str = "completed, already completed, value own";
pub(crate) const LOUD: &str = "completed, ALREADY COMPLETED, VALUE own";

pub(crate) struct World {
    pub(crate) one: Nexus,
    pub(crate) two: Nexus,
    pub(crate) audit: Audit,
    /// The files that hosts are started with.
    pub(crate) guests: Guests,
    pub(crate) edited: Edited,
}

impl World {
    /// No instance is kept: every wait suspends.
    pub(crate) async fn start() -> Result<Self> {
        let guests = Guests::built()?;
        let edited = Edited::application(Path::new(MANIFEST), |manifest| {
            let patience = "request_timeout_ms";
            assert!(manifest.contains(patience), "the manifest has another shape");
            manifest.replace(patience, &format!("wait_hold_ms = 0\n{patience}"))
        })?;
        let one = Nexus::start_application(&edited.manifest(), guests.options()).await?;
        let two = one.second_node(guests.options()).await?;
        Ok(Self {
            audit: Audit::open(one.database_url()).await?,
            one,
            two,
            guests,
            edited,
        })
    }

    /// The bytes as they were built.
    pub(crate) fn plain(&self) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.guests.path(GUEST))?)
    }

    /// A build that does the same and says it louder.
    pub(crate) fn loud(&self) -> Result<Vec<u8>> {
        let wasm = other_build(self.plain()?, "already completed", "ALREADY COMPLETED")?;
        other_build(wasm, "value ", "VALUE ")
    }

    /// A build that writes something else.
    pub(crate) fn different(&self) -> Result<Vec<u8>> {
        other_build(self.plain()?, "beforeafter", "BEFOREAFTER")
    }

    /// Makes the files that hosts are started with another build.
    pub(crate) fn release(&self, constant: &str, other: &str) -> Result<()> {
        self.guests.differ(GUEST, constant, other)
    }

    /// What a host says when it is asked now.
    pub(crate) async fn says(&self, nexus: &Nexus, ticket: &str) -> Result<String> {
        let answer = nexus
            .client()
            .post("/waiter/complete-own", json!({ "ticket": ticket }))
            .await?;
        Ok(told(&answer))
    }

    pub(crate) async fn deployment_of(&self, invocation: &str) -> Result<i64> {
        let deployment = format!("SELECT deployment FROM host.invocation WHERE id = '{invocation}'");
        self.audit.count(&deployment).await
    }
}

/// Uploads a revision of the module, and says which it is.
pub(crate) async fn upload(nexus: &Nexus, wasm: Vec<u8>, activate: bool) -> Result<String> {
    let path = format!("/v1/components/waiter/revisions?activate={activate}");
    let answer = uploaded(nexus, &path, wasm).await?;
    ensure!(answer.status == 200, "{}", answer.json);
    ensure!(answer.json["activated"].is_null() != activate, "{}", answer.json);
    let revision = answer.json["revision"].as_str().context("a digest")?;
    Ok(revision.to_owned())
}

pub(crate) async fn uploaded(nexus: &Nexus, path: &str, wasm: Vec<u8>) -> Result<Answer> {
    let wasm = Bytes::from(wasm);
    nexus
        .admin()
        .send_raw(Method::POST, path, Some("application/wasm"), wasm)
        .await
}

pub(crate) async fn activate(nexus: &Nexus, revision: &str) -> Result<Answer> {
    let body = json!({ "digest": revision, "reason": "a test" });
    let admin = nexus.admin().with_header("x-operator", "ann");
    admin.post("/v1/components/waiter/activate", body).await
}

/// What an operator sees of the module.
pub(crate) async fn shown(nexus: &Nexus) -> Result<Value> {
    let answer = nexus.admin().get("/v1/components").await?;
    ensure!(answer.status == 200, "{}", answer.json);
    Ok(answer.json["components"][0].clone())
}

#[track_caller]
pub(crate) fn told(answer: &Answer) -> String {
    answer.data(200)["told"].as_str().unwrap_or_default().to_owned()
}
