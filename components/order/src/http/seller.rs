//! `/seller`: what waits for a seller, and what was confirmed.

use sdk::{
    AccountId, Checks, Input, Page,
    http::{Error, Request, Response},
    json,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    private_page,
    view::{OrderItem, OrderView},
    window,
};
use crate::{
    domain::{
        id::{ItemId, OrderId, SessionId},
        item::Item,
        session::Kind,
    },
    error,
    store::{
        item_list::{self, ItemList},
        order, order_list,
    },
    workflow::{cancel, confirm as workflow, payment_url},
};

const MAX_ITEMS: usize = 1000;

#[derive(Debug, Deserialize)]
struct ConfirmInput {
    #[serde(default)]
    item_ids: Option<Vec<ItemId>>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    payment_option: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    use_wallet: bool,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RejectInput {
    #[serde(default)]
    item_ids: Option<Vec<ItemId>>,
}

impl Input for ConfirmInput {
    fn check(&self, checks: &mut Checks) {
        checks
            .list("item_ids", self.item_ids.as_deref())
            .required()
            .min(1)
            .max(MAX_ITEMS);
        checks.text("payment_option", self.payment_option.as_str()).max(100);
        checks.text("note", self.note.as_deref()).max(500);
    }
}

impl Input for RejectInput {
    fn check(&self, checks: &mut Checks) {
        checks
            .list("item_ids", self.item_ids.as_deref())
            .required()
            .min(1)
            .max(MAX_ITEMS);
    }
}

pub(super) fn pending(request: &Request) -> Result<Response, Error> {
    let page = request.page()?;
    let (rows, total) = item_list::page(ItemList::SellerPending, request.account()?, window(&page)?)?;
    let items = Page::from_rows(&page, rows, total, |item: &Item| (item.date_created, item.id));
    let Page {
        items,
        total,
        next_cursor,
    } = &items;
    let views = items.iter().map(OrderItem::from).collect();
    private_page(
        &page,
        &Page {
            items: views,
            total: *total,
            next_cursor: next_cursor.clone(),
        },
    )
}

pub(super) fn confirm(request: &Request) -> Result<Response, Error> {
    let (input, seller): (ConfirmInput, AccountId) = request.json_for_account()?;
    let receipt = workflow::confirm(workflow::Confirm {
        seller,
        item_ids: input.item_ids.unwrap_or_default(),
        payment_option: input.payment_option,
        use_wallet: input.use_wallet,
        note: input.note.filter(|note| !note.is_empty()),
    })?;
    Response::data(&json!({ "confirm_session_id": receipt.session_id, "payment_url": receipt.payment_url }))
}

pub(super) fn cancel_confirm(request: &Request) -> Result<Response, Error> {
    let id: SessionId = request.param("sessionID")?;
    cancel::cancel_confirm(request.account()?, id)?;
    Response::message("Confirmation cancelled")
}

pub(super) fn confirm_payment_url(request: &Request) -> Result<Response, Error> {
    let id: SessionId = request.param("sessionID")?;
    let url = payment_url::next(request.account()?, Kind::SellerConfirmationFee, id)?;
    Response::data(&json!({ "payment_url": url }))
}

pub(super) fn reject(request: &Request) -> Result<Response, Error> {
    let (input, seller): (RejectInput, AccountId) = request.json_for_account()?;
    cancel::reject(seller, &input.item_ids.unwrap_or_default())?;
    Response::message("Items rejected")
}

pub(super) fn confirmed(request: &Request) -> Result<Response, Error> {
    let page = request.page()?;
    let search: Option<String> = request.query().get("search")?;
    let seller = request.account()?;
    let (rows, total) = order_list::of_seller(seller, search.as_deref(), window(&page)?)?;
    super::orders_page(seller, &page, rows, total)
}

pub(super) fn order(request: &Request) -> Result<Response, Error> {
    let id: OrderId = request.param("id")?;
    let seller = request.account()?;
    let order = order::of_seller(id, seller)?.ok_or(error::Error::OrderNotFound)?;
    let details = order::detail(vec![order])?;
    Ok(Response::data(&details.first().map(|detail| OrderView::shown_to(seller, detail)))?.no_store())
}
