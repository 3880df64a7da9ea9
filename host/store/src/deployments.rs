//! Deployments, the bytes and the manifest they pin, and forgetting those that nobody uses.

use host_types::{ComponentId, DeploymentNumber, Digest};
use ring::digest::{Context, SHA256};

use crate::activations::{columns, digest};
use crate::journal::bigint;
use crate::{Error, Result, Store};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long what nobody uses is kept at least, however short invocations are: a swap that turns out to be wrong after days can be taken back.
const LEAST_UNUSED_MS: u64 = 7 * DAY_MS;
/// How many revisions back can be gone to, however long ago they were activated.
const BACK: i32 = 10;

/// A registered version of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Which.
    pub number: DeploymentNumber,
    /// Who answers for each component, by name.
    pub components: Vec<(ComponentId, Digest)>,
    /// What it keeps of the manifest, as whoever registered it wrote it down. None: it was registered before deployments kept anything.
    pub manifest: Option<String>,
}

impl Store {
    /// Registers a set of components with their bytes, and what is to be kept of the manifest. The same of both has the same number, on every
    /// node, for as long as it is not forgotten.
    pub async fn register_deployment(
        &self,
        components: &[(ComponentId, Digest, &[u8])],
        manifest: Option<&str>,
    ) -> Result<DeploymentNumber> {
        let set: Vec<_> = components
            .iter()
            .map(|(component, digest, _)| (component.clone(), *digest))
            .collect();
        if let Some(number) = self.used_deployment(&whole(&set, manifest)).await? {
            return Ok(number);
        }
        for (_, digest, wasm) in components {
            self.keep_revision(*digest, wasm).await?;
        }
        self.register_set(&set, manifest).await
    }

    /// The same of components whose bytes are kept already.
    pub async fn register_set(
        &self,
        components: &[(ComponentId, Digest)],
        manifest: Option<&str>,
    ) -> Result<DeploymentNumber> {
        let whole = whole(components, manifest);
        if let Some(number) = self.used_deployment(&whole).await? {
            return Ok(number);
        }
        let (ids, digests) = columns(components);
        // One statement, whose commit is the server's: a node that is frozen in the middle of it keeps nobody from registering the same.
        let number: Option<i64> = sqlx::query_scalar(
            "WITH registered AS (
                 INSERT INTO host.deployment (digest, manifest) VALUES ($1, $4) ON CONFLICT DO NOTHING RETURNING number
             ), member AS (
                 INSERT INTO host.deployment_component (deployment, component, revision)
                 SELECT number, component, revision FROM registered, unnest($2::text[], $3::bytea[]) AS member (component, revision)
             )
             SELECT number FROM registered",
        )
        .bind(&whole[..])
        .bind(ids)
        .bind(digests)
        .bind(manifest)
        .fetch_optional(self.pool())
        .await?;
        match number {
            Some(number) => Ok(DeploymentNumber(number)),
            // Another node registers the same just now; its commit was awaited by the insert.
            None => self
                .used_deployment(&whole)
                .await?
                .ok_or_else(|| Error::NotRegistered("the deployment".into())),
        }
    }

    /// Keeps the bytes of a revision.
    pub async fn keep_revision(&self, digest: Digest, wasm: &[u8]) -> Result<()> {
        sqlx::query(
            "INSERT INTO host.revision (digest, wasm) VALUES ($1, $2) ON CONFLICT (digest) DO UPDATE SET used_at = now()",
        )
        .bind(&digest.0[..])
        .bind(wasm)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// A deployment by its number.
    pub async fn deployment(&self, number: DeploymentNumber) -> Result<Deployment> {
        let kept: Option<Option<String>> = sqlx::query_scalar("SELECT manifest FROM host.deployment WHERE number = $1")
            .bind(number.0)
            .fetch_optional(self.pool())
            .await?;
        let not_registered = || Error::NotRegistered(format!("deployment {number}"));
        let manifest = kept.ok_or_else(not_registered)?;
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT component, revision FROM host.deployment_component WHERE deployment = $1 ORDER BY component",
        )
        .bind(number.0)
        .fetch_all(self.pool())
        .await?;
        if rows.is_empty() {
            return Err(not_registered());
        }
        let component = |(component, revision): (String, Vec<u8>)| Ok((component.into(), digest(revision)?));
        let components = rows.into_iter().map(component).collect::<Result<_>>()?;
        Ok(Deployment {
            number,
            components,
            manifest,
        })
    }

    /// Whether new invocations of another live node run on this deployment, or on one that has all of these components.
    pub async fn runs_elsewhere(&self, number: DeploymentNumber, components: &[ComponentId]) -> Result<bool> {
        let components: Vec<&str> = components.iter().map(ComponentId::as_str).collect();
        let found = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM host.node
                 WHERE id <> $1 AND gone_at IS NULL AND NOT draining AND host.holds_lease(node) AND (deployment = $2
                     OR cardinality($3) > 0 AND $3 <@ ARRAY(
                         SELECT component FROM host.deployment_component AS member WHERE member.deployment = node.deployment)))",
        )
        .bind(self.node().0)
        .bind(number.0)
        .bind(components)
        .fetch_one(self.pool())
        .await?;
        Ok(found)
    }

    /// The bytes of a revision.
    pub async fn revision(&self, digest: Digest) -> Result<Vec<u8>> {
        let wasm = sqlx::query_scalar("SELECT wasm FROM host.revision WHERE digest = $1")
            .bind(&digest.0[..])
            .fetch_optional(self.pool())
            .await?;
        wasm.ok_or_else(|| Error::NotRegistered(format!("revision {digest}")))
    }

    /// The number of a set that is registered. It is about to be used, so it is not forgotten under whoever asks.
    async fn used_deployment(&self, digest: &[u8]) -> Result<Option<DeploymentNumber>> {
        let number =
            sqlx::query_scalar("UPDATE host.deployment SET used_at = now() WHERE digest = $1 RETURNING number")
                .bind(digest)
                .fetch_optional(self.pool())
                .await?;
        Ok(number.map(DeploymentNumber))
    }

    /// Forgets deployments on which no node's new invocations run and to which no open invocation is pinned, activations that stand for
    /// nothing any more, and the bytes that only they had. Returns how many there were.
    pub(crate) async fn forget_unused(&self, longest_ms: u64) -> Result<u64> {
        // An ended invocation can be run dry on what it began with, so that has to outlive it; a day more, since its use is noted now and then.
        let unused_ms = bigint(longest_ms.max(LEAST_UNUSED_MS).saturating_add(DAY_MS));
        let forgotten: i64 = sqlx::query_scalar("SELECT host.forget_unused($1, $2)")
            .bind(unused_ms)
            .bind(BACK)
            .fetch_one(self.pool())
            .await?;
        Ok(forgotten.unsigned_abs())
    }
}

/// The digest of all components with their revisions, whatever their order, and of what is kept of the manifest.
fn whole(components: &[(ComponentId, Digest)], manifest: Option<&str>) -> [u8; 32] {
    let mut sorted: Vec<_> = components.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    let mut context = Context::new(&SHA256);
    for (component, digest) in sorted {
        context.update(&(component.as_str().len() as u64).to_be_bytes());
        context.update(component.as_str().as_bytes());
        context.update(&digest.0);
    }
    if let Some(manifest) = manifest {
        // No component has a name of that length.
        context.update(&u64::MAX.to_be_bytes());
        context.update(manifest.as_bytes());
    }
    let mut whole = [0; 32];
    whole.copy_from_slice(context.finish().as_ref());
    whole
}
