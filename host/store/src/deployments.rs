//! Deployments, and the bytes they pin.

use host_types::{ComponentId, DeploymentNumber, Digest};
use ring::digest::{Context, SHA256};

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
        let mut sorted: Vec<_> = components.iter().collect();
        sorted.sort_by(|one, other| one.0.cmp(&other.0));
        let mut whole = Context::new(&SHA256);
        for (component, digest, _) in &sorted {
            whole.update(&(component.as_str().len() as u64).to_be_bytes());
            whole.update(component.as_str().as_bytes());
            whole.update(&digest.0);
        }
        let whole = whole.finish();

        if let Some(number) = self.find_deployment(whole.as_ref()).await? {
            return Ok(number);
        }
        let mut transaction = self.pool().begin().await?;
        for (_, digest, wasm) in &sorted {
            sqlx::query("INSERT INTO host.revision (digest, wasm) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(&digest.0[..])
                .bind(*wasm)
                .execute(&mut *transaction)
                .await?;
        }
        let number: Option<i64> = sqlx::query_scalar(
            "INSERT INTO host.deployment (digest) VALUES ($1) ON CONFLICT DO NOTHING RETURNING number",
        )
        .bind(whole.as_ref())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(number) = number else {
            // Another node registers the same just now; its commit was awaited by the insert.
            transaction.rollback().await?;
            return self
                .find_deployment(whole.as_ref())
                .await?
                .ok_or_else(|| Error::NotRegistered("the deployment".into()));
        };
        for (component, digest, _) in &sorted {
            sqlx::query("INSERT INTO host.deployment_component (deployment, component, revision) VALUES ($1, $2, $3)")
                .bind(number)
                .bind(component.as_str())
                .bind(&digest.0[..])
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(DeploymentNumber(number))
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
        let component = |(component, digest): (String, Vec<u8>)| {
            let digest = digest.try_into().map_err(|_| Error::Row("revision".into()))?;
            Ok((component.into(), Digest(digest)))
        };
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
