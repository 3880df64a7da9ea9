//! Accounts, credentials, profiles and contacts.

mod domain;
mod error;
mod exports;
mod http;
mod store;
mod workflow;

sdk::component!("account");

use bindings::exports::{
    nexus::http::handler,
    shop::account::{contacts, ledger, profiles},
};

struct Account;

bindings::export!(Account with_types_in bindings);

impl handler::Guest for Account {
    fn handle(request: handler::Request) -> handler::Response {
        http::ROUTER.handle(request)
    }
}

impl profiles::Guest for Account {
    fn get(account_id: String) -> Result<profiles::Profile, profiles::Error> {
        exports::profile(&account_id)
    }
}

impl contacts::Guest for Account {
    fn get_defaults(account_ids: Vec<String>) -> Result<Vec<contacts::Contact>, contacts::Error> {
        exports::default_contacts(&account_ids)
    }
}

impl ledger::Guest for Account {
    fn balance(account_id: String) -> Result<ledger::Money, ledger::Error> {
        exports::balance(&account_id)
    }

    fn revert(id: String, reversal_id: String, note: String) -> Result<(), ledger::Error> {
        exports::revert(&id, &reversal_id, &note)
    }

    fn post(transfers: Vec<ledger::Transfer>) -> Result<(), ledger::Error> {
        exports::post(transfers)
    }

    fn hold(transfer: ledger::Transfer) -> Result<(), ledger::Error> {
        exports::hold(transfer)
    }

    fn capture(id: String) -> Result<(), ledger::Error> {
        exports::capture(&id)
    }

    fn release(id: String) -> Result<(), ledger::Error> {
        exports::release(&id)
    }
}
