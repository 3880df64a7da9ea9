//! The checkout: four calls, of which two make a transaction each, in schemas of their own.

use std::sync::Arc;

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::database::Database;

#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    item: i64,
    quantity: i64,
    buyer: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    item: i64,
    quantity: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Charge {
    buyer: i64,
    amount: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Paid {
    pub buyer: i64,
    pub reservation: i64,
    pub amount: i64,
    pub receipt: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Receipt {
    purchase: i64,
    amount: i64,
}

pub struct Checkout;
pub struct Pricing;
pub struct Stock(pub Arc<Database>);
pub struct Payment;
pub struct Orders(pub Arc<Database>);

#[service]
impl Checkout {
    #[handler]
    async fn place(&self, ctx: Context<'_>, order: Json<Order>) -> HandlerResult<Json<Receipt>> {
        let Json(Order { item, quantity, buyer }) = order;
        let amount = ctx
            .service_client::<PricingClient>()
            .quote(Json(Wanted { item, quantity }))
            .call()
            .await?;
        let reservation = ctx
            .service_client::<StockClient>()
            .reserve(Json(Wanted { item, quantity }))
            .call()
            .await?;
        let receipt = ctx
            .service_client::<PaymentClient>()
            .charge(Json(Charge { buyer, amount }))
            .call()
            .await?;
        let paid = Paid {
            buyer,
            reservation,
            amount,
            receipt,
        };
        let purchase = ctx.service_client::<OrdersClient>().place(Json(paid)).call().await?;
        Ok(Json(Receipt { purchase, amount }))
    }
}

#[service]
impl Pricing {
    #[handler]
    async fn quote(&self, _ctx: Context<'_>, wanted: Json<Wanted>) -> HandlerResult<i64> {
        let Json(Wanted { item, quantity }) = wanted;
        Ok((100 + item % 900) * quantity)
    }
}

#[service]
impl Stock {
    #[handler]
    async fn reserve(&self, ctx: Context<'_>, wanted: Json<Wanted>) -> HandlerResult<i64> {
        let Json(Wanted { item, quantity }) = wanted;
        let database = Arc::clone(&self.0);
        let reserved = ctx.run(|| async move { Ok(database.reserve(item, quantity).await?) });
        Ok(reserved.name("reserve").await?)
    }
}

#[service]
impl Payment {
    #[handler]
    async fn charge(&self, _ctx: Context<'_>, charge: Json<Charge>) -> HandlerResult<String> {
        let Json(Charge { buyer, amount }) = charge;
        Ok(format!("{buyer}-{amount}"))
    }
}

#[service]
impl Orders {
    #[handler]
    async fn place(&self, ctx: Context<'_>, paid: Json<Paid>) -> HandlerResult<i64> {
        let database = Arc::clone(&self.0);
        let recorded = ctx.run(|| async move { Ok(database.record(&paid.0).await?) });
        Ok(recorded.name("record").await?)
    }
}
