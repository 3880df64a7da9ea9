//! Why a statement failed.

use crate::bindings::nexus::sql::sql;

/// Constraints are told apart by name: a module maps those it expects and lets the rest become a 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another row has that key.
    #[error("unique constraint {constraint} of {table} is violated")]
    Unique {
        /// Its name.
        constraint: String,
        /// Its table.
        table: String,
    },
    /// The row referred to is not there, or this one is still referred to.
    #[error("foreign key {constraint} of {table} is violated")]
    ForeignKey {
        /// Its name.
        constraint: String,
        /// Its table.
        table: String,
    },
    /// A value is outside what the table allows.
    #[error("check {constraint} of {table} is violated")]
    Check {
        /// Its name.
        constraint: String,
        /// Its table.
        table: String,
    },
    /// A value is missing.
    #[error("a column of {table} may not be null: {message}")]
    NotNull {
        /// The table.
        table: String,
        /// Which column, in PostgreSQL's words.
        message: String,
    },
    /// A parameter does not fit its place.
    #[error("parameter ${position} does not fit: {reason}")]
    InvalidParameter {
        /// From 1.
        position: u32,
        /// Why.
        reason: String,
    },
    /// An earlier statement of this transaction failed.
    #[error("an earlier statement of this transaction failed")]
    Poisoned,
    /// Anything else the database said.
    #[error("database error {code}: {message}")]
    Database {
        /// SQLSTATE.
        code: String,
        /// In PostgreSQL's words.
        message: String,
    },
    /// A statement that must return one row returned none.
    #[error("the statement returned no row")]
    NoRow,
    /// A statement that must return one row returned several.
    #[error("the statement returned {0} rows instead of one")]
    SeveralRows(usize),
    /// The statement returns no such column.
    #[error("the statement returns no column {0}")]
    NoColumn(String),
    /// A column is of another type than asked for.
    #[error("column {column} is no {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// The Rust type asked for.
        expected: &'static str,
    },
}

impl Error {
    /// The name of the violated constraint, when it is one.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Unique { constraint, .. } | Self::ForeignKey { constraint, .. } | Self::Check { constraint, .. } => {
                Some(constraint)
            }
            _ => None,
        }
    }

    /// True when the constraint of that name is violated.
    pub fn violates(&self, constraint: &str) -> bool {
        self.constraint() == Some(constraint)
    }
}

impl From<sql::Error> for Error {
    fn from(error: sql::Error) -> Self {
        match error {
            sql::Error::UniqueViolation(v) => Self::Unique {
                constraint: v.constraint,
                table: v.table,
            },
            sql::Error::ForeignKeyViolation(v) => Self::ForeignKey {
                constraint: v.constraint,
                table: v.table,
            },
            sql::Error::CheckViolation(v) => Self::Check {
                constraint: v.constraint,
                table: v.table,
            },
            sql::Error::NotNullViolation(v) => Self::NotNull {
                table: v.table,
                message: v.message,
            },
            sql::Error::InvalidParameter((position, reason)) => Self::InvalidParameter { position, reason },
            sql::Error::Poisoned => Self::Poisoned,
            sql::Error::Other(error) => Self::Database {
                code: error.code,
                message: error.message,
            },
        }
    }
}
