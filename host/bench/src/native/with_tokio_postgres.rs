//! The handlers with the driver of the platform's modules and as many round trips: BEGIN travels with the first statement.

use anyhow::{Context, Result};
use futures_util::future::join;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{Item, LOCK_ITEM, Order, Outcome, READ_ITEM, RECORD_PURCHASE, Receipt, SCHEMA, TAKE_FROM_STOCK};

pub(super) struct WithTokioPostgres {
    config: Config,
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
}

struct Session {
    client: Client,
    lock_item: Statement,
    take_from_stock: Statement,
    record_purchase: Statement,
    read_item: Statement,
}

/// A session in use. One that is not given back is closed: an error left it in an unknown state.
struct Lease<'a> {
    session: Session,
    pool: &'a WithTokioPostgres,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    fn give_back(self) {
        self.pool.idle.lock().push(self.session);
    }
}

impl WithTokioPostgres {
    pub(super) fn new(database_url: &str, sessions: usize) -> Result<Self> {
        let mut config: Config = database_url.parse()?;
        config.options(format!("-c search_path={SCHEMA}"));
        Ok(Self {
            config,
            idle: Mutex::default(),
            permits: Semaphore::new(sessions),
        })
    }

    async fn session(&self) -> Result<Lease<'_>> {
        let permit = self.permits.acquire().await?;
        // The one used last: its caches are warm.
        let idle = self.idle.lock().pop();
        let session = match idle {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(Lease {
            session,
            pool: self,
            _permit: permit,
        })
    }

    async fn connect(&self) -> Result<Session> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Ends with the client.
        tokio::spawn(connection);
        Ok(Session {
            lock_item: client.prepare(LOCK_ITEM).await?,
            take_from_stock: client.prepare(TAKE_FROM_STOCK).await?,
            record_purchase: client.prepare(RECORD_PURCHASE).await?,
            read_item: client.prepare(READ_ITEM).await?,
            client,
        })
    }

    pub(super) async fn order(&self, order: &Order) -> Result<Outcome<Receipt>> {
        let lease = self.session().await?;
        let outcome = lease.session.order(order).await?;
        lease.give_back();
        Ok(outcome)
    }

    pub(super) async fn item(&self, id: i64) -> Result<Outcome<Item>> {
        let lease = self.session().await?;
        let Session { client, read_item, .. } = &lease.session;
        let row = client.query_opt(read_item, &[&id]).await?;
        lease.give_back();
        let Some(row) = row else { return Ok(Outcome::NoSuchItem) };
        Ok(Outcome::Done(Item {
            id,
            name: row.try_get(0)?,
            price: row.try_get(1)?,
            stock: row.try_get(2)?,
        }))
    }
}

impl Session {
    async fn order(&self, order: &Order) -> Result<Outcome<Receipt>> {
        let Self {
            client,
            lock_item,
            take_from_stock,
            record_purchase,
            ..
        } = self;
        let Order { item, quantity } = order;
        // Both are sent in the order in which they are first polled, and before either is answered.
        let (begun, locked) = join(client.batch_execute("BEGIN"), client.query_opt(lock_item, &[item])).await;
        begun?;
        let refusal = match locked? {
            None => Outcome::NoSuchItem,
            Some(row) => {
                let (price, stock): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                if stock >= *quantity {
                    let amount = price * quantity;
                    client.execute(take_from_stock, &[item, &(stock - quantity)]).await?;
                    let row = client.query_one(record_purchase, &[item, quantity, &amount]).await?;
                    client.batch_execute("COMMIT").await?;
                    return Ok(Outcome::Done(Receipt {
                        purchase: row.try_get(0).context("the purchase's id")?,
                        amount,
                    }));
                }
                Outcome::NoStock
            }
        };
        client.batch_execute("ROLLBACK").await?;
        Ok(refusal)
    }
}
