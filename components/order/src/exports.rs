//! What other modules may call, and what the host calls later.

use sdk::{AccountId, now, trap, try_again};
use serde::de::DeserializeOwned;

use crate::{
    bindings::shop::order::types::{CheckoutRequest, ConfirmRequest},
    domain::id::{OrderId, SessionId, SkuId},
    error::Error,
    peers::flows,
    store::{dealing, item},
    workflow::{
        booking, checkout, collect, confirm, expire,
        owed::{self, Owed},
        parcel, payout,
    },
};

/// How long after an attempt to pay its money may still come.
const LATE_SECONDS: i64 = 24 * 3600;

/// True when the order is this buyer's, was delivered, and holds an uncancelled line of one of these SKUs. Ids that are none are nobody's.
pub(crate) fn has_purchased(buyer_id: &str, order_id: &str, sku_ids: &[String]) -> bool {
    let (Ok(buyer), Ok(order)) = (buyer_id.parse::<AccountId>(), order_id.parse::<OrderId>()) else {
        return false;
    };
    let skus: Vec<SkuId> = sku_ids.iter().filter_map(|id| id.parse().ok()).collect();
    if skus.is_empty() {
        return false;
    }
    item::bought(buyer, order, &skus).unwrap_or_else(|error| trap(&format!("read purchases: {error}")))
}

/// Whether something of this account's is not over. What is no id names nobody.
pub(crate) fn has_open(account_id: &str) -> bool {
    let Ok(account) = account_id.parse::<AccountId>() else {
        return false;
    };
    let since = now().plus_seconds(-LATE_SECONDS);
    dealing::is_open(account, since).unwrap_or_else(|error| trap(&format!("read dealings: {error}")))
}

/// Runs a timer of this module. A failure that may pass traps, so that it is tried again; a timer nobody knows is final.
pub(crate) fn run_scheduled(name: &str, argument: &[u8]) -> Result<(), String> {
    match name {
        expire::TIMER => {
            let session: SessionId = read(argument)?;
            if let Err(error) = expire::expire(session) {
                trap(&format!("expire checkout {session}: {error}"));
            }
            Ok(())
        }
        expire::UNANSWERED_TIMER => {
            let session: SessionId = read(argument)?;
            if let Err(error) = expire::reject_unanswered(session) {
                trap(&format!(
                    "give up what no seller answers for of checkout {session}: {error}"
                ));
            }
            Ok(())
        }
        payout::TIMER => {
            let order: OrderId = read(argument)?;
            if let Err(error) = payout::pay(order) {
                trap(&format!("pay out order {order}: {error}"));
            }
            Ok(())
        }
        collect::TIMER => {
            let session: SessionId = read(argument)?;
            if let Err(error) = collect::reconcile(session) {
                try_again(&format!("ask about the payments of session {session}: {error}"));
            }
            Ok(())
        }
        collect::GIVE_BACK_TIMER => {
            let session: SessionId = read(argument)?;
            if let Err(error) = collect::give_back(session) {
                trap(&format!(
                    "give back what session {session} was paid for nothing: {error}"
                ));
            }
            Ok(())
        }
        owed::TIMER => {
            let owed: Owed = read(argument)?;
            owed.settle();
            Ok(())
        }
        unknown => Err(format!("there is no timer `{unknown}`")),
    }
}

fn read<T: DeserializeOwned>(argument: &[u8]) -> Result<T, String> {
    serde_json::from_slice(argument).map_err(|error| format!("argument: {error}"))
}

/// A checkout that is paid elsewhere. How it failed was told to whoever waits for it; it is returned for those who look at its journal.
pub(crate) fn run_checkout(request: CheckoutRequest) -> Result<(), String> {
    let run = || checkout::run(&flows::read_checkout(request)?);
    run().map_err(|error: Error| error.to_string())
}

/// A confirmation whose fee is paid elsewhere.
pub(crate) fn run_confirm(request: ConfirmRequest) -> Result<(), String> {
    let run = || confirm::run(&flows::read_confirm(request)?);
    run().map_err(|error: Error| error.to_string())
}

/// A parcel that is to be fetched. Whatever fails is tried again, as long as the manifest says: what its carrier or its seller has to put right may come
/// right, and then a person reads of it among the paused invocations.
pub(crate) fn run_book(order_id: &str) -> Result<(), String> {
    let order = order(order_id)?;
    if let Err(error) = booking::book(order) {
        try_again(&format!("book the parcel of order {order}: {error}"));
    }
    Ok(())
}

/// A parcel that nobody knows the whereabouts of.
pub(crate) fn run_missing(order_id: &str) -> Result<(), String> {
    parcel::ask(order(order_id)?).map_err(|error| error.to_string())
}

fn order(id: &str) -> Result<OrderId, String> {
    id.parse().map_err(|_| format!("`{id}` is no order's id"))
}
