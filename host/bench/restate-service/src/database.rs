//! The transactions: the driver, the statements and the round trips of the modules in `nexus`.

use std::future::Future;

use anyhow::Result;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::join;
use restate_sdk::prelude::{HandlerError, TerminalError};
use tokio_postgres::NoTls;

use crate::checkout::Paid;

const LOCK_ITEM: &str = include_str!("../../market/statements/lock_item.sql");
const TAKE_FROM_ITEM: &str = include_str!("../../market/statements/take_from_item.sql");
const RECORD_RESERVATION: &str = include_str!("../../market/statements/record_reservation.sql");
const RECORD_PURCHASE: &str = include_str!("../../market/statements/record_purchase.sql");
const ADD_TO_SPENT: &str = include_str!("../../market/statements/add_to_spent.sql");

/// As many as a module has in `nexus`.
const SESSIONS: usize = 12;

pub struct Database {
    stock: Pool,
    orders: Pool,
}

impl Database {
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self {
            stock: pool(url, "stock")?,
            orders: pool(url, "orders")?,
        })
    }

    /// Takes from the stock of an item, and answers the reservation's id.
    pub async fn reserve(&self, item: i64, quantity: i64) -> Result<i64, HandlerError> {
        let session = self.stock.get().await?;
        in_transaction(session, async |session, begin| {
            let lock = session.prepare_cached(LOCK_ITEM).await?;
            let take = session.prepare_cached(TAKE_FROM_ITEM).await?;
            let record = session.prepare_cached(RECORD_RESERVATION).await?;
            let (begun, locked) = join(begin, session.query_opt(&lock, &[&item])).await;
            begun?;
            let available: i64 = match locked? {
                Some(row) => row.try_get(0)?,
                None => return Err(TerminalError::new("there is no such item").into()),
            };
            if available < quantity {
                return Err(TerminalError::new("there are not enough of it").into());
            }
            session.execute(&take, &[&item, &(available - quantity)]).await?;
            Ok(session.query_one(&record, &[&item, &quantity]).await?.try_get(0)?)
        })
        .await
    }

    /// Records a purchase and what its buyer has spent, and answers its id.
    pub async fn record(&self, paid: &Paid) -> Result<i64, HandlerError> {
        let session = self.orders.get().await?;
        in_transaction(session, async |session, begin| {
            let record = session.prepare_cached(RECORD_PURCHASE).await?;
            let add = session.prepare_cached(ADD_TO_SPENT).await?;
            let Paid {
                buyer,
                reservation,
                amount,
                receipt,
            } = paid;
            let (begun, recorded) = join(
                begin,
                session.query_one(&record, &[buyer, reservation, amount, receipt]),
            )
            .await;
            begun?;
            let purchase = recorded?.try_get(0)?;
            session.execute(&add, &[buyer, amount]).await?;
            Ok(purchase)
        })
        .await
    }
}

fn pool(url: &str, schema: &str) -> Result<Pool> {
    let mut config: tokio_postgres::Config = url.parse()?;
    config.options(format!("-c search_path={schema}"));
    // A round trip before every use; the modules' pool makes none.
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(config, NoTls, recycling);
    Ok(Pool::builder(manager)
        .max_size(SESSIONS)
        .runtime(Runtime::Tokio1)
        .build()?)
}

/// Runs `work` in a transaction. BEGIN is handed to it, to be sent with its first statement: both are sent in the order in which
/// they are first polled, and before either is answered.
async fn in_transaction<T>(
    session: Object,
    work: impl AsyncFnOnce(&Object, BoxedBegin<'_>) -> Result<T, HandlerError>,
) -> Result<T, HandlerError> {
    let begin = Box::pin(session.batch_execute("BEGIN"));
    match work(&session, begin).await {
        Ok(done) => {
            session.batch_execute("COMMIT").await?;
            Ok(done)
        }
        Err(error) => {
            // Closed, and with it the transaction: in what state it is nobody knows.
            drop(Object::take(session));
            Err(error)
        }
    }
}

type BoxedBegin<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'a>>;
