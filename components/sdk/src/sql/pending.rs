//! Queries that go on while the component does something else.

use crate::{
    bindings::nexus::sql::sql,
    join::Pending,
    sql::{Error, Row, Value},
};

/// A query that was begun.
#[must_use = "a query that is begun is to be finished, by itself or by `join`"]
#[derive(Debug)]
pub struct PendingQuery(sql::PendingQuery);

/// Begins what [`query`](crate::sql::query) does, to be waited for with [`join`](crate::join()). Asks the host.
pub fn begin_query(statement: &str, parameters: Vec<Value>) -> PendingQuery {
    PendingQuery(sql::PendingQuery::begin(statement, &parameters))
}

impl Pending for PendingQuery {
    type Output = Result<Vec<Row>, Error>;

    fn finish(self) -> Self::Output {
        Ok(Row::all(sql::PendingQuery::finish(self.0)?))
    }
}
