//! A statement that only reads: one round trip on a session that is read-only unless told otherwise.

use std::sync::Arc;

use host_bindings::nexus::sql::sql::Value;
use host_types::Fault;
use tokio::time::timeout;

use crate::error::Failure;
use crate::pool::{Lease, ModulePool};
use crate::record::Answer;
use crate::statement;

/// Tries, where a session had closed unnoticed or a prepared statement was out of date.
const TRIES: u32 = 2;

/// Reads, at most as long as a transaction may last.
pub(crate) async fn query(pool: &Arc<ModulePool>, text: &str, parameters: &[Value]) -> Result<Answer, Fault> {
    if let Err(refused) = statement::check(text) {
        return Ok(Err(refused));
    }
    let limit = pool.transaction_limit();
    let reading = timeout(limit, read(pool, text, parameters)).await;
    reading.unwrap_or_else(|_| {
        Err(Fault::Transient(format!(
            "a query took longer than {} ms",
            limit.as_millis()
        )))
    })
}

async fn read(pool: &Arc<ModulePool>, text: &str, parameters: &[Value]) -> Result<Answer, Fault> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut lease = pool.lease().await?;
        // Dropped in the middle, by the time limit or with its instance, the session is closed.
        lease.begin();
        let wire = lease.wire();
        let read = wire.wait(try_read(&mut lease, text, parameters)).await;
        if lease.is_astray() {
            return Err(Fault::Guest("a query changed the state of its session".into()));
        }
        if lease.is_flooded() {
            return Err(Fault::LimitExceeded(statement::too_large()));
        }
        let failure = match read {
            Ok(rows) => {
                lease.settled();
                return Ok(Ok(rows));
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Refused(error) => {
                lease.settled();
                return Ok(Err(error));
            }
            Failure::Stale => {
                lease.forget_statements();
                lease.settled();
            }
            Failure::TooLarge(text) => return Err(Fault::LimitExceeded(text)),
            Failure::Lost(text) | Failure::Repeat(text) if tries >= TRIES => return Err(Fault::Transient(text)),
            Failure::Lost(_) => {}
            Failure::Repeat(_) => lease.settled(),
        }
        if tries >= TRIES {
            return Err(Fault::Transient("the tables of a query keep changing".into()));
        }
    }
}

async fn try_read(
    lease: &mut Lease,
    text: &str,
    parameters: &[Value],
) -> Result<host_bindings::nexus::sql::sql::Rows, Failure> {
    let prepared = match lease.prepared(text) {
        Some(prepared) => prepared,
        None => lease.prepare(text).await?,
    };
    let parameters = statement::bind(&prepared, parameters).map_err(Failure::Refused)?;
    statement::fetch(lease.client(), &prepared, parameters).await
}
