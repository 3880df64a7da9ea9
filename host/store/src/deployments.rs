//! Deployments, and the bytes they pin.

use host_types::{ComponentId, DeploymentNumber, Digest};
use ring::digest::{Context, SHA256};

use crate::activations::{columns, digest};
use crate::{Error, Result, Store};

/// A registered version of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Which.
    pub number: DeploymentNumber,
    /// Who answers for each component, by name.
    pub components: Vec<(ComponentId, Digest)>,
}

impl Store {
    /// Registers a set of components with their bytes. The same set has the same number, on every node and every time.
    pub async fn register_deployment(&self, components: &[(ComponentId, Digest, &[u8])]) -> Result<DeploymentNumber> {
        let set: Vec<_> = components
            .iter()
            .map(|(component, digest, _)| (component.clone(), *digest))
            .collect();
        if let Some(number) = self.find_deployment(&whole(&set)).await? {
            return Ok(number);
        }
        for (_, digest, wasm) in components {
            self.keep_revision(*digest, wasm).await?;
        }
        self.register_set(&set).await
    }

    /// Registers a set of components whose bytes are kept already.
    pub async fn register_set(&self, components: &[(ComponentId, Digest)]) -> Result<DeploymentNumber> {
        let whole = whole(components);
        if let Some(number) = self.find_deployment(&whole).await? {
            return Ok(number);
        }
        let mut transaction = self.pool().begin().await?;
        let number: Option<i64> = sqlx::query_scalar(
            "INSERT INTO host.deployment (digest) VALUES ($1) ON CONFLICT DO NOTHING RETURNING number",
        )
        .bind(&whole[..])
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(number) = number else {
            // Another node registers the same just now; its commit was awaited by the insert.
            transaction.rollback().await?;
            return self
                .find_deployment(&whole)
                .await?
                .ok_or_else(|| Error::NotRegistered("the deployment".into()));
        };
        let (ids, digests) = columns(components);
        sqlx::query(
            "INSERT INTO host.deployment_component (deployment, component, revision)
             SELECT $1, component, revision FROM unnest($2::text[], $3::bytea[]) AS member (component, revision)",
        )
        .bind(number)
        .bind(ids)
        .bind(digests)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(DeploymentNumber(number))
    }

    /// Keeps the bytes of a revision.
    pub async fn keep_revision(&self, digest: Digest, wasm: &[u8]) -> Result<()> {
        sqlx::query("INSERT INTO host.revision (digest, wasm) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(&digest.0[..])
            .bind(wasm)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A deployment by its number.
    pub async fn deployment(&self, number: DeploymentNumber) -> Result<Deployment> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT component, revision FROM host.deployment_component WHERE deployment = $1 ORDER BY component",
        )
        .bind(number.0)
        .fetch_all(self.pool())
        .await?;
        if rows.is_empty() {
            return Err(Error::NotRegistered(format!("deployment {number}")));
        }
        let component = |(component, revision): (String, Vec<u8>)| Ok((component.into(), digest(revision)?));
        let components = rows.into_iter().map(component).collect::<Result<_>>()?;
        Ok(Deployment { number, components })
    }

    /// The bytes of a revision.
    pub async fn revision(&self, digest: Digest) -> Result<Vec<u8>> {
        let wasm = sqlx::query_scalar("SELECT wasm FROM host.revision WHERE digest = $1")
            .bind(&digest.0[..])
            .fetch_optional(self.pool())
            .await?;
        wasm.ok_or_else(|| Error::NotRegistered(format!("revision {digest}")))
    }

    async fn find_deployment(&self, digest: &[u8]) -> Result<Option<DeploymentNumber>> {
        let number = sqlx::query_scalar("SELECT number FROM host.deployment WHERE digest = $1")
            .bind(digest)
            .fetch_optional(self.pool())
            .await?;
        Ok(number.map(DeploymentNumber))
    }
}

/// The digest of all components with their revisions, whatever their order.
fn whole(components: &[(ComponentId, Digest)]) -> [u8; 32] {
    let mut sorted: Vec<_> = components.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    let mut context = Context::new(&SHA256);
    for (component, digest) in sorted {
        context.update(&(component.as_str().len() as u64).to_be_bytes());
        context.update(component.as_str().as_bytes());
        context.update(&digest.0);
    }
    let mut whole = [0; 32];
    whole.copy_from_slice(context.finish().as_ref());
    whole
}
