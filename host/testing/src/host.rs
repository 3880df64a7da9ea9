//! A whole host in the process of a test: the real runtime, recorder, invoker and HTTP server over a real PostgreSQL, with time that skips
//! and a process that can be ended at a point and started again.

mod application;
mod disturbance;
/// As `nexus` wires it.
#[path = "../../cli/src/event_log.rs"]
mod event_log;
/// As `nexus` wires it.
#[path = "../../cli/src/key_values.rs"]
mod key_values;
mod operator;
#[path = "../../cli/src/request_counter.rs"]
mod request_counter;
mod start;
mod watched;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_invoker::Invoker;
use host_postgres::test_support::{TestDatabase, fresh_database};
use host_runtime::Deployment;
use host_store::{Store, Wake};
use host_types::{Clock, SystemClock};
use tokio::sync::OnceCell;
use tokio_postgres::{NoTls, Statement};

pub use application::TestApp;
pub(crate) use disturbance::Disturbance;

use crate::SimClock;
use start::{Logins, Parts, Process};

/// Between two looks from outside at what the host does by itself.
const LOOK: Duration = Duration::from_millis(10);
/// After so many something is stuck.
const LOOKS: u32 = 3_000;
/// What runs or is about to, and events that are on their way. What is sent is due at once, by a clock that may be ahead of the database's.
const OPEN: &str = "SELECT (SELECT count(*) FROM host.invocation
        WHERE status IN ('running', 'suspended') AND due_at <= now() + interval '200 ms'
            OR status = 'running' AND due_at IS NULL)
    + (SELECT count(*) FROM host.wakeup) + (SELECT count(*) FROM host.wakeup_cause)
    + (SELECT count(*) FROM host.delivery WHERE state <> 'dead')";

/// A host on a database of its own, under an address that stays.
///
/// Dropping it ends it as `kill -9` would. [`TestHost::restart`] does the same, and starts another on what is left.
pub struct TestHost {
    // First, so that it ends before its database does.
    process: Option<Process>,
    app: TestApp,
    database: TestDatabase,
    listener: TcpListener,
    url: String,
    clock: Arc<SimClock>,
    superuser: tokio_postgres::Client,
    /// [`OPEN`], which is asked more often than all else together.
    open: OnceCell<Statement>,
    disturbance: Arc<Disturbance>,
    /// How modules log in, once a process has found the database prepared by another one. From then on it is as it was left.
    logins: Option<Logins>,
}

impl TestHost {
    /// Serves the application on a fresh database of the shared test server.
    pub async fn start(app: &TestApp) -> Result<Self> {
        let database = fresh_database("testing").await?;
        let (superuser, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut host = Self {
            process: None,
            app: app.clone(),
            database,
            listener,
            url,
            clock: Arc::new(SimClock::starting_at(SystemClock.unix_ms())),
            superuser,
            open: OnceCell::new(),
            disturbance: Arc::default(),
            logins: None,
        };
        host.restart().await?;
        Ok(host)
    }

    /// Ends the process where it is, and starts another that takes over what it left.
    pub async fn restart(&mut self) -> Result<()> {
        let is_first = self.process.is_none();
        if let Some(process) = self.process.take() {
            process.end().await;
        }
        self.disturbance = Arc::default();
        let process = Process::start(Parts {
            app: self.app.clone(),
            database_url: self.database.url().to_owned(),
            listener: self.listener.try_clone()?,
            clock: Arc::clone(&self.clock),
            disturbance: Arc::clone(&self.disturbance),
            logins: self.logins.clone(),
        });
        let process = process.await.context("start the host")?;
        if !is_first {
            self.logins = Some(process.serving().logins.clone());
        }
        self.process = Some(process);
        Ok(())
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a host runs until it is dropped")
    }

    /// Where clients come in.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database, for its superuser.
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// What the host takes the time from.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    pub(crate) fn store(&self) -> &Store {
        &self.process().serving().store
    }

    pub(crate) fn invoker(&self) -> &Invoker {
        &self.process().serving().invoker
    }

    /// What new invocations run on.
    pub(crate) fn deployment(&self) -> &Deployment {
        &self.process().serving().deployment
    }

    pub(crate) fn disturbance(&self) -> &Arc<Disturbance> {
        &self.disturbance
    }

    /// What a flow begins with and is not about: no moment of it counts and nothing of it fails. Like all of a flow it is done again
    /// after the end of a process, under the same keys. It has [settled](TestHost::settled) when this returns.
    pub async fn aside<T>(&self, prepare: impl Future<Output = Result<T>>) -> Result<T> {
        // Nothing else passes for it.
        self.settled().await?;
        let _aside = self.disturbance.aside();
        let prepared = prepare.await?;
        self.settled().await?;
        Ok(prepared)
    }

    /// Lets time pass at once: what is due until then begins. Modules see the later time; the database's own clock cannot be moved, and
    /// what is due by it is brought forward instead. What is at work should have [settled](TestHost::settled) before.
    pub async fn skip(&self, by: Duration) -> Result<()> {
        const BRING_FORWARD: &str =
            "UPDATE host.invocation SET due_at = due_at - make_interval(secs => $1) WHERE due_at IS NOT NULL";
        self.clock.skip(by);
        self.superuser.execute(BRING_FORWARD, &[&by.as_secs_f64()]).await?;
        self.store().notify(Wake::Due);
        Ok(())
    }

    /// Returns once nothing runs, nothing is due, and no event is on its way: all that is left waits for something, or for a later time.
    pub async fn settled(&self) -> Result<()> {
        let open = self.open.get_or_try_init(|| self.superuser.prepare(OPEN)).await?;
        for _ in 0..LOOKS {
            let row = self.superuser.query_one(open, &[]).await?;
            let at_work: i64 = row.try_get(0)?;
            if at_work == 0 {
                return Ok(());
            }
            // Outputs that nobody waits for, and nothing else: no moment can come before they are written.
            let store = self.store();
            if at_work <= store.unwritten() as i64 {
                store.write_at_once();
            }
            tokio::time::sleep(LOOK).await;
        }
        const LEFT: &str =
            "SELECT concat_ws(' ', component, function, status, cause) FROM host.invocation WHERE ended_at IS NULL";
        bail!("still at work: {:#?}", self.texts(LEFT).await?)
    }

    /// Returns once the one number that a query gives is this.
    pub async fn becomes(&self, sql: &str, wanted: i64) -> Result<()> {
        let mut found = self.count(sql).await?;
        for _ in 0..LOOKS {
            if found == wanted {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
            found = self.count(sql).await?;
        }
        bail!("{sql}: {found} instead of {wanted}")
    }

    /// The one number that a query gives.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.superuser.query_one(sql, &[]).await;
        Ok(row.with_context(|| sql.to_owned())?.try_get(0)?)
    }

    /// The first column of a query, text.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.superuser.query(sql, &[]).await.with_context(|| sql.to_owned())?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Fails when an invocation is paused or has failed.
    pub async fn nothing_is_stuck(&self) -> Result<()> {
        const STUCK: &str = "SELECT concat_ws(' ', component, function, status, cause) FROM host.invocation WHERE status IN ('paused', 'failed')";
        let stuck = self.texts(STUCK).await?;
        ensure!(stuck.is_empty(), "stuck: {stuck:#?}");
        Ok(())
    }
}
