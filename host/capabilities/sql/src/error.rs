//! What a failure means: something the guest is told and the journal keeps, or something that ends the attempt.

use host_bindings::nexus::sql::sql;
use host_types::Fault;
use tokio_postgres::error::{DbError, SqlState};

/// Why no session could be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All of the budget is in use.
    #[error("no database connection came free within {waited_ms} ms")]
    Overloaded {
        /// How long was waited, milliseconds.
        waited_ms: u128,
    },
    /// The server refused the session or is not there.
    #[error("connect to the database as {role}: {reason}")]
    Connect {
        /// As whom.
        role: String,
        /// What the server or the system said.
        reason: String,
        /// The server is away or full: it may let the role in a little later. Otherwise somebody has to change something.
        is_passing: bool,
    },
}

impl Error {
    /// Whether waiting may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Overloaded { .. } => true,
            Self::Connect { is_passing, .. } => *is_passing,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Overloaded { .. } => Self::Overloaded(error.to_string()),
            Error::Connect { .. } => Self::Transient(error.to_string()),
        }
    }
}

/// How a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A result like any other: the guest is told, and it is recorded.
    Refused(sql::Error),
    /// Serialization failure or deadlock: the whole transaction again.
    Repeat(String),
    /// The session or the server is gone, or has no means to work now.
    Lost(String),
    /// The prepared statement outlived a change of its tables.
    Stale,
    /// More rows than an entry can hold.
    TooLarge(String),
}

/// The value for a statement the host itself refuses.
pub(crate) fn not_supported(message: String) -> sql::Error {
    sql::Error::Other(sql::DatabaseError {
        code: SqlState::FEATURE_NOT_SUPPORTED.code().to_owned(),
        message,
    })
}

/// The value for a statement the host does not pass on because of its length.
pub(crate) fn too_long(message: String) -> sql::Error {
    sql::Error::Other(sql::DatabaseError {
        code: SqlState::PROGRAM_LIMIT_EXCEEDED.code().to_owned(),
        message,
    })
}

/// What a failure of the driver means before COMMIT was sent.
pub(crate) fn classify(error: &tokio_postgres::Error) -> Failure {
    let Some(db) = error.as_db_error() else {
        return Failure::Lost(describe(error));
    };
    let code = db.code();
    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
        return Failure::Repeat(describe(error));
    }
    // Recognised by routine: the message is translated by the server.
    let replanned = *code == SqlState::FEATURE_NOT_SUPPORTED && db.routine() == Some("RevalidateCachedQuery");
    if replanned || *code == SqlState::INVALID_SQL_STATEMENT_NAME {
        return Failure::Stale;
    }
    // The server's state, not the statement's doing. Recorded, it would fail for ever.
    match is_passing(error) {
        true => Failure::Lost(describe(error)),
        false => Failure::Refused(refused(db)),
    }
}

/// Whether it is about connection, resources, operator or system, and so may have passed the next time.
pub(crate) fn is_passing(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(db) => matches!(db.code().code().get(..2), Some("08" | "53" | "57" | "58")),
        None => {
            error.is_closed() || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
        }
    }
}

/// The guest's view of an error of the server.
pub(crate) fn refused(error: &DbError) -> sql::Error {
    let violation = || sql::Violation {
        // A violated NOT NULL has a column and, before PostgreSQL 18, no constraint.
        constraint: error.constraint().or(error.column()).unwrap_or_default().to_owned(),
        table: error.table().unwrap_or_default().to_owned(),
        message: error.message().to_owned(),
    };
    let code = error.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        sql::Error::UniqueViolation(violation())
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION {
        sql::Error::ForeignKeyViolation(violation())
    } else if *code == SqlState::CHECK_VIOLATION {
        sql::Error::CheckViolation(violation())
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        sql::Error::NotNullViolation(violation())
    } else {
        let (code, message) = (code.code().to_owned(), error.message().to_owned());
        sql::Error::Other(sql::DatabaseError { code, message })
    }
}

/// The whole chain in one line: the driver's own text is only "db error".
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
