//! Workflows: which invocation runs under an id, and their promises by name.

use std::collections::HashMap;

use host_journal::{OUTPUT_PROMISE, Seal, WorkflowEnd, WorkflowKey, workflow_promise};
use host_types::{ComponentId, InvocationId, PromiseId};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::{Error, Result, Store};

/// Promises with a name that one workflow has at most.
pub const MAX_NAMED_PROMISES: i64 = 1_000;

impl Store {
    /// The invocation that runs, or ran, under this id.
    pub async fn workflow(&self, key: &WorkflowKey) -> Result<Option<InvocationId>> {
        Ok(self.find_workflow(key).await?.map(|(invocation, _)| invocation))
    }

    /// The promise of this name of a workflow. It is there as soon as the workflow is: whoever asks first makes its row, which is no
    /// effect of anybody's. `None`: there is no such workflow. [`Error::TooManyPromises`] beyond [`MAX_NAMED_PROMISES`].
    pub async fn workflow_promise(&self, key: &WorkflowKey, name: &str) -> Result<Option<PromiseId>> {
        let Some((invocation, promise_key)) = self.find_workflow(key).await? else {
            return Ok(None);
        };
        let promise = workflow_promise(&promise_key, name);
        let is_there: bool = sqlx::query_scalar(
            "WITH made AS (
                 INSERT INTO host.promise (id, invocation_id, name)
                 SELECT $1, $2, $3
                 WHERE NOT EXISTS (SELECT FROM host.promise WHERE id = $1)
                     AND (SELECT count(*) FROM host.promise WHERE invocation_id = $2 AND name IS NOT NULL) <= $4
                 ON CONFLICT DO NOTHING RETURNING id
             )
             SELECT EXISTS (SELECT FROM made) OR EXISTS (SELECT FROM host.promise WHERE id = $1)",
        )
        .bind(promise.0)
        .bind(invocation.0)
        .bind(name)
        .bind(MAX_NAMED_PROMISES)
        .fetch_one(self.pool())
        .await?;
        if is_there {
            return Ok(Some(promise));
        }
        // Somebody made it between the snapshot and the insert, or there are too many.
        match self.promise(promise).await? {
            Some(_) => Ok(Some(promise)),
            None => Err(Error::TooManyPromises {
                function: key.function.clone(),
                id: key.id.clone(),
            }),
        }
    }

    /// Whether a wait of the invocation for this promise would never end: it is the output of a workflow that waits, itself or through the output
    /// of others, for that of the invocation.
    pub async fn closes_circle(&self, invocation: InvocationId, promise: PromiseId) -> Result<bool> {
        let closes = sqlx::query_scalar("SELECT host.closes_circle($1, $2)");
        Ok(closes.bind(invocation.0).bind(promise.0).fetch_one(self.pool()).await?)
    }

    /// What an invocation is known by, if it is a workflow.
    pub async fn workflow_of(&self, invocation: InvocationId) -> Result<Option<WorkflowKey>> {
        let row: Option<(String, String, String)> =
            sqlx::query_as("SELECT component, function, id FROM host.workflow WHERE invocation_id = $1")
                .bind(invocation.0)
                .fetch_optional(self.pool())
                .await?;
        Ok(row.map(|(component, function, id)| WorkflowKey {
            component: component.into(),
            function,
            id,
        }))
    }

    /// The ids that these invocations were started under, of those that are workflows.
    pub async fn workflow_ids(&self, invocations: &[InvocationId]) -> Result<HashMap<InvocationId, String>> {
        let invocations: Vec<Uuid> = invocations.iter().map(|invocation| invocation.0).collect();
        let found: Vec<(Uuid, String)> =
            sqlx::query_as("SELECT invocation_id, id FROM host.workflow WHERE invocation_id = ANY ($1)")
                .bind(invocations)
                .fetch_all(self.pool())
                .await?;
        let found = found.into_iter().map(|(invocation, id)| (InvocationId(invocation), id));
        Ok(found.collect())
    }

    /// The components that run a workflow of this id under this function; the interface's version does not count.
    pub async fn workflow_components(&self, function: &str, id: &str) -> Result<Vec<ComponentId>> {
        let (interface, name) = function.rsplit_once('.').unwrap_or((function, ""));
        let key = WorkflowKey::new("".into(), interface, name, id.to_owned());
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT component FROM host.workflow WHERE function = $1 AND id = $2 ORDER BY component",
        )
        .bind(key.function)
        .bind(key.id)
        .fetch_all(self.pool())
        .await?;
        Ok(found.into_iter().map(ComponentId::from).collect())
    }

    async fn find_workflow(&self, key: &WorkflowKey) -> Result<Option<(InvocationId, [u8; 32])>> {
        let row: Option<(Uuid, Vec<u8>)> = sqlx::query_as(
            "SELECT invocation_id, promise_key FROM host.workflow WHERE component = $1 AND function = $2 AND id = $3",
        )
        .bind(key.component.as_str())
        .bind(&key.function)
        .bind(&key.id)
        .fetch_optional(self.pool())
        .await?;
        let found = row.map(|(invocation, promise_key)| {
            let promise_key = promise_key.try_into();
            let promise_key = promise_key.map_err(|_| Error::Row(format!("the key of workflow {invocation}")))?;
            Ok((InvocationId(invocation), promise_key))
        });
        found.transpose()
    }

    /// Tells those who wait for the output of an invocation, if it is a workflow, that an operator ended it.
    pub(crate) async fn cancel_workflow(
        &self,
        connection: &mut PgConnection,
        invocation: InvocationId,
    ) -> Result<(), sqlx::Error> {
        let promise: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM host.promise WHERE invocation_id = $1 AND name = $2 AND completed_at IS NULL",
        )
        .bind(invocation.0)
        .bind(OUTPUT_PROMISE)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(promise) = promise else { return Ok(()) };
        let end = WorkflowEnd::Cancelled.to_payload();
        let value = self.invocation_seal(InvocationId(promise), None).seal(0, &end);
        let node = &self.inner.node;
        sqlx::query("SELECT host.complete_promise($1, $2, $3, $4)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(promise)
            .bind(value)
            .execute(connection)
            .await
            .map(drop)
    }

    /// From here on the id of a workflow leads to the invocation that was begun in its place. Who waits for the output of the earlier run, or for
    /// what others were to bring it, is woken, and waits for that of the successor. False when no id leads to it any more.
    pub(crate) async fn succeed_workflow(
        &self,
        connection: &mut PgConnection,
        invocation: InvocationId,
        successor: InvocationId,
        promise_key: &[u8; 32],
    ) -> Result<bool, sqlx::Error> {
        let moved =
            sqlx::query("UPDATE host.workflow SET invocation_id = $2, promise_key = $3 WHERE invocation_id = $1")
                .bind(invocation.0)
                .bind(successor.0)
                .bind(&promise_key[..])
                .execute(&mut *connection)
                .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("INSERT INTO host.promise (id, invocation_id, name) VALUES ($1, $2, $3)")
            .bind(workflow_promise(promise_key, OUTPUT_PROMISE).0)
            .bind(successor.0)
            .bind(OUTPUT_PROMISE)
            .execute(&mut *connection)
            .await?;
        let void: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM host.promise WHERE invocation_id = $1 AND name IS NOT NULL AND completed_at IS NULL RETURNING id",
        )
        .bind(invocation.0)
        .fetch_all(&mut *connection)
        .await?;
        // After the locks on those rows: whoever has begun to wait is seen, and whoever is about to finds that they are gone.
        sqlx::query(
            "INSERT INTO host.wakeup (invocation_id)
                 SELECT DISTINCT invocation_id FROM host.promise_waiter WHERE promise_id = ANY ($1)",
        )
        .bind(void)
        .execute(connection)
        .await?;
        Ok(true)
    }

    /// Forgets the ids of workflows whose retention after their end is over. Returns how many.
    pub async fn expire_workflows(&self) -> Result<u64> {
        self.delete_in_parts(
            "DELETE FROM host.workflow WHERE invocation_id IN (
                 SELECT workflow.invocation_id FROM host.workflow
                 LEFT JOIN host.invocation ON invocation.id = workflow.invocation_id
                 WHERE invocation.id IS NULL
                     OR invocation.ended_at < now() - workflow.retention_ms * interval '1 millisecond'
                 LIMIT $1)",
        )
        .await
    }
}
