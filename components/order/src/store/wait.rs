//! What flows wait for while a payment is made elsewhere. The session is locked by whoever reads or changes one.

use sdk::{
    Promise,
    sql::{Error, Json, Transaction, params, sql},
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::SessionId,
    payment::Wishes,
    refusal::{Continuation, Refusal},
};

/// How a session that was waited for was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Paid,
    Unpaid,
}

/// A stored wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) bell: Promise<()>,
    /// Of the next address, while somebody who asked for one waits.
    pub(crate) next_url: Option<Promise<Continuation>>,
    pub(crate) ended: Promise<Ended>,
    pub(crate) wishes: Wishes,
    failure: Option<Refusal>,
}

/// Begins one.
pub(crate) fn insert(
    tx: &Transaction,
    session: SessionId,
    bell: &Promise<()>,
    ended: &Promise<Ended>,
) -> Result<(), Error> {
    tx.execute(
        sql!(r#"INSERT INTO "order".payment_wait (session_id, bell, ended) VALUES ($1, $2, $3)"#),
        params![session, bell.id(), ended.id()],
    )
    .map(drop)
}

/// The wait of a session, while there is one.
pub(crate) fn get(tx: &Transaction, session: SessionId) -> Result<Option<Wait>, Error> {
    let row = tx.query_opt(
        sql!(r#"SELECT bell, next_url, ended, cancel_asked, retry_asked, failure FROM "order".payment_wait WHERE session_id = $1"#),
        params![session],
    )?;
    row.map(|row| {
        let failure: Option<Json<Refusal>> = row.get("failure")?;
        Ok(Wait {
            bell: Promise::with_id(row.get::<String>("bell")?),
            next_url: row.get::<Option<String>>("next_url")?.map(Promise::with_id),
            ended: Promise::with_id(row.get::<String>("ended")?),
            wishes: Wishes {
                cancel: row.get("cancel_asked")?,
                retry: row.get("retry_asked")?,
            },
            failure: failure.map(|Json(failure)| failure),
        })
    })
    .transpose()
}

/// The bell that is to ring next.
pub(crate) fn set_bell(tx: &Transaction, session: SessionId, bell: &Promise<()>) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_wait SET bell = $2 WHERE session_id = $1"#),
        params![session, bell.id()],
    )
    .map(drop)
}

/// Whoever asked for the next address waits for this.
pub(crate) fn set_next_url(
    tx: &Transaction,
    session: SessionId,
    next_url: Option<&Promise<Continuation>>,
) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_wait SET next_url = $2 WHERE session_id = $1"#),
        params![session, next_url.map(Promise::id)],
    )
    .map(drop)
}

/// What is asked of the flow.
pub(crate) fn set_wishes(tx: &Transaction, session: SessionId, wishes: Wishes) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_wait SET cancel_asked = $2, retry_asked = $3 WHERE session_id = $1"#),
        params![session, wishes.cancel, wishes.retry],
    )
    .map(drop)
}

/// What is told when it ends without money.
pub(crate) fn set_failure(tx: &Transaction, session: SessionId, failure: &Refusal) -> Result<(), Error> {
    tx.execute(
        sql!(r#"UPDATE "order".payment_wait SET failure = $2 WHERE session_id = $1"#),
        params![session, Json(failure)],
    )
    .map(drop)
}

/// Ends it, with the transaction that decides the session, and tells whoever waits by its promises. Returns what is told to who waits for
/// an address. `otherwise` is that when it ends without money and nothing else was noted. Nothing happens when there is no wait.
pub(crate) fn end(
    tx: &Transaction,
    session: SessionId,
    ended: Ended,
    otherwise: Refusal,
) -> Result<Option<Continuation>, Error> {
    let Some(wait) = get(tx, session)? else {
        return Ok(None);
    };
    tx.execute(
        sql!(r#"DELETE FROM "order".payment_wait WHERE session_id = $1"#),
        params![session],
    )?;
    let told = match ended {
        Ended::Paid => Continuation::At(String::new()),
        Ended::Unpaid => Continuation::Refused(wait.failure.unwrap_or(otherwise)),
    };
    if let Some(next_url) = wait.next_url {
        next_url.complete(&told);
    }
    wait.ended.complete(&ended);
    Ok(Some(told))
}
