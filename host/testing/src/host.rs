//! A whole host in the process of a test: the real runtime, recorder, invoker and HTTP server over a real PostgreSQL, with time that skips
//! and a process that can be ended at a point and started again.

mod application;
/// As `nexus` wires it.
#[path = "../../cli/src/key_values.rs"]
mod key_values;
mod quick;
mod start;
mod stops;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_postgres::test_support::{TestDatabase, fresh_database};
use host_store::Wake;
use host_types::{Clock, NodeId, SystemClock};
use tokio_postgres::NoTls;

pub use application::TestApp;
pub(crate) use stops::Stops;

use crate::SimClock;
use start::Process;

/// What a due time of the host is kept in: these are brought forward when time skips.
const DUE_TIMES: [(&str, &str); 1] = [("host.invocation", "due_at")];
/// Between two looks from outside at what the host does by itself.
const LOOK: Duration = Duration::from_millis(10);
/// After so many something is stuck.
const LOOKS: u32 = 3_000;

/// A host on a database of its own.
///
/// Dropping it ends it as `kill -9` would. [`TestHost::restart`] does the same, and starts another on what is left.
pub struct TestHost {
    // First, so that it ends before its database does.
    process: Option<Process>,
    app: TestApp,
    database: TestDatabase,
    clock: Arc<SimClock>,
    superuser: tokio_postgres::Client,
    stops: Arc<Stops>,
}

impl TestHost {
    /// Serves the application on a fresh database of the shared test server.
    pub async fn start(app: &TestApp) -> Result<Self> {
        let database = fresh_database("testing").await?;
        let (superuser, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        let mut host = Self {
            app: app.clone(),
            database,
            clock: Arc::new(SimClock::starting_at(SystemClock.unix_ms())),
            superuser,
            stops: Arc::default(),
            process: None,
        };
        host.launch().await?;
        Ok(host)
    }

    async fn launch(&mut self) -> Result<()> {
        self.stops = Arc::default();
        let process = Process::start(start::Parts {
            app: self.app.clone(),
            database_url: self.database.url().to_owned(),
            clock: Arc::clone(&self.clock),
            stops: Arc::clone(&self.stops),
        });
        self.process = Some(process.await.context("start the host")?);
        Ok(())
    }

    /// Ends the process where it is, and starts another that takes over what it left.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = None;
        self.launch().await
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a host runs until it is dropped")
    }

    /// Where clients come in.
    pub fn url(&self) -> &str {
        self.process().url()
    }

    /// The database, as its superuser.
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// What the host takes the time from.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    pub(crate) fn node(&self) -> NodeId {
        self.process().store().node()
    }

    /// The errors that the type of a called function declares; `target` is the call's name in the journal.
    pub(crate) fn declared_errors(&self, target: &str) -> Vec<(String, Vec<u8>)> {
        self.process().deployment().declared_errors(target)
    }

    pub(crate) fn stops(&self) -> &Arc<Stops> {
        &self.stops
    }

    /// Lets time pass at once: what is due until then begins. The module sees the later time; so does every due time in the database,
    /// whose own clock cannot be moved and against which they are brought forward instead.
    pub async fn skip(&self, by: Duration) -> Result<()> {
        self.clock.skip(by);
        for (table, column) in DUE_TIMES {
            let sql = format!(
                "UPDATE {table} SET {column} = {column} - make_interval(secs => $1) WHERE {column} IS NOT NULL"
            );
            self.superuser
                .execute(&sql, &[&by.as_secs_f64()])
                .await
                .with_context(|| sql.clone())?;
        }
        self.process().store().notify(Wake::Due);
        Ok(())
    }

    /// Returns once nothing runs and nothing is due: all that is left waits for something, or for a later time.
    pub async fn settled(&self) -> Result<()> {
        const OPEN: &str =
            "SELECT count(*) FROM host.invocation WHERE status = 'running' AND (due_at IS NULL OR due_at <= now())
            OR status = 'suspended' AND due_at <= now()";
        for _ in 0..LOOKS {
            if self.count(OPEN).await? == 0 && self.count("SELECT count(*) FROM host.wakeup").await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let open = self.texts("SELECT function || ' ' || status || ' ' || coalesce(cause, '') FROM host.invocation WHERE ended_at IS NULL").await?;
        anyhow::bail!("still at work: {open:#?}")
    }

    /// The one number that a query gives.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self
            .superuser
            .query_one(sql, &[])
            .await
            .with_context(|| sql.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// The first column of a query, text.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.superuser.query(sql, &[]).await.with_context(|| sql.to_owned())?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Fails when an invocation is paused or has failed.
    pub async fn nothing_is_stuck(&self) -> Result<()> {
        let stuck = self
            .texts("SELECT function || ' ' || status || ' ' || coalesce(cause, '') FROM host.invocation WHERE status IN ('paused', 'failed')")
            .await?;
        ensure!(stuck.is_empty(), "stuck: {stuck:#?}");
        Ok(())
    }
}
