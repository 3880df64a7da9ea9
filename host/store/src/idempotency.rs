//! Idempotency keys: who holds one. They are taken with an append (`host.claim`).

use host_journal::InvocationStatus;
use host_types::InvocationId;
use uuid::Uuid;

use crate::invocations::status_from;
use crate::{Error, Result, Store};

/// A key that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// Of the request that took it.
    pub fingerprint: [u8; 32],
    /// Who answers it.
    pub invocation: InvocationId,
    /// Where that stands.
    pub status: InvocationStatus,
}

impl Store {
    /// Who holds a key that is still good.
    pub async fn find_key(&self, key: &[u8; 32]) -> Result<Option<HeldKey>> {
        let found: Option<(Vec<u8>, Uuid, String)> = sqlx::query_as(
            "SELECT fingerprint, invocation_id, status::text
             FROM host.idempotency_key JOIN host.invocation ON invocation.id = invocation_id
             WHERE key = $1 AND expires_at > now()",
        )
        .bind(&key[..])
        .fetch_optional(self.pool())
        .await?;
        let Some((fingerprint, id, status)) = found else {
            return Ok(None);
        };
        let fingerprint = fingerprint.try_into().map_err(|_| Error::Row("fingerprint".into()))?;
        let status = status_from(&status).ok_or_else(|| Error::Row("status".into()))?;
        Ok(Some(HeldKey {
            fingerprint,
            invocation: InvocationId(id),
            status,
        }))
    }
}
