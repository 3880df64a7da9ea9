//! The handlers as one would write them first: sqlx and its pool.

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::{Item, LOCK_ITEM, Order, Outcome, READ_ITEM, RECORD_PURCHASE, Receipt, SCHEMA, TAKE_FROM_STOCK};

pub(super) struct WithSqlx {
    pool: PgPool,
}

impl WithSqlx {
    pub(super) fn connect(database_url: &str, sessions: usize) -> Result<Self> {
        let options: PgConnectOptions = database_url.parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(u32::try_from(sessions)?)
            // A round trip before every use; the platform's pool makes none.
            .test_before_acquire(false);
        Ok(Self {
            pool: pool.connect_lazy_with(options.options([("search_path", SCHEMA)])),
        })
    }

    pub(super) async fn order(&self, order: &Order) -> Result<Outcome<Receipt>> {
        let Order { item, quantity } = *order;
        let mut transaction = self.pool.begin().await?;
        let locked: Option<(i64, i64)> = sqlx::query_as(LOCK_ITEM)
            .bind(item)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some((price, stock)) = locked else {
            return Ok(Outcome::NoSuchItem);
        };
        if stock < quantity {
            return Ok(Outcome::NoStock);
        }
        let amount = price * quantity;
        sqlx::query(TAKE_FROM_STOCK)
            .bind(item)
            .bind(stock - quantity)
            .execute(&mut *transaction)
            .await?;
        let (purchase,): (i64,) = sqlx::query_as(RECORD_PURCHASE)
            .bind(item)
            .bind(quantity)
            .bind(amount)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Outcome::Done(Receipt { purchase, amount }))
    }

    pub(super) async fn item(&self, id: i64) -> Result<Outcome<Item>> {
        let row: Option<(String, i64, i64)> = sqlx::query_as(READ_ITEM).bind(id).fetch_optional(&self.pool).await?;
        Ok(match row {
            Some((name, price, stock)) => Outcome::Done(Item { id, name, price, stock }),
            None => Outcome::NoSuchItem,
        })
    }
}
