//! The functions of `nexus:sql/sql`.

use host_bindings::nexus::sql::sql::{Error, Host, HostPendingQuery, HostTransaction, Isolation, Rows, Value};
use host_bindings::{SqlPendingQuery, SqlTransaction};
use host_types::Fault;
use wasmtime::component::Resource;

use crate::pending::{MAX_PENDING, PendingQuery};
use crate::transaction::Transaction;
use crate::{SqlView, query, record};

pub(crate) const QUERY: &str = "nexus:sql/sql.query";

impl Host for SqlView<'_> {
    async fn query(&mut self, statement: String, parameters: Vec<Value>) -> wasmtime::Result<Result<Rows, Error>> {
        let context = &*self.context;
        let arguments = record::statement(&statement, &parameters);
        let mut fresh = None;
        let read = async {
            let _turn = context.recorder.attempt().session_turn().await;
            let answer = query::query(&context.pool, &statement, &parameters).await?;
            let payload = record::encode_answer(&answer);
            fresh = Some(answer);
            Ok(payload)
        };
        let recorded = context.recorder.observe(QUERY, &arguments, read).await?;
        match fresh {
            Some(answer) => Ok(answer),
            None => record::decode_answer(&recorded)
                .map_err(|error| context.fault(Fault::Guest(format!("the record of a query is malformed: {error}")))),
        }
    }

    async fn execute(&mut self, statement: String, parameters: Vec<Value>) -> wasmtime::Result<Result<Rows, Error>> {
        let mut transaction = Transaction::begin(self.context, Isolation::ReadCommitted)?;
        match transaction.run(&statement, &parameters).await? {
            Ok(rows) => Ok(transaction.commit().await?.map(|()| rows)),
            Err(error) => {
                transaction.roll_back().await?;
                Ok(Err(error))
            }
        }
    }
}

impl HostPendingQuery for SqlView<'_> {
    async fn begin(
        &mut self,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Resource<SqlPendingQuery>> {
        if self.context.pending >= MAX_PENDING {
            let text = format!(
                "{QUERY} was begun while {MAX_PENDING} queries of this instance are begun and not finished, which is as many as may be: finish one first",
            );
            return Err(self.context.fault(Fault::LimitExceeded(text)));
        }
        let pending = PendingQuery::begin(self.context, statement, parameters)?;
        let pending = self.table.push(SqlPendingQuery(Box::new(pending)))?;
        self.context.pending += 1;
        Ok(pending)
    }

    async fn finish(&mut self, this: Resource<SqlPendingQuery>) -> wasmtime::Result<Result<Rows, Error>> {
        let SqlPendingQuery(pending) = self.table.delete(this)?;
        self.context.pending -= 1;
        match pending.downcast::<PendingQuery>() {
            Ok(pending) => Ok(pending.finish(self.context).await?),
            Err(_) => Err(wasmtime::Error::msg("a query of another host")),
        }
    }

    async fn drop(&mut self, this: Resource<SqlPendingQuery>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        self.context.pending -= 1;
        Ok(())
    }
}

impl HostTransaction for SqlView<'_> {
    async fn begin(&mut self, isolation: Isolation) -> wasmtime::Result<Resource<SqlTransaction>> {
        let transaction = Transaction::begin(self.context, isolation)?;
        Ok(self.table.push(SqlTransaction(Box::new(transaction)))?)
    }

    async fn run(
        &mut self,
        this: Resource<SqlTransaction>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        Ok(self.transaction(&this)?.run(&statement, &parameters).await?)
    }

    async fn savepoint(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<()> {
        Ok(self.transaction(&this)?.savepoint().await?)
    }

    async fn release(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<()> {
        Ok(self.transaction(&this)?.release().await?)
    }

    async fn rollback_to(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<()> {
        Ok(self.transaction(&this)?.roll_back_to().await?)
    }

    async fn commit(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.transaction(&this)?.commit().await?)
    }

    async fn rollback(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<()> {
        Ok(self.transaction(&this)?.roll_back().await?)
    }

    async fn drop(&mut self, this: Resource<SqlTransaction>) -> wasmtime::Result<()> {
        let SqlTransaction(transaction) = self.table.delete(this)?;
        match transaction.downcast::<Transaction>() {
            Ok(mut transaction) => Ok(transaction.roll_back().await?),
            Err(_) => Err(wasmtime::Error::msg("a transaction of another host")),
        }
    }
}

impl SqlView<'_> {
    fn transaction(&mut self, this: &Resource<SqlTransaction>) -> wasmtime::Result<&mut Transaction> {
        let SqlTransaction(transaction) = self.table.get_mut(this)?;
        transaction
            .downcast_mut()
            .ok_or_else(|| wasmtime::Error::msg("a transaction of another host"))
    }
}
