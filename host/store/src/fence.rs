//! Fences: the entries by which an invocation changes hands, pauses or ends, each with what its row then says.

use host_journal::{AppendError, Body, Entry, FenceReason, InvocationStatus, Start, encode};
use host_types::{ComponentId, DeploymentNumber, InvocationId, NodeId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Entries, Starts};
use crate::error::{append_error_from, is_refusal};
use crate::journal::{bigint, integer};
use crate::{Error, Result, Store};

const FENCE_BATCH: &str = "SELECT lost FROM host.fence_batch(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
/// Takeovers in one commit.
const CHUNK: usize = 500;

/// A fence, and what is true after it.
#[derive(Debug, Clone)]
pub struct Fence {
    /// Whose.
    pub invocation: InvocationId,
    /// The index after the last entry known. The fence fails when an entry of that index exists.
    pub next_index: u32,
    /// The entries, encoded: the fence itself, preceded by the start of an invocation of which nothing is durable.
    pub bodies: Vec<Vec<u8>>,
    /// For an invocation without a row (`next_index` 0): the insert of its id is the fence.
    pub start: Option<Start>,
    /// Where it stands.
    pub status: InvocationStatus,
    /// Who owns it; nobody unless it is running. One that runs without an owner is picked up by [`Store::due`].
    pub owner: Option<NodeId>,
    /// The number of the attempt that follows, or that has ended.
    pub attempt: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When the next attempt may begin, milliseconds since 1970-01-01 UTC; at once without.
    pub due_ms: Option<u64>,
    /// Why, for a person.
    pub cause: Option<String>,
}

/// An invocation whose owner is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Which.
    pub invocation: InvocationId,
    /// The component called.
    pub component: ComponentId,
    /// The index after its last entry.
    pub next_index: u32,
    /// The number of its last attempt.
    pub attempt: u32,
    /// Failed attempts in a row.
    pub failures: u32,
}

impl Store {
    /// Appends a fence in a commit of its own. [`AppendError::Fenced`] also when the invocation has ended: load it again.
    pub async fn fence(&self, fence: Fence) -> Result<(), AppendError> {
        let lost = self
            .write_fences(self.pool(), std::slice::from_ref(&fence))
            .await
            .map_err(|error| append_error_from(&error))?;
        if lost.is_empty() {
            Ok(())
        } else {
            Err(AppendError::Fenced)
        }
    }

    /// The same, and in the same commit the invocation is pinned to this deployment from there on.
    pub async fn fence_and_pin(&self, fence: Fence, number: DeploymentNumber) -> Result<(), AppendError> {
        let fenced = async {
            let mut transaction = self.pool().begin().await?;
            let lost = self
                .write_fences(&mut *transaction, std::slice::from_ref(&fence))
                .await?;
            if lost.is_empty() {
                pin(&mut transaction, fence.invocation, number).await?;
            }
            transaction.commit().await?;
            Ok(lost.is_empty())
        };
        match fenced.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AppendError::Fenced),
            Err(error) => Err(append_error_from(&error)),
        }
    }

    /// Appends many fences, at most one per invocation, in one commit. Each succeeds or fails alone.
    pub async fn fence_all(&self, fences: &[Fence]) -> Vec<Result<(), AppendError>> {
        match self.write_fences(self.pool(), fences).await {
            Ok(lost) => fences
                .iter()
                .map(|fence| {
                    if lost.contains(&fence.invocation.0) {
                        Err(AppendError::Fenced)
                    } else {
                        Ok(())
                    }
                })
                .collect(),
            // One of them is why.
            Err(error) if fences.len() > 1 && is_refusal(&error) => {
                let mut outcomes = Vec::with_capacity(fences.len());
                for fence in fences {
                    outcomes.push(self.fence(fence.clone()).await);
                }
                outcomes
            }
            Err(error) => vec![Err(append_error_from(&error)); fences.len()],
        }
    }

    /// The running invocations of a node, oldest first. [`Error::NodeAlive`] while it is not declared gone.
    pub async fn abandoned(&self, node: NodeId, limit: u32) -> Result<Vec<Abandoned>> {
        if !self.is_gone(node).await? {
            return Err(Error::NodeAlive(node));
        }
        let rows: Vec<(Uuid, String, i32, i32, i32)> = sqlx::query_as(
            "SELECT id, component, attempt, failures,
                 (SELECT max(entry_index) + 1 FROM host.journal_entry WHERE invocation_id = invocation.id)
             FROM host.invocation WHERE node_id = $1 ORDER BY id LIMIT $2",
        )
        .bind(node.0)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        let abandoned = |(id, component, attempt, failures, next): (Uuid, String, i32, i32, i32)| Abandoned {
            invocation: InvocationId(id),
            component: component.into(),
            next_index: next.unsigned_abs(),
            attempt: attempt.unsigned_abs(),
            failures: failures.unsigned_abs(),
        };
        Ok(rows.into_iter().map(abandoned).collect())
    }

    /// Takes over up to `limit` running invocations of a node that was declared gone: its connections are ended first, so that
    /// nothing it had begun commits behind a fence. Returns those that are ours now, and whose they are; none when there is nothing
    /// left.
    pub async fn take_over(&self, node: NodeId, limit: u32) -> Result<Vec<(InvocationId, ComponentId)>> {
        if !self.is_gone(node).await? {
            return Err(Error::NodeAlive(node));
        }
        self.end_backends(node).await?;
        let abandoned = self.abandoned(node, limit).await?;
        let mut ours = Vec::with_capacity(abandoned.len());
        for chunk in abandoned.chunks(CHUNK) {
            let fences: Vec<Fence> = chunk.iter().map(|it| self.takeover_fence(it)).collect();
            for (it, outcome) in chunk.iter().zip(self.fence_all(&fences).await) {
                match outcome {
                    Ok(()) => ours.push((it.invocation, it.component.clone())),
                    // Another node was faster.
                    Err(AppendError::Fenced) => {}
                    Err(error) => tracing::warn!(invocation.id = %it.invocation, %error, "not taken over"),
                }
            }
        }
        Ok(ours)
    }

    fn takeover_fence(&self, abandoned: &Abandoned) -> Fence {
        let Abandoned {
            invocation,
            next_index,
            attempt,
            failures,
            ..
        } = *abandoned;
        let attempt = attempt + 1;
        let body = Body::Fence {
            attempt,
            node: self.node(),
            reason: FenceReason::TakeOver,
        };
        // A fence has no payload: the salt does not matter.
        let seal = self.invocation_seal(invocation, None);
        Fence {
            invocation,
            next_index,
            bodies: vec![encode(
                &Entry {
                    index: next_index,
                    body,
                },
                &seal,
            )],
            start: None,
            status: InvocationStatus::Running,
            owner: Some(self.node()),
            attempt,
            failures,
            due_ms: None,
            cause: None,
        }
    }

    pub(crate) async fn write_fences(
        &self,
        executor: impl sqlx::PgExecutor<'_>,
        fences: &[Fence],
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        let (mut entries, mut starts) = (Entries::default(), Starts::default());
        let (mut statuses, mut owners, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut failures, mut dues, mut causes) = (Vec::new(), Vec::new(), Vec::new());
        for fence in fences {
            let id = fence.invocation.0;
            entries.push(id, fence.next_index, &fence.bodies);
            if let Some(start) = &fence.start {
                starts.push(id, start);
            }
            statuses.push(fence.status.as_str());
            owners.push(fence.owner.map(|owner| owner.0));
            attempts.push(integer(fence.attempt));
            failures.push(integer(fence.failures));
            dues.push(fence.due_ms.map(bigint));
            causes.push(fence.cause.as_deref());
        }
        let node = &self.inner.node;
        self.inner.metrics.committed("fence");
        sqlx::query_scalar(FENCE_BATCH)
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(entries.invocations)
            .bind(entries.first_indexes)
            .bind(entries.first_bodies)
            .bind(statuses)
            .bind(owners)
            .bind(attempts)
            .bind(failures)
            .bind(dues)
            .bind(causes)
            .bind(entries.rest_invocations)
            .bind(entries.rest_indexes)
            .bind(entries.rest_bodies)
            .bind(starts.invocations)
            .bind(starts.components)
            .bind(starts.functions)
            .bind(starts.deployments)
            .bind(starts.salts)
            .bind(starts.parents)
            .fetch_all(executor)
            .await
    }
}

/// Pins an invocation that was fenced in the same transaction: from its next attempt on it runs on this deployment. The entry that it
/// began with stays as it is.
pub(crate) async fn pin(
    connection: &mut PgConnection,
    invocation: InvocationId,
    number: DeploymentNumber,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE host.invocation SET deployment = $2 WHERE id = $1")
        .bind(invocation.0)
        .bind(number.0)
        .execute(connection)
        .await?;
    Ok(())
}
