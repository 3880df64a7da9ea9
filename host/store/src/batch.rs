//! Appends as the arrays that `host.append_batch` takes.

use host_journal::{Append, InvocationStatus, Start};
use host_types::InvocationId;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::NodeIdentity;
use crate::idempotency::key_parameter;
use crate::journal::{bigint, integer};

const APPEND_BATCH: &str = "SELECT lost, key_taken FROM host.append_batch(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, \
    $26, $27, $28, $29, $30)";

/// An append that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) invocation: InvocationId,
    /// Because of its key; otherwise because of its first index, or its id.
    pub(crate) key_taken: bool,
}

/// Entries that follow each other: the first of each invocation, which is its fence, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Entries<'a> {
    pub(crate) invocations: Vec<Uuid>,
    pub(crate) first_indexes: Vec<i32>,
    pub(crate) first_bodies: Vec<&'a [u8]>,
    pub(crate) rest_invocations: Vec<Uuid>,
    pub(crate) rest_indexes: Vec<i32>,
    pub(crate) rest_bodies: Vec<&'a [u8]>,
}

impl<'a> Entries<'a> {
    /// `bodies` is not empty: something without entries has no fence.
    pub(crate) fn push(&mut self, invocation: Uuid, first_index: u32, bodies: &'a [Vec<u8>]) {
        let (first, rest) = bodies
            .split_first()
            .unwrap_or_else(|| unreachable!("an append has at least one entry"));
        self.invocations.push(invocation);
        self.first_indexes.push(integer(first_index));
        self.first_bodies.push(first);
        for (index, body) in (first_index + 1..).zip(rest) {
            self.rest_invocations.push(invocation);
            self.rest_indexes.push(integer(index));
            self.rest_bodies.push(body);
        }
    }
}

/// Rows of invocations to come.
#[derive(Debug, Default)]
pub(crate) struct Starts<'a> {
    pub(crate) invocations: Vec<Uuid>,
    pub(crate) components: Vec<&'a str>,
    pub(crate) functions: Vec<&'a str>,
    pub(crate) deployments: Vec<i64>,
    pub(crate) salts: Vec<Option<&'a [u8]>>,
    pub(crate) parents: Vec<Option<Uuid>>,
}

impl<'a> Starts<'a> {
    pub(crate) fn push(&mut self, invocation: Uuid, start: &'a Start) {
        self.invocations.push(invocation);
        self.components.push(start.component.as_str());
        self.functions.push(&start.function);
        self.deployments.push(start.deployment.0);
        self.salts.push(start.erasure_salt.as_ref().map(|salt| &salt[..]));
        self.parents.push(start.parent.map(|parent| parent.0));
    }
}

/// Writes the appends, at most one per invocation, in one commit. Returns those that were left out.
pub(crate) async fn write(
    connection: &mut PgConnection,
    node: &NodeIdentity,
    durable: bool,
    appends: &[&Append],
) -> Result<Vec<Lost>, sqlx::Error> {
    let (mut entries, mut starts, mut messages) = (Entries::default(), Starts::default(), Starts::default());
    let (mut statuses, mut start_statuses) = (Vec::new(), Vec::new());
    let (mut claimers, mut keys, mut fingerprints, mut expiries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut senders, mut message_bodies, mut dues) = (Vec::new(), Vec::new(), Vec::new());
    for append in appends {
        let id = append.invocation.0;
        entries.push(id, append.first_index, &append.bodies);
        if let Some(start) = &append.start {
            starts.push(id, start);
            start_statuses.push(append.status.unwrap_or(InvocationStatus::Running).as_str());
            statuses.push(None);
        } else {
            statuses.push(append.status.map(InvocationStatus::as_str));
        }
        if let Some(claim) = &append.claim {
            claimers.push(id);
            keys.push(key_parameter(claim));
            fingerprints.push(&claim.fingerprint[..]);
            expiries.push(bigint(claim.expires_ms));
        }
        for message in &append.messages {
            senders.push(id);
            messages.push(message.invocation.0, &message.start);
            message_bodies.push(&message.started[..]);
            dues.push(bigint(message.due_ms));
        }
    }
    let lost: Vec<(Uuid, bool)> = sqlx::query_as(APPEND_BATCH)
        .bind(node.id.0)
        .bind(&node.token[..])
        .bind(durable)
        .bind(entries.invocations)
        .bind(entries.first_indexes)
        .bind(entries.first_bodies)
        .bind(statuses)
        .bind(entries.rest_invocations)
        .bind(entries.rest_indexes)
        .bind(entries.rest_bodies)
        .bind(starts.invocations)
        .bind(starts.components)
        .bind(starts.functions)
        .bind(starts.deployments)
        .bind(starts.salts)
        .bind(starts.parents)
        .bind(start_statuses)
        .bind(claimers)
        .bind(keys)
        .bind(fingerprints)
        .bind(expiries)
        .bind(senders)
        .bind(messages.invocations)
        .bind(message_bodies)
        .bind(messages.components)
        .bind(messages.functions)
        .bind(messages.deployments)
        .bind(messages.salts)
        .bind(messages.parents)
        .bind(dues)
        .fetch_all(connection)
        .await?;
    let lost = lost.into_iter().map(|(id, key_taken)| Lost {
        invocation: InvocationId(id),
        key_taken,
    });
    Ok(lost.collect())
}
