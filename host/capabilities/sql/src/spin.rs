//! `spin:postgres`, for components that are not journaled: the schema and the role that the component is granted, one statement at a
//! time. Each statement is a transaction of its own.

mod value;

use std::sync::Arc;

use host_bindings::SpinConnection;
use host_bindings::nexus::sql::sql;
use host_bindings::stock::spin::postgres::postgres::{
    self, Column, DbError, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
    HostConnectionWithStore, ParameterValue, QueryError, RowSet,
};
use postgres_types::Type;
use tokio::time::timeout;
use wasmtime::component::{Accessor, FutureReader, HasData, Linker, Resource, ResourceTable, StreamReader};

use crate::error::Failure;
use crate::pool::{Lease, ModulePool};
use crate::statement;

/// Tries, where the server wants a statement again.
const TRIES: u32 = 3;
/// Connections and builders an instance may hold at once. They are names: a session is taken for each statement.
const MAX_OPEN: usize = 64;

/// What one instance needs.
pub struct SpinPostgres {
    pool: Arc<ModulePool>,
    /// The address that stands for it.
    schema: String,
    open: usize,
}

impl SpinPostgres {
    /// Of one instance. `schema` is what the component calls its database.
    pub fn new(pool: Arc<ModulePool>, schema: String) -> Self {
        Self { pool, schema, open: 0 }
    }
}

/// What the host functions see of an instance.
pub struct SpinPostgresView<'a> {
    /// The instance's context.
    pub context: &'a mut SpinPostgres,
    /// Where its connections live.
    pub table: &'a mut ResourceTable,
}

struct SpinData;

impl HasData for SpinData {
    type Data<'a> = SpinPostgresView<'a>;
}

/// Answers `spin:postgres`.
pub fn add_spin_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> SpinPostgresView<'_>,
) -> wasmtime::Result<()> {
    postgres::add_to_linker::<T, SpinData>(linker, get)
}

impl SpinPostgresView<'_> {
    fn hold(&mut self, address: String) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        if self.context.open >= MAX_OPEN {
            let text = format!("a component may hold {MAX_OPEN} connections at once, not more");
            return Ok(Err(Error::ConnectionFailed(text)));
        }
        let held = self.table.push(SpinConnection(address))?;
        self.context.open += 1;
        Ok(Ok(held))
    }

    fn open(&mut self, address: String) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        if address != self.context.schema {
            // An address may hold a password.
            let text = format!(
                "an address is the name of a grant, and this component's is {:?}: its `schema`",
                self.context.schema
            );
            return Ok(Err(Error::ConnectionFailed(text)));
        }
        self.hold(address)
    }

    fn build(
        &mut self,
        builder: &Resource<SpinConnection>,
    ) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        let SpinConnection(address) = self.table.get(builder)?;
        let address = address.clone();
        self.open(address)
    }

    fn release(&mut self, held: Resource<SpinConnection>) -> wasmtime::Result<()> {
        self.table.delete(held)?;
        self.context.open -= 1;
        Ok(())
    }

    fn pool(&self) -> Arc<ModulePool> {
        Arc::clone(&self.context.pool)
    }
}

impl Host for SpinPostgresView<'_> {}

impl HostConnection for SpinPostgresView<'_> {
    async fn open(&mut self, address: String) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        SpinPostgresView::open(self, address)
    }

    async fn query(
        &mut self,
        _this: Resource<SpinConnection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        Ok(query(&self.pool(), &statement, params)
            .await
            .map(|(columns, rows)| RowSet { columns, rows }))
    }

    async fn execute(
        &mut self,
        _this: Resource<SpinConnection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        Ok(execute(&self.pool(), &statement, params).await)
    }

    async fn drop(&mut self, this: Resource<SpinConnection>) -> wasmtime::Result<()> {
        self.release(this)
    }
}

type Rows = Vec<Vec<postgres::DbValue>>;

impl<T: Send> HostConnectionWithStore<T> for SpinData {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        accessor.with(|mut access| access.get().open(address))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        _this: Resource<SpinConnection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<
        Result<
            (
                Vec<Column>,
                StreamReader<Vec<postgres::DbValue>>,
                FutureReader<Result<(), Error>>,
            ),
            Error,
        >,
    > {
        let pool = accessor.with(|mut access| access.get().pool());
        match query(&pool, &statement, params).await {
            Err(error) => Ok(Err(error)),
            // They are all there: what a statement returns is bounded.
            Ok((columns, rows)) => accessor.with(|mut access| {
                let rows: Rows = rows;
                let rows = StreamReader::new(&mut access, rows)?;
                let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
                Ok(Ok((columns, rows, end)))
            }),
        }
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        _this: Resource<SpinConnection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let pool = accessor.with(|mut access| access.get().pool());
        Ok(execute(&pool, &statement, params).await)
    }
}

impl HostConnectionBuilder for SpinPostgresView<'_> {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<SpinConnection>> {
        // There is no error to tell here: an instance that opens them without end is stopped.
        match self.hold(address)? {
            Ok(builder) => Ok(builder),
            Err(error) => Err(wasmtime::format_err!("{error:?}")),
        }
    }

    async fn set_ca_root(
        &mut self,
        _this: Resource<SpinConnection>,
        _certificate: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let text = "the host makes the connection; a certificate is not the component's to choose";
        Ok(Err(Error::Other(text.into())))
    }

    async fn build(
        &mut self,
        this: Resource<SpinConnection>,
    ) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        SpinPostgresView::build(self, &this)
    }

    async fn drop(&mut self, this: Resource<SpinConnection>) -> wasmtime::Result<()> {
        self.release(this)
    }
}

impl<T: Send> HostConnectionBuilderWithStore<T> for SpinData {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        this: Resource<SpinConnection>,
    ) -> wasmtime::Result<Result<Resource<SpinConnection>, Error>> {
        accessor.with(|mut access| access.get().build(&this))
    }
}

async fn query(
    pool: &Arc<ModulePool>,
    text: &str,
    parameters: Vec<ParameterValue>,
) -> Result<(Vec<Column>, Rows), Error> {
    let (columns, rows) = run(pool, text, parameters).await?;
    let columns = columns.into_iter().map(|(name, ty)| Column {
        name,
        data_type: value::data_type(&ty),
    });
    let rows = rows.rows.into_iter();
    let rows = rows.map(|row| row.into_iter().map(value::from_sql).collect());
    let rows: Result<Rows, String> = rows.collect();
    Ok((columns.collect(), rows.map_err(Error::ValueConversionFailed)?))
}

async fn execute(pool: &Arc<ModulePool>, text: &str, parameters: Vec<ParameterValue>) -> Result<u64, Error> {
    let (_, rows) = run(pool, text, parameters).await?;
    Ok(rows.affected)
}

type Answer = (Vec<(String, Type)>, sql::Rows);

/// One statement, committed when this returns.
async fn run(pool: &Arc<ModulePool>, text: &str, parameters: Vec<ParameterValue>) -> Result<Answer, Error> {
    if statement::controls_transactions(text) {
        let hint = "each statement commits by itself, so there is no transaction to begin or to end: write what belongs together as one \
                    statement (WITH ...), or build the component as a module, which has `nexus:sql` transactions";
        return Err(Error::QueryFailed(QueryError::Text(hint.into())));
    }
    statement::check(text).map_err(refused)?;
    let parameters = parameters.into_iter().zip(1..).map(|(parameter, position)| {
        value::to_sql(parameter).map_err(|reason| format!("parameter {position}: {reason}"))
    });
    let parameters: Result<Vec<_>, String> = parameters.collect();
    let parameters = parameters.map_err(Error::BadParameter)?;
    let limit = pool.transaction_limit();
    match timeout(limit, try_run(pool, text, &parameters)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::QueryFailed(QueryError::Text(format!(
            "a statement took longer than {} ms; whether it happened is not known",
            limit.as_millis()
        )))),
    }
}

async fn try_run(pool: &Arc<ModulePool>, text: &str, parameters: &[sql::Value]) -> Result<Answer, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let lease = pool.lease().await;
        let mut lease = lease.map_err(|error| Error::ConnectionFailed(error.to_string()))?;
        // Dropped in the middle, the session is closed, and what it had begun is rolled back.
        lease.begin();
        let wire = lease.wire();
        let failure = match wire.wait(once(&mut lease, text, parameters)).await {
            Ok(answer) if !lease.is_astray() => {
                lease.settled();
                return Ok(answer);
            }
            Ok(_) => return Err(Error::Other("the statement changed the state of its session".into())),
            Err(failure) => failure,
        };
        if lease.is_flooded() {
            return Err(Error::Other(statement::too_large()));
        }
        match failure {
            Failure::Lost(text) => return Err(Error::ConnectionFailed(text)),
            Failure::TooLarge(text) => return Err(Error::Other(text)),
            Failure::Refused(error) => {
                roll_back(&mut lease).await;
                return Err(refused(error));
            }
            Failure::Stale => {
                lease.forget_statements();
                roll_back(&mut lease).await;
            }
            Failure::Repeat(_) => roll_back(&mut lease).await,
        }
        if tries >= TRIES {
            let text = "the database wants the statement again and again".to_owned();
            return Err(Error::QueryFailed(QueryError::Text(text)));
        }
    }
}

/// A session that cannot be brought back is closed when it is dropped.
async fn roll_back(lease: &mut Lease) {
    let rolled_back = lease.wire().wait(lease.client().batch_execute("ROLLBACK")).await;
    if rolled_back.is_ok() && !lease.is_astray() {
        lease.settled();
    }
}

async fn once(lease: &mut Lease, text: &str, parameters: &[sql::Value]) -> Result<Answer, Failure> {
    let classify = |error: tokio_postgres::Error| crate::error::classify(&error);
    lease
        .client()
        .batch_execute("BEGIN READ WRITE")
        .await
        .map_err(classify)?;
    let prepared = match lease.prepared(text) {
        Some(prepared) => prepared,
        None => lease.prepare(text).await?,
    };
    let bound = statement::bind(&prepared, parameters).map_err(Failure::Refused)?;
    let rows = statement::fetch(lease.client(), &prepared, bound).await?;
    lease.client().batch_execute("COMMIT").await.map_err(classify)?;
    let columns = prepared.columns().iter();
    let columns = columns.map(|column| (column.name().to_owned(), column.type_().clone()));
    Ok((columns.collect(), rows))
}

/// As the server said it, or the host in its place.
fn refused(error: sql::Error) -> Error {
    let db = |code: &str, message: String, extras: Vec<(String, String)>| {
        Error::QueryFailed(QueryError::DbError(DbError {
            as_text: format!("{message} (SQLSTATE {code})"),
            severity: "ERROR".into(),
            code: code.to_owned(),
            message,
            detail: None,
            extras,
        }))
    };
    let violation = |code: &str, violation: sql::Violation| {
        let extras = vec![
            ("constraint".to_owned(), violation.constraint),
            ("table".to_owned(), violation.table),
        ];
        db(code, violation.message, extras)
    };
    match error {
        sql::Error::UniqueViolation(it) => violation("23505", it),
        sql::Error::ForeignKeyViolation(it) => violation("23503", it),
        sql::Error::CheckViolation(it) => violation("23514", it),
        sql::Error::NotNullViolation(it) => violation("23502", it),
        sql::Error::InvalidParameter((position, reason)) => {
            Error::BadParameter(format!("parameter {position}: {reason}"))
        }
        sql::Error::Poisoned => Error::Other("the transaction had failed".into()),
        sql::Error::Other(it) => db(&it.code, it.message, Vec::new()),
    }
}
