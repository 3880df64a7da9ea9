//! What operators said: each word in the commit of the fence that is its effect.

use host_journal::{AppendError, KeyId};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::activations::digest;
use crate::error::append_error_from;
use crate::fence::pin;
use crate::{Error, Fence, Result, Store};

/// Words are kept this long, days: longer than any journal.
const RETENTION_DAYS: i32 = 400;

/// An operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Who said it.
    pub operator: String,
    /// What was said: `pause`, `resume`, `cancel`, `restart`, `move`, `complete-entry`, `replay`, `drop`.
    pub verb: &'static str,
    /// Of which invocation.
    pub invocation: InvocationId,
    /// Of a restart: the invocation that is begun, whose start is the fence.
    pub successor: Option<InvocationId>,
    /// Of a workflow's restart: what the ids of its promises are derived from.
    pub promise_key: Option<[u8; 32]>,
    /// Of a move: the deployment that the invocation is pinned to from then on.
    pub deployment: Option<DeploymentNumber>,
    /// The exclusive keys that the invocation gives up by it.
    pub gives_up: Vec<KeyId>,
    /// Why; may be empty.
    pub reason: String,
    /// What it came to.
    pub outcome: String,
}

/// A word that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Counts up; there are gaps.
    pub id: i64,
    /// By the database's clock, milliseconds since 1970-01-01 UTC.
    pub said_ms: i64,
    /// Who said it.
    pub operator: String,
    /// What was said.
    pub verb: String,
    /// Of which invocation; none when it was said of a component.
    pub invocation: Option<InvocationId>,
    /// Index of the fence in its journal; of a restart 0, in its successor's.
    pub entry_index: u32,
    /// Of a restart: the invocation that was begun.
    pub successor: Option<InvocationId>,
    /// Of which component, when it was said of one.
    pub component: Option<ComponentId>,
    /// What was active of it from then on.
    pub revision: Option<Digest>,
    /// Why; may be empty.
    pub reason: String,
    /// What it came to.
    pub outcome: String,
}

/// Which words to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this invocation.
    pub invocation: Option<InvocationId>,
    /// Only those of this component, and of invocations that began in it and are not forgotten.
    pub component: Option<ComponentId>,
    /// How many at most.
    pub limit: u32,
    /// Only those before this one.
    pub cursor: Option<i64>,
}

type Row = (
    i64,
    i64,
    String,
    String,
    Option<Uuid>,
    i32,
    Option<Uuid>,
    Option<String>,
    Option<Vec<u8>>,
    String,
    String,
);

impl Store {
    /// Appends a fence with the word that it is the effect of, in one commit. [`AppendError::Fenced`] also when the invocation has
    /// ended, or was restarted before: neither fence nor word was written.
    pub async fn fence_with_word(&self, fence: &Fence, word: &Word) -> Result<(), AppendError> {
        self.say(fence, word, None).await
    }

    /// The same for a dead letter, which its subscription is then told of anew: another invocation, at the same place among the events of
    /// its key. `fence` ends the invocation that gave up.
    pub async fn renew_delivery(&self, fence: &Fence, word: &Word) -> Result<(), AppendError> {
        self.say(fence, word, Some(fence.invocation)).await
    }

    async fn say(&self, fence: &Fence, word: &Word, renewed: Option<InvocationId>) -> Result<(), AppendError> {
        let said = async {
            let mut transaction = self.pool().begin().await?;
            // Before the fence, with which the delivery would be over.
            if let Some(invocation) = renewed
                && !release_delivery(&mut transaction, invocation).await?
            {
                transaction.rollback().await?;
                return Ok(Err(AppendError::Fenced));
            }
            if !self
                .write_fences(&mut *transaction, std::slice::from_ref(fence))
                .await?
                .is_empty()
            {
                transaction.rollback().await?;
                return Ok(Err(AppendError::Fenced));
            }
            sqlx::query(
                "INSERT INTO host.audit (operator, verb, invocation_id, entry_index, successor, reason, outcome)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&word.operator)
            .bind(word.verb)
            .bind(word.invocation.0)
            .bind(i32::try_from(fence.next_index).unwrap_or(i32::MAX))
            .bind(word.successor.map(|successor| successor.0))
            .bind(&word.reason)
            .bind(&word.outcome)
            .execute(&mut *transaction)
            .await?;
            if let Some(deployment) = word.deployment {
                pin(&mut transaction, word.invocation, deployment).await?;
            }
            if let Some(successor) = word.successor {
                succeed_keys(&mut transaction, word.invocation, successor).await?;
            }
            if !word.gives_up.is_empty() {
                self.give_up_places(&mut transaction, word.invocation, Some(&word.gives_up))
                    .await?;
            }
            match (word.successor, &word.promise_key) {
                (Some(successor), Some(promise_key)) => {
                    let succeeds = self.succeed_workflow(&mut transaction, word.invocation, successor, promise_key);
                    if !succeeds.await? {
                        transaction.rollback().await?;
                        return Ok(Err(AppendError::Refused(
                            "the id that it ran under is forgotten: nobody would find it; start it anew".into(),
                        )));
                    }
                }
                _ if fence.status.is_final() => {
                    self.cancel_workflow(&mut transaction, fence.invocation).await?;
                    self.give_up_places(&mut transaction, fence.invocation, None).await?;
                }
                _ => {}
            }
            transaction.commit().await?;
            Ok(Ok(()))
        };
        match said.await {
            Ok(said) => said,
            Err(error) if is_restarted(&error) => Err(AppendError::Fenced),
            Err(error) => Err(append_error_from(&error)),
        }
    }

    /// The invocation that this one was restarted as.
    pub async fn successor(&self, invocation: InvocationId) -> Result<Option<InvocationId>> {
        let found: Option<Option<Uuid>> =
            sqlx::query_scalar("SELECT successor FROM host.audit WHERE invocation_id = $1 AND verb = 'restart'")
                .bind(invocation.0)
                .fetch_optional(self.pool())
                .await?;
        Ok(found.flatten().map(InvocationId))
    }

    /// A page of what was said.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<Said>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, (extract(epoch FROM said_at) * 1000)::bigint, operator, verb,
                 CASE WHEN component IS NULL THEN invocation_id END, entry_index, successor, component, revision, reason, outcome
             FROM host.audit
             WHERE ($1::uuid IS NULL OR invocation_id = $1) AND ($2::bigint IS NULL OR id < $2)
                 AND ($3::text IS NULL OR component = $3 OR EXISTS (
                     SELECT FROM host.invocation WHERE invocation.id = invocation_id AND invocation.component = $3))
             ORDER BY id DESC LIMIT $4",
        )
        .bind(filter.invocation.map(|invocation| invocation.0))
        .bind(filter.cursor)
        .bind(filter.component.as_ref().map(ComponentId::as_str))
        .bind(i64::from(filter.limit))
        .fetch_all(self.pool())
        .await?;
        let said = |row: Row| {
            let (id, said_ms, operator, verb, invocation, entry_index, successor, component, revision, reason, outcome) =
                row;
            Ok(Said {
                id,
                said_ms,
                operator,
                verb,
                invocation: invocation.map(InvocationId),
                entry_index: entry_index.unsigned_abs(),
                successor: successor.map(InvocationId),
                component: component.map(ComponentId::from),
                revision: revision.map(digest).transpose()?,
                reason,
                outcome,
            })
        };
        rows.into_iter().map(said).collect()
    }

    /// Forgets what was said longer ago than words are kept.
    pub async fn expire_audit(&self) -> Result<u64, Error> {
        let expired =
            sqlx::query("DELETE FROM host.audit WHERE said_at < clock_timestamp() - make_interval(days => $1)")
                .bind(RETENTION_DAYS)
                .execute(self.pool())
                .await?;
        Ok(expired.rows_affected())
    }
}

/// A client that repeats its request is answered by the run that takes the place of the first, unless that has answered it.
async fn succeed_keys(
    session: &mut PgConnection,
    invocation: InvocationId,
    successor: InvocationId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE host.idempotency_key SET invocation_id = $2 WHERE invocation_id = $1
             AND NOT EXISTS (SELECT FROM host.invocation WHERE id = $1 AND status = 'completed')",
    )
    .bind(invocation.0)
    .bind(successor.0)
    .execute(session)
    .await
    .map(drop)
}

/// The delivery waits again. False: it is none, or not dead.
async fn release_delivery(session: &mut PgConnection, invocation: InvocationId) -> Result<bool, sqlx::Error> {
    let released = sqlx::query(
        "WITH released AS (
             UPDATE host.delivery SET state = 'waiting', invocation_id = NULL, round = round + 1
             WHERE invocation_id = $1 AND state = 'dead' RETURNING subscription, key
         ) INSERT INTO host.lane_wakeup (subscription, key) SELECT subscription, key FROM released",
    )
    .bind(invocation.0)
    .execute(session)
    .await?;
    Ok(released.rows_affected() > 0)
}

fn is_restarted(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    constraint == Some("audit_restarted")
}
