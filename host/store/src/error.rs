//! What goes wrong in the database, by what the caller does about it.

use std::path::PathBuf;

use host_journal::{AppendError, DecodeError, SealError};
use host_types::NodeId;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// SQLSTATE of a write under an unknown node or a wrong token.
pub const SQLSTATE_WRONG_TOKEN: &str = "NX001";
/// SQLSTATE of a write of a node that was declared gone.
pub const SQLSTATE_NODE_GONE: &str = "NX002";
/// SQLSTATE of a batch that was not written and must be tried one by one. Of one alone it says that it is fenced.
const SQLSTATE_ONE_BY_ONE: &str = "NX004";

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed or cannot be made. Another try may succeed; whether a write happened is unknown.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// All connections are in use.
    #[error("no database connection came free in time")]
    Busy,
    /// A start waited long enough.
    #[error(
        "the database gave no session within {waited_s} s: the server or this machine is overloaded, or all its connections \
         are in use"
    )]
    Overloaded {
        /// How long was waited, seconds.
        waited_s: u64,
    },
    /// One node more than the server has connections for.
    #[error(
        "this node would need {connections} connections beside the {taken} of {others} others, and the server allows {allowed}: raise \
         its max_connections, or stop a node"
    )]
    TooManyNodes {
        /// Other live nodes.
        others: u32,
        /// What they may open together.
        taken: u32,
        /// What this one may open.
        connections: u32,
        /// What the server, or the limit of the database, leaves to all of them.
        allowed: u32,
    },
    /// The database answered with an error.
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
    /// The URL is none.
    #[error("the database URL is not valid")]
    Url(#[source] sqlx::Error),
    /// The server lacks what this needs.
    #[error("PostgreSQL {found} is too old: version 15 or later is needed")]
    ServerTooOld {
        /// Its version.
        found: String,
    },
    /// [`crate::Store::migrate_host`] was not called.
    #[error("the schema of the host is not there yet: migrate first")]
    NotMigrated,
    /// Data in the database was sealed under another master key.
    #[error("data key {id} cannot be opened with this master key: it is another database's, or was replaced")]
    MasterKey {
        /// The data key.
        id: i32,
    },
    /// The master key is none of this database's, or not any more.
    #[error(
        "this master key is not one of this database's: it was replaced (`nexus keys rotate-master`; start with the new one), or is another \
         database's"
    )]
    WrongMasterKey,
    /// One rotation at a time.
    #[error(
        "the master key is being replaced already: restart every node with the new one; the rotation ends by itself after the last"
    )]
    RotationUnderWay,
    /// A file that was applied has been edited since.
    #[error("{} was changed after it was applied: restore it, and make the change in a new file", file.display())]
    MigrationChanged {
        /// The file.
        file: PathBuf,
    },
    /// A migration that was applied is not here: the database is newer than this program.
    #[error("the schema {schema:?} has migration {version}, of which there is no file: the database is newer")]
    MigrationMissing {
        /// The schema.
        schema: String,
        /// The number of the migration.
        version: i64,
    },
    /// The host's schema is for programs that know more than this one.
    #[error(
        "this program knows the host's schema up to migration {known}, and the database is for programs that know it from {from} \
         on: start a newer version of nexus here"
    )]
    SchemaTooNew {
        /// The newest migration this program has.
        known: i32,
        /// The newest migration a program must have.
        from: i32,
    },
    /// A migration takes away what a live node needs.
    #[error("{0}")]
    OldNodes(String),
    /// A migration of a module takes away what somebody may still use.
    #[error(
        "the migration {} was not applied: {}.\nWait until those invocations have ended, or cancel them; or give the nodes a revision without these \
         names (`nexus deploy`) and move the invocations to it (`nexus invocations move`). Where the names mean something else there: \
         `nexus migrate --force`", file.display(), uses.join("; ")
    )]
    MigrationDropsUsed {
        /// The file.
        file: PathBuf,
        /// What is gone, and who uses it.
        uses: Vec<String>,
    },
    /// A migration that cannot be taken back once it is seen what it does.
    #[error(
        "the migration {} runs outside of a transaction, so it may be one statement that takes nothing away: CREATE INDEX, REINDEX, VACUUM or \
         ANALYZE. Put whatever else it does into a file with a transaction",
        file.display()
    )]
    MigrationOutsideTransaction {
        /// The file.
        file: PathBuf,
    },
    /// A migration did not run.
    #[error("the migration {} failed", file.display())]
    MigrationFailed {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A folder of migrations cannot be read.
    #[error("the migrations in {} cannot be read", folder.display())]
    MigrationFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A name that cannot be a module's schema.
    #[error(
        "{0:?} cannot be a module's schema: lower-case letters, digits and underscores, and not one that is reserved"
    )]
    SchemaName(String),
    /// A role has the name of a module's role and is something else.
    #[error("the role {role:?} exists and does not belong to {belongs_to}")]
    RoleTaken {
        /// The role.
        role: String,
        /// What it should belong to.
        belongs_to: String,
    },
    /// This node, or the one asked about, was declared gone: its invocations belong to others.
    #[error("the node was declared gone")]
    NodeGone,
    /// Its invocations are not to be taken over.
    #[error("node {0} is alive")]
    NodeAlive(NodeId),
    /// A node's connections did not end in time.
    #[error("{remaining} connections of node {node} did not end")]
    BackendsRemain {
        /// The node.
        node: NodeId,
        /// How many.
        remaining: i64,
    },
    /// A deployment or a revision that does not exist.
    #[error("{0} is not registered")]
    NotRegistered(String),
    /// A workflow has as many promises as one may have.
    #[error(
        "the workflow {id:?} of {function} has {} promises with a name, as many as one may have: use fewer names",
        crate::MAX_NAMED_PROMISES
    )]
    TooManyPromises {
        /// The function.
        function: String,
        /// Its id.
        id: String,
    },
    /// Stored bytes are not what they should be.
    #[error("a stored entry cannot be read")]
    Decode(#[from] DecodeError),
    /// A stored value is not what it should be.
    #[error("a stored row cannot be read: {0}")]
    Row(String),
}

impl Error {
    /// Whether another try can end differently.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy | Self::BackendsRemain { .. })
    }

    /// Whether what is stored is not there or cannot be read: that stays so until somebody changes something.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::NotRegistered(_) | Self::Decode(_) | Self::Row(_))
    }

    /// Whether a payload was asked for that was made unreadable for good.
    pub fn is_erased(&self) -> bool {
        matches!(
            self,
            Self::Decode(DecodeError::Sealed {
                source: SealError::Erased,
                ..
            })
        )
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error),
            sqlx::Error::Database(answer) => match answer.code().as_deref() {
                Some(SQLSTATE_NODE_GONE) => Self::NodeGone,
                Some(code) if is_connection_loss(code) || code == TOO_MANY_CONNECTIONS => Self::Unreachable(error),
                // No such schema, table or function.
                Some("3F000" | "42P01" | "42883") => Self::NotMigrated,
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}

const TOO_MANY_CONNECTIONS: &str = "53300";
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Whether a lock was not given in time.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    const SQLSTATE_LOCK_NOT_AVAILABLE: &str = "55P03";
    let code = error.as_database_error().and_then(|answer| answer.code());
    code.is_some_and(|code| code == SQLSTATE_LOCK_NOT_AVAILABLE)
}

/// Whether the server is there and gives no session now.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    let sqlstate = error.as_database_error().and_then(|answer| answer.code());
    sqlstate.is_some_and(|sqlstate| sqlstate == TOO_MANY_CONNECTIONS || sqlstate == CANNOT_CONNECT_NOW)
}

/// Connection exceptions, shutdown, recovery, and the end of a backend: the last words of a connection, which may come after
/// a commit as well as before.
fn is_connection_loss(sqlstate: &str) -> bool {
    sqlstate.starts_with("08") || sqlstate.starts_with("57P")
}

/// The database refused: nothing was written, and the connection is as good as before.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlstate = error.as_database_error().and_then(|answer| answer.code());
    sqlstate.is_some_and(|sqlstate| !is_connection_loss(&sqlstate))
}

/// What an error of the database means for an append, for whoever runs the statements of [`host_journal::AppendJournal`].
/// `constraint` is the one that the error names.
pub fn append_error(sqlstate: &str, constraint: Option<&str>, message: &str) -> AppendError {
    const UNIQUE_VIOLATION: &str = "23505";
    match (sqlstate, constraint) {
        (UNIQUE_VIOLATION, Some("idempotency_key_pkey")) => AppendError::KeyTaken,
        (UNIQUE_VIOLATION, Some("invocation_pkey")) => AppendError::Fenced,
        // The partitions' indexes are named after them.
        (UNIQUE_VIOLATION, Some(name)) if name.starts_with("journal_entry_") => AppendError::Fenced,
        (SQLSTATE_NODE_GONE | SQLSTATE_ONE_BY_ONE, _) => AppendError::Fenced,
        _ if is_passing(sqlstate) => AppendError::Unknown(format!("{message} (SQLSTATE {sqlstate})")),
        _ => AppendError::Refused(format!("{message} (SQLSTATE {sqlstate})")),
    }
}

/// Another try can end differently without anybody's doing: the connection, a conflict with somebody else's transaction, the server's
/// resources, locks, an operator's or a time limit's end of a statement, the system below; and what the host's own functions say of a node.
fn is_passing(sqlstate: &str) -> bool {
    let classes = ["08", "40", "53", "55", "57", "58", "NX"];
    classes.iter().any(|class| sqlstate.starts_with(class))
}

/// The same from the driver's error. One that is no answer of the database leaves open whether the append happened.
pub(crate) fn append_error_from(error: &sqlx::Error) -> AppendError {
    match error.as_database_error() {
        Some(answer) => {
            let sqlstate = answer.code();
            append_error(
                sqlstate.as_deref().unwrap_or_default(),
                answer.constraint(),
                answer.message(),
            )
        }
        None => AppendError::Unknown(error.to_string()),
    }
}
