//! Promises, and the appends that touch them: each in a commit of its own, since it may have to wait for another's.

use host_journal::{Append, AppendError, AppendJournal, HostParameter, HostStatement, OUTPUT_PROMISE, Seal};
use host_types::{InvocationId, PromiseId};
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use crate::error::append_error_from;
use crate::{Error, Result, Store};

/// A promise as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPromise {
    /// What it was completed with, if it was.
    pub value: Option<Vec<u8>>,
}

/// An operator's word to a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromiseWord {
    /// Who said it.
    pub operator: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Whose a promise is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromiseOwner {
    /// That made it, or that is the workflow it belongs to.
    pub invocation: InvocationId,
    /// Within its workflow.
    pub name: Option<String>,
}

/// What an operator's word to a promise came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromiseOutcome {
    /// It has this value now.
    Now(PromiseOwner),
    /// It had a value before, and keeps it.
    Before(PromiseOwner),
    /// It is the output of a workflow, which is nobody's to make up.
    Output(PromiseOwner),
    /// There is none of that id.
    Unknown,
}

/// What an invocation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedPromise {
    /// The promise.
    pub promise: PromiseId,
    /// Whose it is.
    pub owner: InvocationId,
    /// Within its workflow; empty: the workflow's output.
    pub name: Option<String>,
    /// The function and the id of that workflow.
    pub workflow: Option<(String, String)>,
}

impl Store {
    /// A promise, if there is one of that id.
    pub async fn promise(&self, promise: PromiseId) -> Result<Option<StoredPromise>> {
        let sealed: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT value FROM host.promise WHERE id = $1")
            .bind(promise.0)
            .fetch_optional(self.pool())
            .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let Some(sealed) = sealed else {
            return Ok(Some(StoredPromise { value: None }));
        };
        let seal = self.invocation_seal(InvocationId(promise.0), None);
        let opened = match seal.open(0, &sealed) {
            Err(_) if seal.lacked_key() => {
                // Perhaps another node sealed it with a key that is newer than what is loaded here.
                self.inner.keys.load(&mut *self.pool().acquire().await?).await?;
                seal.open(0, &sealed)
            }
            opened => opened,
        };
        let value = opened.map_err(|error| Error::Row(format!("promise {promise}: {error}")))?;
        Ok(Some(StoredPromise { value: Some(value) }))
    }

    /// Completes a promise by an operator's word, in one commit with its record.
    pub async fn complete_promise(
        &self,
        promise: PromiseId,
        value: &[u8],
        said: &PromiseWord,
    ) -> Result<PromiseOutcome> {
        const SERIALIZATION_FAILURE: &str = "40001";
        let Some(owner) = self.promise_owner(promise).await? else {
            return Ok(PromiseOutcome::Unknown);
        };
        if owner.name.as_deref() == Some(OUTPUT_PROMISE) {
            return Ok(PromiseOutcome::Output(owner));
        }
        let node = &self.inner.node;
        let sealed = self.invocation_seal(InvocationId(promise.0), None).seal(0, value);
        let mut transaction = self.pool().begin().await?;
        let completed = sqlx::query("SELECT host.complete_promise($1, $2, $3, $4)")
            .bind(node.id.0)
            .bind(&node.token[..])
            .bind(promise.0)
            .bind(sealed)
            .execute(&mut *transaction)
            .await;
        match completed {
            Ok(_) => {}
            Err(error) if sqlstate(&error).as_deref() == Some(SERIALIZATION_FAILURE) => {
                return Ok(PromiseOutcome::Before(owner));
            }
            Err(error) => return Err(error.into()),
        }
        sqlx::query(
            "INSERT INTO host.audit (operator, verb, invocation_id, entry_index, promise_id, reason, outcome)
             VALUES ($1, 'complete-promise', $2, 0, $3, $4, $5)",
        )
        .bind(&said.operator)
        .bind(owner.invocation.0)
        .bind(promise.0)
        .bind(&said.reason)
        .bind(format!("completed with {} bytes", value.len()))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(PromiseOutcome::Now(owner))
    }

    /// Whose a promise is.
    async fn promise_owner(&self, promise: PromiseId) -> Result<Option<PromiseOwner>> {
        let row: Option<(Uuid, Option<String>)> =
            sqlx::query_as("SELECT invocation_id, name FROM host.promise WHERE id = $1")
                .bind(promise.0)
                .fetch_optional(self.pool())
                .await?;
        Ok(row.map(|(invocation, name)| PromiseOwner {
            invocation: InvocationId(invocation),
            name,
        }))
    }

    /// The promises that a suspended or paused invocation waits for.
    pub async fn awaited_promises(&self, invocation: InvocationId) -> Result<Vec<AwaitedPromise>> {
        type Row = (Uuid, Uuid, Option<String>, Option<String>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT promise.id, promise.invocation_id, name, workflow.function, workflow.id
             FROM host.promise_waiter JOIN host.promise ON promise.id = promise_id
             LEFT JOIN host.workflow ON workflow.invocation_id = promise.invocation_id
             WHERE promise_waiter.invocation_id = $1 ORDER BY promise.id",
        )
        .bind(invocation.0)
        .fetch_all(self.pool())
        .await?;
        let awaited = |(promise, owner, name, function, workflow): Row| AwaitedPromise {
            promise: PromiseId(promise),
            owner: InvocationId(owner),
            name,
            workflow: Option::zip(function, workflow),
        };
        Ok(rows.into_iter().map(awaited).collect())
    }

    /// Suspended invocations that a completed promise woke, or a key that was given up, given to this node: those of up to `limit` wake-ups, and
    /// of as many causes of which somebody left word who could not see who waits.
    pub async fn woken(&self, limit: u32) -> Result<Vec<InvocationId>> {
        let ids = sqlx::query_scalar(
            "WITH woken AS (
                 DELETE FROM host.wakeup WHERE number IN (
                     SELECT number FROM host.wakeup
                     WHERE EXISTS (SELECT FROM host.node WHERE id = $1 AND gone_at IS NULL)
                     ORDER BY number LIMIT $2 FOR UPDATE SKIP LOCKED
                 ) RETURNING invocation_id
             ), cause AS (
                 DELETE FROM host.wakeup_cause WHERE number IN (
                     SELECT number FROM host.wakeup_cause
                     WHERE EXISTS (SELECT FROM host.node WHERE id = $1 AND gone_at IS NULL)
                     ORDER BY number LIMIT $2 FOR UPDATE SKIP LOCKED
                 ) RETURNING promise_id, key
             ), taken AS (
                 UPDATE host.invocation SET node_id = $1, status = 'running', due_at = NULL, updated_at = now()
                 WHERE status = 'suspended' AND id IN (
                     SELECT invocation_id FROM woken
                     UNION ALL
                     SELECT invocation_id FROM cause JOIN host.promise_waiter USING (promise_id)
                     UNION ALL
                     SELECT first.invocation_id FROM cause CROSS JOIN LATERAL (
                         SELECT invocation_id FROM host.exclusive_place WHERE exclusive_place.key = cause.key AND NOT refused
                         ORDER BY number LIMIT 1) AS first)
                 RETURNING id
             ), forgotten AS (
                 DELETE FROM host.promise_waiter WHERE invocation_id IN (SELECT id FROM taken)
             )
             SELECT id FROM taken",
        )
        .bind(self.node().0)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        Ok(ids.into_iter().map(InvocationId).collect())
    }

    /// Writes an append that makes, completes or waits for promises, writes to key-value stores, or publishes.
    pub(crate) async fn append_alone(&self, append: Append) -> Result<(), AppendError> {
        let mut transaction = self.pool().begin().await.map_err(|error| append_error_from(&error))?;
        let claim = append.claim.as_ref();
        let claim = claim.map(|claim| self.claim_statement(append.invocation, claim));
        for statement in claim.into_iter().chain(self.append_statements(&append)) {
            let executed = bind(&statement).execute(&mut *transaction).await;
            executed.map_err(|error| append_error_from(&error))?;
        }
        let committed = transaction.commit().await;
        committed.map_err(|error| append_error_from(&error))?;
        self.inner.metrics.committed("alone");
        Ok(())
    }
}

fn bind(statement: &HostStatement) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(statement.sql);
    statement
        .parameters
        .iter()
        .fold(query, |query, parameter| match parameter {
            HostParameter::Uuid(value) => query.bind(*value),
            HostParameter::UuidArray(value) => query.bind(value.clone()),
            HostParameter::Boolean(value) => query.bind(*value),
            HostParameter::Bytes(value) => query.bind(value.clone()),
            HostParameter::BytesArray(value) => query.bind(value.clone()),
            HostParameter::Integer(value) => query.bind(*value),
            HostParameter::BigInt(value) => query.bind(*value),
            HostParameter::Text(value) => query.bind(value.clone()),
        })
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error().and_then(|answer| answer.code());
    code.map(|code| code.into_owned())
}
