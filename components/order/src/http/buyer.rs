//! `/buyer`: what a buyer has pending, ordered and cancelled.

use sdk::{
    Page,
    http::{Error, Request, Response},
};

use super::{
    private_page,
    view::{OrderItem, OrderView},
    window,
};
use crate::{
    domain::{
        id::{ItemId, OrderId, SessionId},
        item::Item,
        order::Bucket,
    },
    error,
    store::{
        item_list::{self, ItemList},
        order, order_list, session,
    },
    workflow::cancel,
};

pub(super) fn pending_items(request: &Request) -> Result<Response, Error> {
    items(request, ItemList::BuyerPending)
}

pub(super) fn cancelled_items(request: &Request) -> Result<Response, Error> {
    items(request, ItemList::BuyerCancelled)
}

fn items(request: &Request, list: ItemList) -> Result<Response, Error> {
    let page = request.page()?;
    let (rows, total) = item_list::page(list, request.account()?, window(&page)?)?;
    let items = Page::from_rows(&page, rows, total, |item: &Item| (item.date_created, item.id));
    let ids: Vec<SessionId> = items.items.iter().map(|item| item.payment_session_id).collect();
    let sessions = session::by_ids(&ids)?;
    let Page {
        items,
        total,
        next_cursor,
    } = &items;
    let views = items.iter().map(|item| OrderItem::for_buyer(item, &sessions)).collect();
    private_page(
        &page,
        &Page {
            items: views,
            total: *total,
            next_cursor: next_cursor.clone(),
        },
    )
}

pub(super) fn cancel_item(request: &Request) -> Result<Response, Error> {
    let id: ItemId = request.param("id")?;
    cancel::cancel_item(request.account()?, id)?;
    Response::message("Pending item cancelled; a checkout that is still to be paid is cancelled as a whole")
}

pub(super) fn pending_orders(request: &Request) -> Result<Response, Error> {
    orders(request, Bucket::Pending)
}

pub(super) fn completed_orders(request: &Request) -> Result<Response, Error> {
    orders(request, Bucket::Completed)
}

pub(super) fn cancelled_orders(request: &Request) -> Result<Response, Error> {
    orders(request, Bucket::Cancelled)
}

fn orders(request: &Request, bucket: Bucket) -> Result<Response, Error> {
    let page = request.page()?;
    let buyer = request.account()?;
    let (rows, total) = order_list::of_buyer(buyer, bucket, window(&page)?)?;
    super::orders_page(buyer, &page, rows, total)
}

pub(super) fn order(request: &Request) -> Result<Response, Error> {
    let id: OrderId = request.param("id")?;
    let buyer = request.account()?;
    let order = order::of_buyer(id, buyer)?.ok_or(error::Error::OrderNotFound)?;
    let details = order::detail(vec![order])?;
    Ok(Response::data(&details.first().map(|detail| OrderView::shown_to(buyer, detail)))?.no_store())
}
