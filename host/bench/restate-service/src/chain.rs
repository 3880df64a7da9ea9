//! A chain of four: each adds one by asking the next, the last one adds to nothing.

use restate_sdk::prelude::*;

pub struct First;
pub struct Second;
pub struct Third;
pub struct Fourth;

#[service]
impl First {
    #[handler]
    async fn add(&self, ctx: Context<'_>, number: u32) -> HandlerResult<u32> {
        let sum = ctx.service_client::<SecondClient>().add(number).call().await?;
        Ok(sum.wrapping_add(1))
    }
}

#[service]
impl Second {
    #[handler]
    async fn add(&self, ctx: Context<'_>, number: u32) -> HandlerResult<u32> {
        let sum = ctx.service_client::<ThirdClient>().add(number).call().await?;
        Ok(sum.wrapping_add(1))
    }
}

#[service]
impl Third {
    #[handler]
    async fn add(&self, ctx: Context<'_>, number: u32) -> HandlerResult<u32> {
        let sum = ctx.service_client::<FourthClient>().add(number).call().await?;
        Ok(sum.wrapping_add(1))
    }
}

#[service]
impl Fourth {
    #[handler]
    async fn add(&self, _ctx: Context<'_>, number: u32) -> HandlerResult<u32> {
        Ok(number.wrapping_add(1))
    }
}
