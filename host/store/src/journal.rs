//! [`AppendJournal`]: the statements that ride a module's transaction, and the way to the group writer for everything else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use host_journal::{
    Append, AppendError, AppendJournal, Claim, HostParameter, HostStatement, InvocationStatus, OUTPUT_PROMISE, Seal,
    Suspension, WorkflowStart, workflow_promise,
};
use host_types::InvocationId;

use crate::Store;
use crate::idempotency::key_parameter;
use crate::writer::Unwritten;

const CLAIM: &str = "SELECT host.claim($1, $2, $3, $4, $5, $6)";
const APPEND: &str = "SELECT host.append($1, $2, $3, $4, $5, $6)";
const START: &str = "SELECT host.start($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const CREATE_PROMISE: &str = "SELECT host.create_promise($1, $2, $3, $4)";
const COMPLETE_PROMISE: &str = "SELECT host.complete_promise($1, $2, $3, $4)";
const SET_KEY_VALUE: &str = "SELECT host.set_key_value($1, $2, $3, $4, $5)";
const DELETE_KEY_VALUE: &str = "SELECT host.delete_key_value($1, $2, $3, $4)";
const PUBLISH: &str = "SELECT host.publish_traced($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const START_WORKFLOW: &str = "SELECT host.start_workflow($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const LOCK_WAITS: &str = "SELECT host.lock_waits_of($1, $2, $3, $4)";
const SUSPEND: &str = "SELECT host.suspend($1, $2, $3, $4, NULL)";
const SUSPEND_UNTIL: &str = "SELECT host.suspend($1, $2, $3, $4, $5)";
const SUSPEND_FOR_KEYS: &str = "SELECT host.suspend_for_keys($1, $2, $3, $4)";
const TAKE_PLACE: &str = "SELECT host.take_place($1, $2, $3, $4, $5, $6)";
const GIVE_UP_PLACES: &str = "SELECT host.give_up_places($1, $2, $3, $4, $5)";
const SEND: &str = "SELECT host.send($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Milliseconds as the database's bigint. What lies behind the year 9999 is at its end: the database's own times and intervals end not
/// much later, and "never" is said by large numbers.
pub(crate) fn bigint(ms: u64) -> i64 {
    const END_OF_9999_MS: u64 = 253_402_300_799_999;
    ms.min(END_OF_9999_MS).cast_signed()
}

/// An entry's index as the database's integer: an invocation has at most 50,000 entries.
pub(crate) fn integer(index: u32) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

impl Store {
    fn suspend_statements(&self, invocation: InvocationId, suspension: &Suspension) -> Vec<HostStatement> {
        let invocation = HostParameter::Uuid(Some(invocation.0));
        let promises = promises(suspension);
        let suspended = match suspension.due_ms {
            Some(due_ms) => {
                let due_ms = HostParameter::BigInt(bigint(due_ms));
                self.statement(SUSPEND_UNTIL, [invocation.clone(), promises, due_ms])
            }
            None => self.statement(SUSPEND, [invocation.clone(), promises]),
        };
        let keys = || self.statement(SUSPEND_FOR_KEYS, [invocation, keys(suspension)]);
        let for_keys = (!suspension.keys.is_empty()).then(keys);
        [Some(suspended), for_keys].into_iter().flatten().collect()
    }

    fn statement<const N: usize>(&self, sql: &'static str, parameters: [HostParameter; N]) -> HostStatement {
        let node = &self.inner.node;
        let mut all = Vec::with_capacity(2 + N);
        all.push(HostParameter::Uuid(Some(node.id.0)));
        all.push(HostParameter::Bytes(Some(node.token.to_vec())));
        all.extend(parameters);
        HostStatement { sql, parameters: all }
    }
}

/// Circles of waits are looked for under a lock that comes before those of keys and promises: what takes such before it is suspended takes that
/// one first.
fn lock_waits(append: &Append) -> Option<HostStatement> {
    let suspension = append.suspension.as_ref()?;
    let locks = append.releases_all
        || !(append.releases.is_empty() && append.acquires.is_empty() && append.completions.is_empty());
    locks.then(|| HostStatement {
        sql: LOCK_WAITS,
        parameters: vec![
            HostParameter::Uuid(Some(append.invocation.0)),
            promises(suspension),
            keys(suspension),
            HostParameter::Boolean(suspension.due_ms.is_some()),
        ],
    })
}

fn promises(suspension: &Suspension) -> HostParameter {
    HostParameter::UuidArray(suspension.promises.iter().map(|promise| promise.0).collect())
}

fn keys(suspension: &Suspension) -> HostParameter {
    HostParameter::UuidArray(suspension.keys.iter().map(|key| key.0).collect())
}

impl AppendJournal for Store {
    fn seal(&self, invocation: InvocationId, erasure_salt: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(self.invocation_seal(invocation, erasure_salt))
    }

    fn claim_statement(&self, invocation: InvocationId, claim: &Claim) -> HostStatement {
        self.statement(
            CLAIM,
            [
                HostParameter::Bytes(Some(key_parameter(claim))),
                HostParameter::Bytes(Some(claim.fingerprint.to_vec())),
                HostParameter::Uuid(Some(invocation.0)),
                HostParameter::BigInt(bigint(claim.expires_ms)),
            ],
        )
    }

    fn append_statements(&self, append: &Append) -> Vec<HostStatement> {
        let invocation = HostParameter::Uuid(Some(append.invocation.0));
        let bodies = HostParameter::BytesArray(append.bodies.clone());
        let status = append.status;
        let mut statements = Vec::with_capacity(1 + append.messages.len());
        statements.extend(lock_waits(append));
        statements.push(match &append.start {
            Some(start) => self.statement(
                START,
                [
                    invocation,
                    bodies,
                    HostParameter::Text(Some(start.component.as_str().to_owned())),
                    HostParameter::Text(Some(start.function.clone())),
                    HostParameter::BigInt(start.deployment.0),
                    HostParameter::Bytes(start.erasure_salt.map(Vec::from)),
                    HostParameter::Uuid(start.parent.map(|parent| parent.0)),
                    HostParameter::Text(Some(status.unwrap_or(InvocationStatus::Running).as_str().to_owned())),
                ],
            ),
            None => self.statement(
                APPEND,
                [
                    invocation,
                    HostParameter::Integer(integer(append.first_index)),
                    bodies,
                    HostParameter::Text(status.map(|status| status.as_str().to_owned())),
                ],
            ),
        });
        statements.extend(append.messages.iter().map(|message| {
            self.statement(
                SEND,
                [
                    HostParameter::Uuid(Some(message.invocation.0)),
                    HostParameter::Bytes(Some(message.started.clone())),
                    HostParameter::Text(Some(message.start.component.as_str().to_owned())),
                    HostParameter::Text(Some(message.start.function.clone())),
                    HostParameter::BigInt(message.start.deployment.0),
                    HostParameter::Bytes(message.start.erasure_salt.map(Vec::from)),
                    HostParameter::Uuid(message.start.parent.map(|parent| parent.0)),
                    HostParameter::BigInt(bigint(message.due_ms)),
                ],
            )
        }));
        statements.extend(append.messages.iter().filter_map(|message| {
            let WorkflowStart {
                key,
                promise_key,
                retention_ms,
            } = message.workflow.as_ref()?;
            Some(self.statement(
                START_WORKFLOW,
                [
                    HostParameter::Uuid(Some(message.invocation.0)),
                    HostParameter::Text(Some(key.component.as_str().to_owned())),
                    HostParameter::Text(Some(key.function.clone())),
                    HostParameter::Text(Some(key.id.clone())),
                    HostParameter::Bytes(Some(promise_key.to_vec())),
                    HostParameter::Uuid(Some(workflow_promise(promise_key, OUTPUT_PROMISE).0)),
                    HostParameter::BigInt(bigint(*retention_ms)),
                ],
            ))
        }));
        statements.extend(append.promises.iter().map(|promise| {
            let invocation = HostParameter::Uuid(Some(append.invocation.0));
            self.statement(CREATE_PROMISE, [invocation, HostParameter::Uuid(Some(promise.0))])
        }));
        statements.extend(append.completions.iter().map(|completion| {
            let promise = HostParameter::Uuid(Some(completion.promise.0));
            let value = HostParameter::Bytes(Some(completion.value.clone()));
            self.statement(COMPLETE_PROMISE, [promise, value])
        }));
        statements.extend(append.key_values.iter().map(|write| {
            let pair = [&write.store, &write.key].map(|text| HostParameter::Text(Some(text.clone())));
            let [store, key] = pair;
            match &write.value {
                Some(value) => {
                    let value = HostParameter::Bytes(Some(value.clone()));
                    self.statement(SET_KEY_VALUE, [store, key, value])
                }
                None => self.statement(DELETE_KEY_VALUE, [store, key]),
            }
        }));
        if append.releases_all || !append.releases.is_empty() {
            let invocation = HostParameter::Uuid(Some(append.invocation.0));
            let keys = HostParameter::UuidArray(append.releases.iter().map(|key| key.0).collect());
            let all = HostParameter::Boolean(append.releases_all);
            statements.push(self.statement(GIVE_UP_PLACES, [invocation, keys, all]));
        }
        statements.extend(append.acquires.iter().map(|key| {
            let invocation = HostParameter::Uuid(Some(append.invocation.0));
            let id = HostParameter::Uuid(Some(key.id.0));
            let component = HostParameter::Text(Some(key.component.as_str().to_owned()));
            let function = HostParameter::Text(Some(key.function.clone()));
            self.statement(TAKE_PLACE, [invocation, id, component, function])
        }));
        if let Some(suspension) = &append.suspension {
            statements.extend(self.suspend_statements(append.invocation, suspension));
        }
        // Last, since others that publish under the same keys wait from here until the commit; and in one order, so that no two wait for
        // each other.
        let mut publications: Vec<_> = append.publications.iter().collect();
        publications.sort_by(|left, right| left.key.cmp(&right.key));
        statements.extend(publications.into_iter().map(|publication| {
            self.statement(
                PUBLISH,
                [
                    HostParameter::Uuid(Some(append.invocation.0)),
                    HostParameter::Uuid(Some(publication.event.0)),
                    HostParameter::Text(Some(publication.topic.clone())),
                    HostParameter::Text(Some(publication.key.clone())),
                    HostParameter::Text(Some(publication.content_type.clone())),
                    HostParameter::Bytes(Some(publication.payload.clone())),
                    HostParameter::Text(Some(publication.component.as_str().to_owned())),
                    HostParameter::BigInt(bigint(publication.published_ms)),
                    HostParameter::BigInt(bigint(publication.expires_ms)),
                    HostParameter::Text(Some(publication.trace_parent.clone())),
                ],
            )
        }));
        statements
    }

    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(async move {
            let inner = &self.inner;
            let begun_ns = inner.clock.boot_ns();
            // A completion, a write to a store or a publication may have to wait for another's transaction, and one that loses takes its
            // batch with it.
            let alone = !append.promises.is_empty()
                || !append.completions.is_empty()
                || !append.key_values.is_empty()
                || !append.publications.is_empty()
                || append.suspension.is_some()
                || append.messages.iter().any(|message| message.workflow.is_some())
                || append.releases_all
                || !append.releases.is_empty()
                || !append.acquires.is_empty();
            let (path, outcome) = match alone {
                true => ("alone", self.append_alone(append).await),
                false => match inner.writer.append(append).await {
                    Ok(()) => ("group", Ok(())),
                    Err(Unwritten::Failed(error)) => ("group", Err(error)),
                    Err(Unwritten::Waits(append)) => ("alone", self.append_alone(*append).await),
                },
            };
            let duration_ns = inner.clock.boot_ns().saturating_sub(begun_ns);
            inner.metrics.appended(path, duration_ns, &outcome);
            outcome
        })
    }

    fn append_lazily(&self, append: Append) {
        self.inner.writer.append_lazily(append);
    }
}

impl Store {
    /// How many lazy appends were dropped because the writers could not keep up. Their invocations run again to their output.
    pub fn lazy_appends_dropped(&self) -> u64 {
        self.inner.writer.dropped()
    }

    /// Appends that are accepted and not yet written.
    pub fn unwritten(&self) -> usize {
        self.inner.writer.open()
    }

    /// Has what is accepted by now written without delay, also what nobody waits for: for one who waits until all is at rest.
    pub fn write_at_once(&self) {
        self.inner.writer.hurry();
    }
}
