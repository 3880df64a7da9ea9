//! A database with a module's schema and a journal in a table, and guests that use it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use host_bindings::nexus::sql::sql::{Error, Host, HostPendingQuery, HostTransaction, Isolation, Rows, Value};
use host_bindings::{SqlPendingQuery, SqlTransaction};
use host_journal::{
    Append, AppendError, AppendJournal, Claim, Header, HostParameter, HostStatement, Machine, Payload, Seal, SealError,
    Seed, Start, decode,
};
use host_postgres::test_support::{TestDatabase, fresh_database};
use host_recorder::{Attempt, AttemptOptions, Recorder, Unwritten};
use host_sql::{ModuleConnection, ModulePool, Options, Pools, SqlContext, SqlView, Target};
use host_types::{Clock, ComponentId, DeploymentNumber, Fault, InvocationId, NodeId};
use tokio_postgres::{Client, NoTls};
use wasmtime::component::{Resource, ResourceTable};

const SCHEMA: &str = r#"
CREATE SCHEMA host;
CREATE TABLE host.entry (invocation uuid, index integer, body bytea, CONSTRAINT entry_pkey PRIMARY KEY (invocation, index));
CREATE TABLE host.claim (key bytea PRIMARY KEY, invocation uuid);
CREATE SCHEMA "order";
SET search_path = "order";
CREATE TABLE item (
    id integer CONSTRAINT item_pkey PRIMARY KEY,
    amount bigint NOT NULL CONSTRAINT item_amount_positive CHECK (amount > 0),
    parent integer CONSTRAINT item_parent_fkey REFERENCES item (id),
    slot integer CONSTRAINT item_slot_key UNIQUE DEFERRABLE INITIALLY DEFERRED
);
CREATE SEQUENCE numbers;
"#;

pub(crate) struct Database {
    pub(crate) admin: Client,
    pub(crate) pools: Arc<Pools>,
    pub(crate) pool: Arc<ModulePool>,
    journal: Arc<TableJournal>,
    url: String,
    next: AtomicU8,
    // Last: dropped when nobody is connected any more.
    _database: Option<TestDatabase>,
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let database = fresh_database("sql").await.unwrap();
        let mut on_it = Self::on(database.url(), options).await;
        on_it._database = Some(database);
        on_it
    }

    /// On an empty database of somebody else's.
    pub(crate) async fn on(url: &str, options: Options) -> Self {
        let url = url.to_owned();
        let admin = connect(&url).await;
        admin.batch_execute(SCHEMA).await.unwrap();
        let journal = Arc::new(TableJournal {
            client: connect(&url).await,
        });
        let pools = Pools::new(options);
        let pool = pools.module(connection(target(&url)));
        Self {
            admin,
            pools,
            pool,
            journal,
            url,
            next: AtomicU8::new(1),
            _database: None,
        }
    }

    pub(crate) fn connection(&self) -> ModuleConnection {
        connection(target(&self.url))
    }

    /// The first attempt of a new invocation.
    pub(crate) fn guest(&self) -> Guest {
        self.guest_with(None)
    }

    /// The first attempt of a new invocation of another module.
    pub(crate) fn guest_of(&self, pool: &Arc<ModulePool>) -> Guest {
        let mut guest = self.guest();
        guest.context.pool = Arc::clone(pool);
        guest
    }

    pub(crate) fn guest_with(&self, claim: Option<Claim>) -> Guest {
        let invocation = InvocationId::new(1, [self.next.fetch_add(1, Ordering::Relaxed); 10]);
        self.attempt(invocation, Machine::start(header()), claim)
    }

    /// What another process makes of the invocation's record.
    pub(crate) async fn replay(&self, invocation: InvocationId) -> Guest {
        let rows = self
            .admin
            .query(
                "SELECT body FROM host.entry WHERE invocation = $1 ORDER BY index",
                &[&invocation.0],
            )
            .await;
        let rows = rows.unwrap();
        let entries = rows.iter().enumerate().map(|(index, row)| {
            let body: Vec<u8> = row.get(0);
            decode(index as u32, &body, &Plain).unwrap()
        });
        let machine = Machine::replay(entries.collect()).unwrap();
        self.attempt(invocation, machine, None)
    }

    /// Another attempt in the same process.
    pub(crate) fn retry(&self, guest: Guest) -> Guest {
        let Guest {
            context,
            attempt,
            table,
        } = guest;
        let invocation = attempt.invocation();
        drop((context, table));
        let (mut machine, Unwritten { claim, .. }) = attempt.into_machine().expect("the instance is gone");
        machine.rewind();
        self.attempt(invocation, machine, claim)
    }

    /// The same, after the guest's handle is gone.
    pub(crate) async fn retry_after_drop(&self, mut guest: Guest, transaction: Transaction) -> Guest {
        guest.drop_transaction(transaction).await.unwrap();
        self.retry(guest)
    }

    fn attempt(&self, invocation: InvocationId, machine: Machine, claim: Option<Claim>) -> Guest {
        let start = Start {
            component: ComponentId::from("order"),
            function: "nexus:http/handler.handle".into(),
            deployment: DeploymentNumber(1),
            erasure_salt: None,
            parent: None,
        };
        let attempt = Attempt::new(AttemptOptions {
            invocation,
            node: NodeId::new(1, [0; 10]),
            unwritten: Unwritten::new((!machine.is_durable()).then_some(start), claim),
            machine,
            journal: self.journal.clone(),
            seal: Arc::new(Plain),
            clock: Arc::new(Noon),
            promises: Arc::new(host_recorder::test_support::MemoryJournal::default()),
            wait_hold: std::time::Duration::ZERO,
            trace: Default::default(),
        });
        let context = SqlContext::new(self.pool.clone(), attempt.recorder());
        Guest {
            context,
            attempt,
            table: ResourceTable::new(),
        }
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.admin
            .query_one(&format!("SELECT count(*) FROM {what}"), &[])
            .await
            .unwrap()
            .get(0)
    }
}

fn target(url: &str) -> Target {
    Target::read(url, |_| None).unwrap()
}

pub(crate) fn connection(target: Target) -> ModuleConnection {
    ModuleConnection {
        target,
        schema: "order".into(),
        reset: false,
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn header() -> Header {
    Header {
        component: ComponentId::from("order"),
        function: "nexus:http/handler.handle".into(),
        deployment: DeploymentNumber(1),
        input: Payload::from_static(b"cart-7"),
        seed: Seed::new([1; 32]),
        subject: String::new(),
        trace_parent: String::new(),
        memory_limit_bytes: 64 << 20,
        started_ms: 1_000,
        workflow: None,
        deadline_ms: None,
    }
}

struct Noon;

impl Clock for Noon {
    fn unix_ms(&self) -> u64 {
        43_200_000
    }

    fn boot_ns(&self) -> u64 {
        0
    }
}

struct Plain;

impl Seal for Plain {
    fn seal(&self, _: u32, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
    }

    fn open(&self, _: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(sealed.to_vec())
    }
}

/// The journal as far as these tests need it: entries with their fence, and claims.
struct TableJournal {
    client: Client,
}

impl AppendJournal for TableJournal {
    fn seal(&self, _: InvocationId, _: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(Plain)
    }

    fn claim_statement(&self, invocation: InvocationId, claim: &Claim) -> HostStatement {
        let parameters = vec![
            HostParameter::Bytes(Some(claim.key.to_vec())),
            HostParameter::Uuid(Some(invocation.0)),
        ];
        HostStatement {
            sql: "INSERT INTO host.claim VALUES ($1, $2)",
            parameters,
        }
    }

    fn append_statements(&self, append: &Append) -> Vec<HostStatement> {
        let sql = "INSERT INTO host.entry SELECT $1, $2 + (at - 1)::int, body FROM unnest($3) WITH ORDINALITY AS it (body, at)";
        let parameters = vec![
            HostParameter::Uuid(Some(append.invocation.0)),
            HostParameter::Integer(append.first_index as i32),
            HostParameter::BytesArray(append.bodies.clone()),
        ];
        vec![HostStatement { sql, parameters }]
    }

    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(async move {
            for (body, index) in append.bodies.iter().zip(append.first_index as i32..) {
                let insert = "INSERT INTO host.entry VALUES ($1, $2, $3)";
                let inserted = self.client.execute(insert, &[&append.invocation.0, &index, body]).await;
                inserted.map_err(|error| AppendError::Unknown(error.to_string()))?;
            }
            Ok(())
        })
    }

    fn append_lazily(&self, _: Append) {
        unreachable!("nothing here finishes an invocation");
    }
}

/// One instance of a component.
pub(crate) struct Guest {
    pub(crate) context: SqlContext,
    pub(crate) attempt: Arc<Attempt>,
    table: ResourceTable,
}

pub(crate) type Transaction = Resource<SqlTransaction>;

/// A handle of the same transaction: the functions take theirs by value.
fn same(transaction: &Transaction) -> Transaction {
    Resource::new_own(transaction.rep())
}

fn fault(error: wasmtime::Error) -> Fault {
    error
        .downcast_ref::<Fault>()
        .expect("host functions fail with faults")
        .clone()
}

impl Guest {
    /// The instance of a callee.
    pub(crate) fn with_recorder(pool: Arc<ModulePool>, recorder: Recorder) -> Self {
        Self {
            attempt: Arc::clone(recorder.attempt()),
            context: SqlContext::new(pool, recorder),
            table: ResourceTable::new(),
        }
    }

    pub(crate) fn invocation(&self) -> InvocationId {
        self.attempt.invocation()
    }

    fn view(&mut self) -> SqlView<'_> {
        SqlView {
            context: &mut self.context,
            table: &mut self.table,
        }
    }

    pub(crate) async fn query(&mut self, text: &str, parameters: &[Value]) -> Result<Result<Rows, Error>, Fault> {
        Host::query(&mut self.view(), text.into(), parameters.to_vec())
            .await
            .map_err(fault)
    }

    pub(crate) async fn begin_query(
        &mut self,
        text: &str,
        parameters: &[Value],
    ) -> Result<Resource<SqlPendingQuery>, Fault> {
        HostPendingQuery::begin(&mut self.view(), text.into(), parameters.to_vec())
            .await
            .map_err(fault)
    }

    pub(crate) async fn finish_query(&mut self, it: Resource<SqlPendingQuery>) -> Result<Result<Rows, Error>, Fault> {
        HostPendingQuery::finish(&mut self.view(), it).await.map_err(fault)
    }

    pub(crate) async fn execute(&mut self, text: &str, parameters: &[Value]) -> Result<Result<Rows, Error>, Fault> {
        Host::execute(&mut self.view(), text.into(), parameters.to_vec())
            .await
            .map_err(fault)
    }

    pub(crate) async fn begin(&mut self) -> Transaction {
        HostTransaction::begin(&mut self.view(), Isolation::ReadCommitted)
            .await
            .unwrap()
    }

    pub(crate) async fn begin_serializable(&mut self) -> Transaction {
        HostTransaction::begin(&mut self.view(), Isolation::Serializable)
            .await
            .unwrap()
    }

    pub(crate) async fn run(
        &mut self,
        it: &Transaction,
        text: &str,
        parameters: &[Value],
    ) -> Result<Result<Rows, Error>, Fault> {
        HostTransaction::run(&mut self.view(), same(it), text.into(), parameters.to_vec())
            .await
            .map_err(fault)
    }

    pub(crate) async fn savepoint(&mut self, it: &Transaction) {
        HostTransaction::savepoint(&mut self.view(), same(it)).await.unwrap();
    }

    pub(crate) async fn release(&mut self, it: &Transaction) {
        self.try_release(it).await.unwrap();
    }

    pub(crate) async fn try_release(&mut self, it: &Transaction) -> Result<(), Fault> {
        HostTransaction::release(&mut self.view(), same(it))
            .await
            .map_err(fault)
    }

    pub(crate) async fn rollback_to(&mut self, it: &Transaction) {
        HostTransaction::rollback_to(&mut self.view(), same(it)).await.unwrap();
    }

    pub(crate) async fn commit(&mut self, it: &Transaction) -> Result<Result<(), Error>, Fault> {
        HostTransaction::commit(&mut self.view(), same(it)).await.map_err(fault)
    }

    pub(crate) async fn rollback(&mut self, it: &Transaction) -> Result<(), Fault> {
        HostTransaction::rollback(&mut self.view(), same(it))
            .await
            .map_err(fault)
    }

    pub(crate) async fn drop_transaction(&mut self, it: Transaction) -> Result<(), Fault> {
        HostTransaction::drop(&mut self.view(), it).await.map_err(fault)
    }
}
