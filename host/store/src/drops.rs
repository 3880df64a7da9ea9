//! What a migration takes away, and who may still use it (durability.md 9.2).
//!
//! A schema is looked at before and after a file, in the file's own transaction. The name of whatever is gone is then looked for in the
//! bytes of each revision that an open invocation is pinned to or that a live node runs. Statements are literals there, those too that no
//! invocation has come to yet, a compensation for instance: a memory of what was run would miss them. A name may stand there
//! for something else; then a file is refused that could have run, and [`MigrateOptions::force`] applies it.

use std::collections::BTreeMap;
use std::fmt;

use host_types::ComponentId;
use memchr::memmem;
use sqlx::PgConnection;

use crate::activations::digest;
use crate::{Error, Result};

/// Under which conditions the files of a module are applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct MigrateOptions<'a> {
    /// Under which name this process registers. Earlier nodes of the name are dead, and use nothing.
    pub node_name: &'a str,
    /// Components that have another schema or none. All others may use this one, those too that the application has no more.
    pub others: &'a [ComponentId],
    /// Applies a file, although what it takes away may still be used.
    pub force: bool,
}

/// How many of each an error tells.
const TOLD: usize = 5;

/// Something that a schema has, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: Kind,
    /// The relation or the type it belongs to; of a function, what it takes.
    of: String,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Relation,
    Column,
    Function,
    Type,
    Label,
    Constraint,
    /// What `ON CONFLICT` refers to by columns.
    Unique,
}

/// What else is to be known of a object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    /// A column's type, a function's result.
    definition: String,
    /// A row cannot be inserted without it.
    is_required: bool,
}

/// A schema at one moment.
pub(crate) struct Shape(BTreeMap<Object, Detail>);

/// What whoever knows the schema as it was finds no more as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removal {
    /// In words.
    told: String,
    /// In lower case. Whoever has all of them among its bytes may use it.
    words: Vec<String>,
}

/// A revision that is in use.
struct Pinned {
    component: String,
    revision: Vec<u8>,
    /// Open invocations that are pinned to it.
    open: i64,
    /// Live nodes that begin invocations on it.
    nodes: Vec<String>,
}

impl Shape {
    /// As this session sees it now.
    pub(crate) async fn read(session: &mut PgConnection, schema: &str) -> Result<Self> {
        let rows: Vec<(String, String, String, String, bool)> =
            sqlx::query_as(SHAPE).bind(schema).fetch_all(session).await?;
        let object = |(kind, of, name, definition, is_required): (String, String, String, String, bool)| {
            let kind = Kind::parse(&kind).ok_or_else(|| Error::Row(format!("kind {kind}")))?;
            Ok((
                Object { kind, of, name },
                Detail {
                    definition,
                    is_required,
                },
            ))
        };
        rows.into_iter().map(object).collect::<Result<_>>().map(Self)
    }

    /// What was taken away between this one and `later`.
    pub(crate) fn removed_until(&self, later: &Self) -> Vec<Removal> {
        let gone = self.0.iter().filter_map(|(object, was)| match later.0.get(object) {
            // What belonged to something that is gone as a whole is not told besides.
            None if object.owner().is_some_and(|owner| !later.0.contains_key(&owner)) => None,
            None => Some(object.removal(format!("drops {object}"))),
            Some(is) if is.definition != was.definition => Some(object.removal(format!(
                "makes {object} a {} (it was a {})",
                is.definition, was.definition
            ))),
            Some(_) => None,
        });
        let required = later.0.iter().filter(|(object, is)| {
            let was_required = self.0.get(object).is_some_and(|was| was.is_required);
            let owner_was_there = object.owner().is_some_and(|owner| self.0.contains_key(&owner));
            is.is_required && !was_required && owner_was_there
        });
        let required = required.map(|(object, _)| Removal {
            told: format!("lets no row be inserted without {object}"),
            words: words([object.of.as_str(), "insert"]),
        });
        gone.chain(required).collect()
    }
}

impl Object {
    /// What it is a part of.
    fn owner(&self) -> Option<Self> {
        let kind = match self.kind {
            Kind::Column | Kind::Constraint | Kind::Unique => Kind::Relation,
            Kind::Label => Kind::Type,
            Kind::Relation | Kind::Function | Kind::Type => return None,
        };
        Some(Self {
            kind,
            of: String::new(),
            name: self.of.clone(),
        })
    }

    fn removal(&self, told: String) -> Removal {
        let words = match self.kind {
            Kind::Column => words([self.of.as_str(), &self.name]),
            Kind::Unique => words([self.of.as_str(), "on conflict"]),
            _ => words([self.name.as_str()]),
        };
        Removal { told, words }
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.iter().map(|word| word.to_lowercase()).collect()
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, of, name } = self;
        match kind {
            Kind::Relation => write!(f, "the relation {name}"),
            Kind::Column => write!(f, "the column {of}.{name}"),
            Kind::Function => write!(f, "the function {name}({of})"),
            Kind::Type => write!(f, "the type {name}"),
            Kind::Label => write!(f, "the value '{name}' of {of}"),
            Kind::Constraint => write!(f, "the constraint {name} of {of}"),
            Kind::Unique => write!(f, "the uniqueness of {of} ({name})"),
        }
    }
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "relation" => Self::Relation,
            "column" => Self::Column,
            "function" => Self::Function,
            "type" => Self::Type,
            "label" => Self::Label,
            "constraint" => Self::Constraint,
            "unique" => Self::Unique,
            _ => return None,
        })
    }
}

/// Whether there is anybody who could use something. For a session that may read the host's schema.
pub(crate) async fn is_in_use(session: &mut PgConnection, options: &MigrateOptions<'_>) -> Result<bool> {
    Ok(!undeclared_nodes(session, options).await?.is_empty() || !pinned(session, options).await?.is_empty())
}

/// What somebody may still use of what is gone, one line each; empty: nothing. For a session that may read the host's schema.
pub(crate) async fn uses(
    session: &mut PgConnection,
    removals: &[Removal],
    options: &MigrateOptions<'_>,
) -> Result<Vec<String>> {
    let mut uses = Vec::new();
    for node in undeclared_nodes(session, options).await? {
        uses.push(format!(
            "{node} does not say yet what it runs: it starts, or its program is older"
        ));
    }
    for pinned in pinned(session, options).await? {
        let mut bytes: Vec<u8> = sqlx::query_scalar("SELECT wasm FROM host.revision WHERE digest = $1")
            .bind(&pinned.revision)
            .fetch_one(&mut *session)
            .await?;
        bytes.make_ascii_lowercase();
        let used = removals.iter().filter(|removal| removal.is_used_in(&bytes));
        let used: Vec<&str> = used.map(|removal| removal.told.as_str()).collect();
        if !used.is_empty() {
            uses.push(format!("it {}, which {}", told(&used, ", "), pinned.may_use_it()?));
        }
    }
    Ok(uses)
}

/// The first of them, and how many there are besides.
fn told<T: AsRef<str>>(all: &[T], between: &str) -> String {
    let first: Vec<&str> = all.iter().take(TOLD).map(AsRef::as_ref).collect();
    let first = first.join(between);
    match all.len().saturating_sub(TOLD) {
        0 => first,
        more => format!("{first}{between}and {more} more"),
    }
}

impl Removal {
    fn is_used_in(&self, lower_case: &[u8]) -> bool {
        let found = |word: &String| memmem::find(lower_case, word.as_bytes()).is_some();
        self.words.iter().all(found)
    }
}

impl Pinned {
    fn may_use_it(&self) -> Result<String> {
        let invocations = match self.open {
            0 => None,
            1 => Some("1 open invocation is pinned to it".to_owned()),
            open => Some(format!("{open} open invocations are pinned to it")),
        };
        let nodes = (!self.nodes.is_empty()).then(|| format!("run by {}", told(&self.nodes, ", ")));
        let users: Vec<String> = invocations.into_iter().chain(nodes).collect();
        let revision = digest(self.revision.clone())?;
        Ok(format!(
            "revision {revision} of {} may use ({})",
            self.component,
            users.join("; ")
        ))
    }
}

/// Live nodes of which nobody knows what they begin invocations on.
async fn undeclared_nodes(session: &mut PgConnection, options: &MigrateOptions<'_>) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(
        "SELECT name FROM host.node WHERE deployment IS NULL AND gone_at IS NULL AND name <> $1
             AND heartbeat_at >= clock_timestamp() - lease_ms * interval '1 millisecond' ORDER BY name",
    )
    .bind(options.node_name)
    .fetch_all(session)
    .await?;
    Ok(names)
}

async fn pinned(session: &mut PgConnection, options: &MigrateOptions<'_>) -> Result<Vec<Pinned>> {
    let others: Vec<&str> = options.others.iter().map(ComponentId::as_str).collect();
    let rows: Vec<(String, Vec<u8>, i64, Vec<String>)> = sqlx::query_as(
        "WITH pin AS (
             SELECT deployment, count(*) AS open, NULL AS node FROM host.invocation
             WHERE status IN ('running', 'suspended', 'paused') GROUP BY deployment
             UNION ALL
             SELECT deployment, 0, name FROM host.node WHERE gone_at IS NULL AND name <> $1
                 AND heartbeat_at >= clock_timestamp() - lease_ms * interval '1 millisecond'
         )
         SELECT component, revision, sum(open)::bigint,
             coalesce(array_agg(node ORDER BY node) FILTER (WHERE node IS NOT NULL), '{}')
         FROM pin JOIN host.deployment_component USING (deployment)
         WHERE component <> ALL ($2) GROUP BY component, revision ORDER BY component, revision",
    )
    .bind(options.node_name)
    .bind(others)
    .fetch_all(session)
    .await?;
    let pinned = |(component, revision, open, nodes)| Pinned {
        component,
        revision,
        open,
        nodes,
    };
    Ok(rows.into_iter().map(pinned).collect())
}

/// Whether a file that runs outside of a transaction takes nothing away: what it did could not be undone once it is seen.
pub(crate) fn is_harmless(file: &str) -> bool {
    let lines = file.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    let text = lines.collect::<Vec<_>>().join(" ").to_uppercase();
    let statement = text.trim().trim_end_matches(';');
    let begins = ["CREATE INDEX ", "CREATE UNIQUE INDEX ", "REINDEX ", "VACUUM", "ANALYZE"];
    !statement.contains(';') && begins.iter().any(|begin| statement.starts_with(begin))
}

/// The table of migrations is left out: it is the host's.
const SHAPE: &str = "
    WITH relation AS (
        SELECT oid, relname::text AS name, relkind FROM pg_class
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
            AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relname <> '_sqlx_migrations'
    ), type AS (
        SELECT pg_type.oid, typname::text AS name FROM pg_type LEFT JOIN pg_class ON pg_class.oid = typrelid
        WHERE typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
            AND (typtype IN ('e', 'd', 'r') OR typtype = 'c' AND pg_class.relkind = 'c')
    )
    SELECT 'relation', '', name, '', false FROM relation
    UNION ALL
    SELECT 'column', relation.name, attname, format_type(atttypid, atttypmod),
        attnotnull AND NOT atthasdef AND attidentity = '' AND relkind IN ('r', 'p')
        FROM relation JOIN pg_attribute ON attrelid = relation.oid WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'S'
    UNION ALL
    SELECT 'function', pg_get_function_identity_arguments(oid), proname, coalesce(pg_get_function_result(oid), ''), false FROM pg_proc
        WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    UNION ALL
    SELECT 'type', '', name, '', false FROM type
    UNION ALL
    SELECT 'label', type.name, enumlabel, '', false FROM type JOIN pg_enum ON enumtypid = type.oid
    UNION ALL
    SELECT 'constraint', relation.name, conname, '', false FROM relation JOIN pg_constraint ON conrelid = relation.oid
        WHERE contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT DISTINCT 'unique', relation.name,
        (SELECT string_agg(pg_get_indexdef(indexrelid, part, true), ', ' ORDER BY part) FROM generate_series(1, indnkeyatts) AS part)
            || coalesce(' WHERE ' || pg_get_expr(indpred, indrelid), ''), '', false
        FROM relation JOIN pg_index ON indrelid = relation.oid WHERE indisunique AND indisvalid";
