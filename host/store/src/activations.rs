//! Which revision stands in for which file, and how far each node has followed.

use host_types::{ComponentId, DeploymentNumber, Digest, NodeId};
use uuid::Uuid;

use crate::{Result, Store};

/// The first host migration whose programs follow activations.
const FOLLOWS_FROM: i32 = 90;

/// What a node runs that was started with certain files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The newest activation of all; 0 before the first.
    pub sequence: i64,
    /// Who answers for each component, in the order in which the files were named.
    pub components: Vec<(ComponentId, Digest)>,
}

/// What was put in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// Which activation.
    pub sequence: i64,
    /// The revision.
    pub revision: Digest,
    /// When, by the database's clock, milliseconds since 1970-01-01 UTC.
    pub activated_ms: i64,
}

/// An operator's word that puts a revision in the place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentWord {
    /// Who said it.
    pub operator: String,
    /// `activate` or `rollback`.
    pub verb: &'static str,
    /// Of which component.
    pub component: ComponentId,
    /// The file that it stands in for.
    pub replaces: Digest,
    /// What is active from then on.
    pub revision: Digest,
    /// What a rollback of this goes back to; none: the file.
    pub below: Option<i64>,
    /// Why; may be empty.
    pub reason: String,
    /// What it came to.
    pub outcome: String,
}

/// Whether a revision is one of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is, or was.
    Yes,
    /// Only of these.
    OfOthers(Vec<ComponentId>),
    /// Of none.
    No,
}

/// A live node that does not run yet what was activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The node.
    pub node: NodeId,
    /// Of its data directory.
    pub name: String,
    /// What it says about it.
    pub reason: Option<String>,
}

impl Store {
    /// What a node runs that was started with these files.
    pub async fn active(&self, files: &[(ComponentId, Digest)]) -> Result<Active> {
        let (components, digests) = columns(files);
        // In one snapshot: the sequence is that of the set.
        let rows: Vec<(String, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT file.component, coalesce(newest.revision, file.digest), (SELECT coalesce(max(sequence), 0) FROM host.activation)
             FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS file (component, digest, place)
                 LEFT JOIN LATERAL (SELECT revision FROM host.activation
                     WHERE component = file.component AND replaces = file.digest ORDER BY sequence DESC LIMIT 1) AS newest ON true
             ORDER BY place",
        )
        .bind(components)
        .bind(digests)
        .fetch_all(self.pool())
        .await?;
        let sequence = rows.first().map_or(0, |(_, _, sequence)| *sequence);
        let component = |(component, revision, _): (String, Vec<u8>, i64)| Ok((component.into(), digest(revision)?));
        Ok(Active {
            sequence,
            components: rows.into_iter().map(component).collect::<Result<_>>()?,
        })
    }

    /// What stands in for a file, and below it what rollbacks go back to, one after the other. Empty: the file itself was never replaced.
    pub async fn activations(&self, component: &ComponentId, replaces: Digest, limit: u32) -> Result<Vec<Activation>> {
        let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(
            "WITH RECURSIVE standing AS (
                 (SELECT sequence, revision, activated_at, below, 1 AS depth FROM host.activation
                  WHERE component = $1 AND replaces = $2 ORDER BY sequence DESC LIMIT 1)
                 UNION ALL
                 SELECT activation.sequence, activation.revision, activation.activated_at, activation.below, depth + 1
                 FROM standing JOIN host.activation ON activation.sequence = standing.below WHERE depth < $3
             ) SELECT sequence, revision, (extract(epoch FROM activated_at) * 1000)::bigint FROM standing ORDER BY depth",
        )
        .bind(component.as_str())
        .bind(&replaces.0[..])
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_all(self.pool())
        .await?;
        let activation = |(sequence, revision, activated_ms)| {
            Ok(Activation {
                sequence,
                revision: digest(revision)?,
                activated_ms,
            })
        };
        rows.into_iter().map(activation).collect()
    }

    /// Puts a revision in the place of a file, in one commit with what the audit log says of it. `after` is the sequence on whose
    /// set it was checked; `None`: something else was activated since, look again.
    pub async fn activate(&self, word: &ComponentWord, after: i64) -> Result<Option<i64>> {
        let sequence = sqlx::query_scalar("SELECT host.activate($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(after)
            .bind(word.component.as_str())
            .bind(&word.replaces.0[..])
            .bind(&word.revision.0[..])
            .bind(word.below)
            .bind(&word.operator)
            .bind(word.verb)
            .bind(&word.reason)
            .bind(&word.outcome)
            .fetch_one(self.pool())
            .await?;
        Ok(sequence)
    }

    /// Says, before this node serves anything, up to where it has followed and what that comes to. `false`: something was activated meanwhile, and it has to
    /// follow that first. Whoever waits for all nodes need not wait for one that has not said this yet.
    pub async fn acknowledge_first(&self, sequence: i64, deployment: DeploymentNumber) -> Result<bool> {
        let said = sqlx::query_scalar("SELECT host.acknowledge_first($1, $2, $3)")
            .bind(self.node().0)
            .bind(sequence)
            .bind(deployment.0)
            .fetch_one(self.pool())
            .await?;
        Ok(said)
    }

    /// Says that new invocations of this node run on what was activated up to here.
    pub async fn acknowledge(&self, sequence: i64, deployment: DeploymentNumber) -> Result<()> {
        sqlx::query("UPDATE host.node SET activation = $2, deployment = $3, activation_error = NULL WHERE id = $1")
            .bind(self.node().0)
            .bind(sequence)
            .bind(deployment.0)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Says why this node cannot go on to what was activated.
    pub async fn cannot_activate(&self, reason: &str) -> Result<()> {
        sqlx::query("UPDATE host.node SET activation_error = $2 WHERE id = $1")
            .bind(self.node().0)
            .bind(reason)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The live nodes that have not acknowledged what was activated up to here.
    pub async fn behind(&self, sequence: i64) -> Result<Vec<Behind>> {
        let rows: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(
            "SELECT id, name, CASE WHEN coalesce(knows, 0) < $2 THEN 'its program is older, and follows no activation'
                 ELSE activation_error END
             FROM host.node
             WHERE gone_at IS NULL AND host.holds_lease(node)
                 AND CASE WHEN coalesce(knows, 0) < $2 THEN true ELSE activation < $1 END
             ORDER BY name",
        )
        .bind(sequence)
        .bind(FOLLOWS_FROM)
        .fetch_all(self.pool())
        .await?;
        let behind = |(id, name, reason)| Behind {
            node: NodeId(id),
            name,
            reason,
        };
        Ok(rows.into_iter().map(behind).collect())
    }

    /// Live nodes whose program is of before activations: it would take an invocation for pinned to what it began with, whatever its
    /// row says.
    pub async fn older_nodes(&self) -> Result<Vec<String>> {
        let names = sqlx::query_scalar(
            "SELECT name FROM host.node WHERE gone_at IS NULL AND host.holds_lease(node) AND coalesce(knows, 0) < $1 ORDER BY name",
        )
        .bind(FOLLOWS_FROM)
        .fetch_all(self.pool())
        .await?;
        Ok(names)
    }

    /// Whether a revision is one of a component.
    pub async fn known_revision(&self, component: &ComponentId, revision: Digest) -> Result<Known> {
        let of: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT component FROM host.deployment_component WHERE revision = $1 ORDER BY component",
        )
        .bind(&revision.0[..])
        .fetch_all(self.pool())
        .await?;
        Ok(match of.iter().any(|known| known == component.as_str()) {
            true => Known::Yes,
            false if of.is_empty() => Known::No,
            false => Known::OfOthers(of.into_iter().map(ComponentId::from).collect()),
        })
    }
}

pub(crate) fn columns(components: &[(ComponentId, Digest)]) -> (Vec<&str>, Vec<&[u8]>) {
    let rows = components.iter();
    rows.map(|(component, digest)| (component.as_str(), &digest.0[..]))
        .unzip()
}

pub(crate) fn digest(bytes: Vec<u8>) -> Result<Digest> {
    let bytes = bytes.try_into().map_err(|_| crate::Error::Row("revision".into()))?;
    Ok(Digest(bytes))
}
