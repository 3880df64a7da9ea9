//! The module `stock`: one transaction. Its statements are files that the service it is compared with reads too.

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings {
    sdk::wit_bindgen::generate!({
        world: "bench:stock/stock@0.1.0",
        path: ["../../../wit", "../../bench/market/wit", "wit"],
        runtime_path: "::sdk::wit_bindgen::rt",
        generate_all,
        additional_derives: [PartialEq],
        with: {
            "nexus:durable/invocation@0.1.0": ::sdk::bindings::nexus::durable::invocation,
            "nexus:durable/derived@0.1.0": ::sdk::bindings::nexus::durable::derived,
            "nexus:log/log@0.1.0": ::sdk::bindings::nexus::log::log,
            "nexus:sql/sql@0.1.0": ::sdk::bindings::nexus::sql::sql,
        },
    });
}

use bindings::exports::bench::market::stock::Guest;
use sdk::http::Error;
use sdk::sql::{self, params};

const LOCK_ITEM: &str = include_str!("../../../bench/market/statements/lock_item.sql");
const TAKE_FROM_ITEM: &str = include_str!("../../../bench/market/statements/take_from_item.sql");
const RECORD_RESERVATION: &str = include_str!("../../../bench/market/statements/record_reservation.sql");

struct Stock;

impl Guest for Stock {
    fn reserve(item: i64, quantity: i64) -> Result<i64, String> {
        let reserved = sql::transaction(|tx| -> Result<i64, Error> {
            let row = tx.query_opt(LOCK_ITEM, params![item])?;
            let row = row.ok_or_else(|| Error::not_found("not_found", "there is no such item"))?;
            let available: i64 = row.get("available")?;
            if available < quantity {
                return Err(Error::conflict("no_stock", "there are not enough of it"));
            }
            tx.execute(TAKE_FROM_ITEM, params![item, available - quantity])?;
            Ok(tx.query_one(RECORD_RESERVATION, params![item, quantity])?.get("id")?)
        });
        reserved.map_err(|error| error.message().to_owned())
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Stock, bindings};

    bindings::export!(Stock with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Stock> = None;
