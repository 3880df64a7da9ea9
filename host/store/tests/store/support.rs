//! A migrated database with a registered node, and short ways to say what the tests are about.

use std::str::FromStr;
use std::sync::Arc;

use host_journal::{
    Append, AppendJournal, Body, Claim, Entry, Header, HostParameter, HostStatement, Seed, Start, encode,
};
use host_postgres::test_support::{TestDatabase, fresh_database};
use host_store::{MigrateOptions, ModuleLogin, Store, StoreOptions};
use host_types::{Clock, DeploymentNumber, InvocationId, Rng, SystemClock, SystemRng};
use sqlx::postgres::{PgConnectOptions, PgQueryResult};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(crate) const MASTER_KEY: [u8; 32] = [7; 32];
/// What a node opens for its modules, at most.
pub(crate) const MODULE_SESSIONS: u32 = 4;
/// What must never be found in the database.
pub(crate) const SECRET: &str = "correct horse battery staple";

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: TestDatabase,
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        master_key: MASTER_KEY,
        secrets: vec![("tokens", [9; 32])],
        lease_ms: 5_000,
        max_connections: 8,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
    }
}

/// A fresh database with one node in it.
pub(crate) async fn fixture() -> Fixture {
    let database = fresh_database("store").await.unwrap();
    let store = node(&database, "one").await;
    Fixture { store, database }
}

/// One more node of a database.
pub(crate) async fn node(database: &TestDatabase, name: &str) -> Store {
    let store = Store::connect(database.url(), options()).await.unwrap();
    store.migrate_host().await.unwrap();
    store.register_node(name, MODULE_SESSIONS).await.unwrap();
    store
}

impl Fixture {
    /// A session of the superuser.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// A module with a table `item (name text)`, and a session of it under the node's name.
    pub(crate) async fn module(&self, schema: &str) -> (ModuleLogin, PgConnection) {
        let login = self.store.provision_module(schema).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("0001_item.sql"),
            "CREATE TABLE item (name text NOT NULL);",
        )
        .unwrap();
        self.store
            .migrate_module(schema, folder.path(), &MigrateOptions::default())
            .await
            .unwrap();
        let session = self.session(&login).await;
        (login, session)
    }

    /// One more session of a module.
    pub(crate) async fn session(&self, login: &ModuleLogin) -> PgConnection {
        let options = PgConnectOptions::from_str(self.database.url()).unwrap();
        let options = options
            .username(&login.role)
            .password(&login.password)
            .application_name(&host_store::application_name(self.store.node()));
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// The only value of the only row of a query, by the superuser.
    pub(crate) async fn value(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut self.superuser().await)
            .await
            .unwrap()
    }

    /// Returns when a session waits for another's lock.
    pub(crate) async fn someone_waits(&self) {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while self.value(waiting).await == 0 {}
    }

    pub(crate) async fn superuser_executes(&self, statements: &str) {
        execute(&mut self.superuser().await, statements).await.unwrap();
    }
}

pub(crate) async fn execute(session: &mut PgConnection, statement: &str) -> Result<PgQueryResult, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(session).await
}

/// Runs a statement of the host as a module's driver does.
pub(crate) async fn run(session: &mut PgConnection, statement: &HostStatement) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(statement.sql);
    for parameter in &statement.parameters {
        query = match parameter.clone() {
            HostParameter::Uuid(value) => query.bind(value),
            HostParameter::UuidArray(value) => query.bind(value),
            HostParameter::Boolean(value) => query.bind(value),
            HostParameter::Bytes(value) => query.bind(value),
            HostParameter::BytesArray(value) => query.bind(value),
            HostParameter::Integer(value) => query.bind(value),
            HostParameter::BigInt(value) => query.bind(value),
            HostParameter::Text(value) => query.bind(value),
        };
    }
    query.execute(session).await.map(drop)
}

/// The name of the violated constraint, else the SQLSTATE of a failure.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) -> String {
    let error = result.unwrap_err();
    let answer = error.as_database_error();
    let said = answer.and_then(|answer| {
        answer
            .constraint()
            .map(str::to_owned)
            .or(answer.code().map(String::from))
    });
    said.unwrap_or_else(|| error.to_string())
}

pub(crate) fn new_id() -> InvocationId {
    let rng: &dyn Rng = &SystemRng::new();
    InvocationId::new(SystemClock.unix_ms(), rng.bytes())
}

pub(crate) fn start() -> Start {
    Start {
        component: "order".into(),
        function: "nexus:http/handler.handle".into(),
        deployment: DeploymentNumber(1),
        erasure_salt: None,
        parent: None,
    }
}

pub(crate) fn claim(key: u8, fingerprint: u8) -> Claim {
    Claim {
        key: [key; 32],
        path_key: [key; 32],
        fingerprint: [fingerprint; 32],
        expires_ms: SystemClock.unix_ms() + 60_000,
    }
}

/// The entry with which an invocation begins; its input is [`SECRET`].
pub(crate) fn started(index: u32) -> Entry {
    let header = Header {
        component: "order".into(),
        function: "nexus:http/handler.handle".into(),
        deployment: DeploymentNumber(1),
        input: SECRET.as_bytes().into(),
        seed: Seed::new([3; 32]),
        subject: "buyer@example.com".into(),
        trace_parent: String::new(),
        memory_limit_bytes: 64 << 20,
        started_ms: 1,
        workflow: None,
        deadline_ms: None,
    };
    Entry {
        index,
        body: Body::Started(Box::new(header)),
    }
}

pub(crate) fn output(index: u32) -> Entry {
    Entry {
        index,
        body: Body::Output(SECRET.as_bytes().into()),
    }
}

/// The append that starts an invocation.
pub(crate) fn first_append(store: &Store, invocation: InvocationId) -> Append {
    Append {
        start: Some(start()),
        bodies: vec![encode(&started(0), &*store.seal(invocation, None))],
        ..next_append(store, invocation, 0)
    }
}

/// An append of one output.
pub(crate) fn next_append(store: &Store, invocation: InvocationId, index: u32) -> Append {
    let bodies = vec![encode(&output(index), &*store.seal(invocation, None))];
    Append::new(invocation, index, bodies)
}

/// An invocation that has begun.
pub(crate) async fn begun(store: &Store) -> InvocationId {
    let invocation = new_id();
    store.append(first_append(store, invocation)).await.unwrap();
    invocation
}
