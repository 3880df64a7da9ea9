//! The module's own schema: statements in, typed rows out.
//!
//! ```no_run
//! use sdk::{AccountId, sql::{self, params, sql}};
//!
//! fn rename(id: AccountId, name: &str) -> Result<String, sql::Error> {
//!     sql::transaction(|tx| {
//!         let row = tx.query_one(sql!("SELECT name FROM profile WHERE id = $1 FOR UPDATE"), params![id])?;
//!         tx.execute(sql!("UPDATE profile SET name = $2 WHERE id = $1"), params![id, name])?;
//!         row.get("name")
//!     })
//! }
//! ```
//!
//! Every function takes any text; of one that is written with [`sql!`] `nexus check` knows, and prepares it against the schema.

mod convert;
mod error;
mod pending;
mod row;
#[doc(hidden)]
pub mod statement;
mod transaction;

use crate::bindings::nexus::sql::sql as host;

pub use self::{
    convert::{Element, FromValue, Json, ToValue},
    error::Error,
    pending::{PendingQuery, begin_query},
    row::{Column, Row},
    transaction::{Transaction, serializable, transaction},
};
pub use crate::bindings::nexus::sql::sql::Value;

/// The parameters of a statement, `$1` first.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::sql::ToValue::to_value(&$value)),*]
    };
}

#[doc(inline)]
pub use crate::__sql as sql;
pub use crate::params;

/// All rows of a statement that only reads. Asks the host.
pub fn query(statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
    Ok(Row::all(host::query(statement, &parameters)?))
}

/// The only row of a statement that only reads; none or several is an error. Asks the host.
pub fn query_one(statement: &str, parameters: Vec<Value>) -> Result<Row, Error> {
    row::one(query(statement, parameters)?)
}

/// The row of a statement that only reads, if there is one; several is an error. Asks the host.
pub fn query_opt(statement: &str, parameters: Vec<Value>) -> Result<Option<Row>, Error> {
    row::at_most_one(query(statement, parameters)?)
}

/// One statement in a transaction of its own; returns how many rows it changed. Asks the host.
pub fn execute(statement: &str, parameters: Vec<Value>) -> Result<u64, Error> {
    Ok(host::execute(statement, &parameters)?.affected)
}

/// One statement in a transaction of its own; returns the rows of its `RETURNING`. Asks the host.
pub fn execute_returning(statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
    Ok(Row::all(host::execute(statement, &parameters)?))
}
