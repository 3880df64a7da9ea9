//! The empty durable call.

use restate_sdk::prelude::*;

pub struct Empty;

#[service]
impl Empty {
    #[handler]
    async fn call(&self, _ctx: Context<'_>, number: u32) -> HandlerResult<u32> {
        Ok(number)
    }
}
