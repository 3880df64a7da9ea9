//! Transactions that are not used as they are meant to be.

use std::hint::black_box;

use sdk::bindings::nexus::sql::sql::{self, Isolation, Transaction};

use super::answers::plain;
use crate::bindings::exports::nexus::http::handler::Response;
use crate::bindings::hostile::guest::mirror;

const LOCK: &str = "UPDATE item SET amount = amount + 1 WHERE id = 1";
/// Longer than anybody waits; the server counts it row by row.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

fn begin() -> Transaction {
    Transaction::begin(Isolation::ReadCommitted)
}

/// Inside a transaction that holds the lock of a row.
fn holding() -> Transaction {
    let transaction = begin();
    let locked = transaction.run(LOCK, &[]);
    locked.expect("the module may write its own table");
    transaction
}

pub(super) fn begin_twice() -> Response {
    let (_first, _second) = (begin(), begin());
    plain("two transactions".to_owned())
}

pub(super) fn query_inside() -> Response {
    let _open = begin();
    plain(format!("{:?}", sql::query("SELECT 1", &[]).is_ok()))
}

pub(super) fn call_inside() -> Response {
    let _open = begin();
    plain(mirror::deeper(0).to_string())
}

/// Returns while it is open: it is not even dropped.
pub(super) fn never_end() -> Response {
    std::mem::forget(holding());
    plain("still open".to_owned())
}

pub(super) fn use_after_commit() -> Response {
    let transaction = begin();
    transaction.commit().expect("nothing was done that could fail");
    plain(format!("{:?}", transaction.run("SELECT 1", &[]).is_ok()))
}

pub(super) fn roll_back_nothing() -> Response {
    let transaction = begin();
    transaction.rollback_to();
    plain("rolled back".to_owned())
}

pub(super) fn hold_and_loop() -> Response {
    let _held = holding();
    loop {
        black_box(());
    }
}

pub(super) fn hold_and_wait() -> Response {
    let held = holding();
    plain(format!("{:?}", held.run(ENDLESS, &[]).is_ok()))
}

pub(super) fn trap_inside() -> Response {
    let _held = holding();
    panic!("on purpose");
}
