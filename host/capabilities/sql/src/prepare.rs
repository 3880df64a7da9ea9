//! Whether a statement could run: it is prepared as its module, and not run.

use std::sync::Arc;

use host_bindings::nexus::sql::sql;
use tokio::time::timeout;
use tokio_postgres::error::{DbError, ErrorPosition};

use crate::Error;
use crate::error::{Failure, classify, describe};
use crate::pool::ModulePool;
use crate::statement::{check, check_columns};

/// Why a statement would always fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprepared {
    /// The SQLSTATE.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// More of that.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
}

impl ModulePool {
    /// Prepares a statement as the module whose sessions these are, by the rules for what a guest sends. None: it may be run.
    pub async fn prepare(self: &Arc<Self>, text: &str) -> Result<Option<Unprepared>, Error> {
        if let Err(refused) = check(text) {
            return Ok(Some(by_host(refused)));
        }
        let mut lease = self.lease().await?;
        // Dropped in the middle, the session is closed.
        lease.begin();
        let wire = lease.wire();
        let limit = self.transaction_limit();
        let prepared = timeout(limit, wire.wait(lease.client().prepare(text))).await;
        let lost = |reason| Error::Connect {
            role: self.role().to_owned(),
            reason,
            is_passing: true,
        };
        let late = || lost(format!("a statement was not prepared within {} ms", limit.as_millis()));
        let unprepared = match prepared.map_err(|_| late())? {
            Ok(statement) => check_columns(&statement).err().map(by_host),
            Err(error) => match (classify(&error), error.as_db_error()) {
                (Failure::Refused(_), Some(db)) => Some(by_server(db)),
                _ => return Err(lost(describe(&error))),
            },
        };
        lease.settled();
        Ok(unprepared)
    }
}

fn by_host(refused: sql::Error) -> Unprepared {
    let (code, message) = match refused {
        sql::Error::Other(error) => (error.code, error.message),
        // Of a statement as such nothing else is said.
        other => (String::new(), format!("{other:?}")),
    };
    Unprepared {
        code,
        message,
        detail: None,
        hint: None,
        position: None,
    }
}

fn by_server(error: &DbError) -> Unprepared {
    Unprepared {
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        position: match error.position() {
            Some(ErrorPosition::Original(position)) => Some(*position),
            Some(ErrorPosition::Internal { .. }) | None => None,
        },
    }
}
