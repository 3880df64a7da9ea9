//! The module `orders`: one transaction. Its statements are files that the service it is compared with reads too.

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
        world: "bench:orders/orders@0.1.0",
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

use bindings::exports::bench::market::orders::{Guest, Paid};
use sdk::sql::{self, params};

const RECORD_PURCHASE: &str = include_str!("../../../bench/market/statements/record_purchase.sql");
const ADD_TO_SPENT: &str = include_str!("../../../bench/market/statements/add_to_spent.sql");

struct Orders;

impl Guest for Orders {
    fn place(paid: Paid) -> Result<i64, String> {
        let Paid {
            buyer,
            reservation,
            amount,
            receipt,
        } = paid;
        let recorded = sql::transaction(|tx| -> Result<i64, sql::Error> {
            let row = tx.query_one(RECORD_PURCHASE, params![buyer, reservation, amount, receipt])?;
            tx.execute(ADD_TO_SPENT, params![buyer, amount])?;
            row.get("id")
        });
        recorded.map_err(|error| error.to_string())
    }
}

// Symbols of components have names that only wasm has: a native build has nobody who would call them.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated: the component's entry points")]
mod entry {
    use super::{Orders, bindings};

    bindings::export!(Orders with_types_in bindings);
}

// Names the type, so that what it implements is not dead code where nothing is exported.
const _: Option<Orders> = None;
