//! A look at a database that changes nothing in it: for who asks what is wrong before anybody works on it.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::migrate::check_use;
use crate::restrict::open_to_public;
use crate::store::{check_server, session_options};
use crate::{Error, Result};

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The schema `host` is there; else this is no database of ours yet.
    pub is_migrated: bool,
    /// What everybody may do that modules must not. Before the first migration nothing of it was taken yet.
    pub open: Vec<String>,
}

/// Looks at a database, in a session that cannot write. [`Error::SchemaTooNew`] for one that is for newer programs.
pub async fn examine(url: &str) -> Result<Examined> {
    let options = session_options(url)?.options([("default_transaction_read_only", "on")]);
    let connecting = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options));
    let waited_s = PATIENCE.as_secs();
    let mut session = connecting.await.map_err(|_| Error::Overloaded { waited_s })??;
    check_server(&mut session).await?;
    check_use(&mut session).await?;
    let is_migrated: bool = sqlx::query_scalar("SELECT to_regclass('host.node') IS NOT NULL")
        .fetch_one(&mut session)
        .await?;
    let open = open_to_public(&mut session).await?;
    session.close().await?;
    Ok(Examined { is_migrated, open })
}
