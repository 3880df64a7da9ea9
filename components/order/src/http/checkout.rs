//! `/buyer/checkout` and what belongs to it.

use sdk::{
    Checks, Currency, Input,
    http::{Error, Request, Response},
    json,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::view::{PaymentSession, SummaryItem};
use crate::{
    domain::{
        checkout::Wanted,
        id::{LegId, SessionId, SkuId},
        session::Kind,
    },
    error,
    peers::account::Buyer,
    store::{item, session},
    workflow::{cancel, checkout as workflow, payment_url, quote},
};

const MAX_ADDRESS: usize = 500;
const MAX_OPTION: usize = 100;
const MAX_NOTE: usize = 500;
const MAX_QUANTITY: i64 = 100_000;
/// As many as a cart has lines.
const MAX_ITEMS: usize = 100;

#[derive(Debug, Deserialize)]
struct CheckoutInput {
    #[serde(default, deserialize_with = "json::null_as_default")]
    buy_now: bool,
    #[serde(default, deserialize_with = "json::null_as_default")]
    address: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    payment_option: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    use_wallet: bool,
    #[serde(default)]
    items: Option<Vec<ItemInput>>,
}

#[derive(Debug, Deserialize)]
struct QuoteInput {
    #[serde(default, deserialize_with = "json::null_as_default")]
    address: String,
    #[serde(default)]
    items: Option<Vec<ItemInput>>,
}

#[derive(Debug, Deserialize)]
struct ItemInput {
    #[serde(default)]
    sku_id: Option<SkuId>,
    #[serde(default, deserialize_with = "json::optional_number")]
    quantity: Option<i64>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    transport_option: String,
    #[serde(default)]
    note: Option<String>,
}

impl Input for CheckoutInput {
    fn check(&self, checks: &mut Checks) {
        checks
            .text("address", self.address.as_str())
            .required()
            .max(MAX_ADDRESS);
        checks
            .text("payment_option", self.payment_option.as_str())
            .max(MAX_OPTION);
        check_items(self.items.as_deref(), checks);
    }
}

impl Input for QuoteInput {
    fn check(&self, checks: &mut Checks) {
        checks
            .text("address", self.address.as_str())
            .required()
            .max(MAX_ADDRESS);
        check_items(self.items.as_deref(), checks);
    }
}

fn check_items(items: Option<&[ItemInput]>, checks: &mut Checks) {
    checks.list("items", items).required().min(1).max(MAX_ITEMS);
    for (position, item) in items.unwrap_or_default().iter().enumerate() {
        let field = |name: &str| format!("items[{position}].{name}");
        checks.required_id(field("sku_id"), item.sku_id);
        checks
            .number(field("quantity"), item.quantity)
            .required()
            .min(1)
            .max(MAX_QUANTITY);
        checks
            .text(field("transport_option"), item.transport_option.as_str())
            .required()
            .max(MAX_OPTION);
        checks.text(field("note"), item.note.as_deref()).max(MAX_NOTE);
    }
}

/// The checked lines: what is absent was refused before.
fn wanted(items: Option<Vec<ItemInput>>) -> Vec<Wanted> {
    let lines = items.unwrap_or_default().into_iter().filter_map(|item| {
        Some(Wanted {
            sku_id: item.sku_id?,
            quantity: item.quantity?,
            transport_option: item.transport_option,
            note: item.note.filter(|note| !note.is_empty()),
        })
    });
    lines.collect()
}

pub(super) fn checkout(request: &Request) -> Result<Response, Error> {
    let input: CheckoutInput = request.json()?;
    let (buy_now, items) = (input.buy_now, wanted(input.items));
    if buy_now && items.len() != 1 {
        return Err(error::Error::BuyNowSingleSku.into());
    }
    let caller = request.caller()?;
    let checkout = workflow::Checkout {
        buyer: caller.account_id,
        address: input.address,
        payment_option: input.payment_option,
        use_wallet: input.use_wallet,
        buy_now,
        items,
    };
    let receipt = workflow::checkout(checkout, &caller.try_into()?)?;
    Response::data(&json!({ "checkout_session_id": receipt.session_id, "payment_url": receipt.payment_url }))
}

pub(super) fn cancel(request: &Request) -> Result<Response, Error> {
    let id: SessionId = request.param("sessionID")?;
    cancel::cancel_checkout(request.account()?, id)?;
    Response::message("Checkout cancelled")
}

pub(super) fn payment_url(request: &Request) -> Result<Response, Error> {
    let id: SessionId = request.param("sessionID")?;
    let url = payment_url::next(request.account()?, Kind::BuyerCheckout, id)?;
    Response::data(&json!({ "payment_url": url }))
}

#[derive(Debug, Serialize)]
struct QuotedItem {
    sku_id: SkuId,
    transport_option: String,
    cost: i64,
    currency: Currency,
}

pub(super) fn quote_transport(request: &Request) -> Result<Response, Error> {
    let input: QuoteInput = request.json()?;
    let caller = request.caller()?;
    let Buyer { currency, .. } = caller.try_into()?;
    let quoted = quote::quote(caller.account_id, currency, &input.address, wanted(input.items))?;
    let items: Vec<QuotedItem> = quoted
        .lines
        .into_iter()
        .map(|(line, cost)| QuotedItem {
            sku_id: line.wanted.sku_id,
            transport_option: line.wanted.transport_option,
            cost,
            currency: quoted.currency,
        })
        .collect();
    Response::data(&json!({ "items": items }))
}

pub(super) fn summary(request: &Request) -> Result<Response, Error> {
    let leg: LegId = request.param("txID")?;
    let buyer = request.account()?;
    let session = session::by_leg(buyer, leg)?.ok_or(error::Error::EntityNotFound("checkout"))?;
    let items = item::of_session(session.id)?;
    let items: Vec<_> = items.iter().map(SummaryItem::from).collect();
    Ok(Response::data(&json!({ "session": PaymentSession::shown_to(buyer, &session), "items": items }))?.no_store())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(body: serde_json::Value) -> String {
        let input: CheckoutInput = serde_json::from_value(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    fn item() -> serde_json::Value {
        json!({ "sku_id": "0190a5b2-7c11-7d3e-8f00-0123456789ab", "quantity": 1, "transport_option": "standard" })
    }

    #[test]
    fn a_whole_checkout_passes() {
        let body = json!({
            "buy_now": false, "address": "1 Main Street, Vietnam", "payment_option": "system-cod", "use_wallet": true,
            "wallet_id": null, "items": [item()]
        });
        assert_eq!(failures(body), "");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            failures(json!({})),
            r#"validation: {"address":"is required","items":"is required"}"#
        );
        assert_eq!(
            failures(json!({ "address": "x", "items": [] })),
            r#"validation: {"items":"must have at least 1 items"}"#
        );
        let bad = json!({ "sku_id": null, "quantity": 100_001, "note": "n".repeat(501) });
        assert_eq!(
            failures(json!({ "address": "x", "items": [item(), bad] })),
            r#"validation: {"items[1].note":"must have at most 500 characters","items[1].quantity":"must be at most 100000","items[1].sku_id":"is required","items[1].transport_option":"is required"}"#
        );
    }

    #[test]
    fn an_empty_note_is_none() {
        let mut with_note = item();
        with_note["note"] = json!("");
        let items = serde_json::from_value(json!([with_note])).unwrap();
        assert_eq!(wanted(items)[0].note, None);
    }
}
