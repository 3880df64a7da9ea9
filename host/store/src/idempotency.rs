//! Idempotency keys: who holds one. They are taken with an append (`host.claim`).

use host_journal::{Claim, InvocationStatus};
use host_types::InvocationId;
use uuid::Uuid;

use crate::invocations::status_from;
use crate::{Error, Result, Store};

/// How the database's functions take the keys of a claim: the route's, and behind it the path's. A node of the version before gives the first alone.
pub(crate) fn key_parameter(claim: &Claim) -> Vec<u8> {
    [claim.key, claim.path_key].concat()
}

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
    /// Who holds the key of a claim, if that is still good. What a node of the version before took tells no path: it may be this one's.
    pub async fn find_key(&self, claim: &Claim) -> Result<Option<HeldKey>> {
        let found: Option<(Vec<u8>, Uuid, String)> = sqlx::query_as(
            "SELECT fingerprint, invocation_id, status::text
             FROM host.idempotency_key JOIN host.invocation ON invocation.id = invocation_id
             WHERE key IN ($1, $2) AND coalesce(path_key, $2) = $2 AND expires_at > now()
             ORDER BY key = $2 DESC LIMIT 1",
        )
        .bind(&claim.key[..])
        .bind(&claim.path_key[..])
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
