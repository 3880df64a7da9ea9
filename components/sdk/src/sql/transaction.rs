//! Statements that commit together.

use super::{Error, Row, Value, row};
use crate::bindings::nexus::sql::sql;

/// An open transaction. While it is open nothing but it may be used: ids, times and other modules are asked before.
#[derive(Debug)]
pub struct Transaction {
    inner: sql::Transaction,
}

/// Runs `work` in one read-committed transaction: commits when it succeeds, rolls back when it fails. Asks the host.
pub fn transaction<T, E: From<Error>>(work: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    run(sql::Isolation::ReadCommitted, work)
}

/// The same with serializable isolation; conflicts are retried by the host and not seen here. Asks the host.
pub fn serializable<T, E: From<Error>>(work: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    run(sql::Isolation::Serializable, work)
}

fn run<T, E: From<Error>>(isolation: sql::Isolation, work: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    let transaction = Transaction {
        inner: sql::Transaction::begin(isolation),
    };
    match work(&transaction) {
        Ok(value) => {
            transaction.inner.commit().map_err(Error::from)?;
            Ok(value)
        }
        Err(error) => {
            transaction.inner.rollback();
            Err(error)
        }
    }
}

impl Transaction {
    /// All rows of a statement, which may also write (`RETURNING`).
    pub fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
        Ok(Row::all(self.inner.run(statement, &parameters)?))
    }

    /// The only row of a statement; none or several is an error.
    pub fn query_one(&self, statement: &str, parameters: Vec<Value>) -> Result<Row, Error> {
        row::one(self.query(statement, parameters)?)
    }

    /// The row of a statement, if there is one; several is an error.
    pub fn query_opt(&self, statement: &str, parameters: Vec<Value>) -> Result<Option<Row>, Error> {
        row::at_most_one(self.query(statement, parameters)?)
    }

    /// How many rows a statement changed.
    pub fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<u64, Error> {
        Ok(self.inner.run(statement, &parameters)?.affected)
    }

    /// Runs `work` inside a savepoint: when it fails, what it did is undone and the transaction goes on.
    pub fn savepoint<T, E>(&self, work: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        self.inner.savepoint();
        let outcome = work(self);
        match &outcome {
            Ok(_) => self.inner.release(),
            Err(_) => self.inner.rollback_to(),
        }
        outcome
    }
}
