//! The route table: one file per resource.

mod buyer;
mod cart;
mod checkout;
mod seller;
mod view;
mod webhook;

use sdk::{
    AccountId, Page, PageRequest,
    http::{Error, Response, Router},
};
use serde::{Serialize, de::DeserializeOwned};

use self::view::OrderView;
use crate::{
    domain::order::Order,
    error,
    peers::account,
    store::{Window, order},
};

pub(crate) const ROUTER: Router = Router::new(&sdk::routes![
    GET "/api/v1/order/cart" for account => cart::show,
    POST "/api/v1/order/cart" for account => cart::change,
    DELETE "/api/v1/order/cart" for account => cart::clear,
    POST "/api/v1/order/buyer/quote-transport" for account => checkout::quote_transport,
    POST "/api/v1/order/buyer/checkout" for account => checkout::checkout,
    POST "/api/v1/order/buyer/checkout/:sessionID/cancel" for account => checkout::cancel,
    POST "/api/v1/order/buyer/checkout/:sessionID/payment-url" for account => checkout::payment_url,
    GET "/api/v1/order/buyer/checkout-summary/:txID" for account => checkout::summary,
    GET "/api/v1/order/buyer/pending-items" for account => buyer::pending_items,
    DELETE "/api/v1/order/buyer/pending-items/:id" for account => buyer::cancel_item,
    GET "/api/v1/order/buyer/cancelled-items" for account => buyer::cancelled_items,
    GET "/api/v1/order/buyer/pending-orders" for account => buyer::pending_orders,
    GET "/api/v1/order/buyer/completed-orders" for account => buyer::completed_orders,
    GET "/api/v1/order/buyer/cancelled-orders" for account => buyer::cancelled_orders,
    GET "/api/v1/order/buyer/orders/:id" for account => buyer::order,
    GET "/api/v1/order/seller/pending" for account => seller::pending,
    POST "/api/v1/order/seller/pending/confirm" for account => seller::confirm,
    POST "/api/v1/order/seller/pending/confirm/:sessionID/cancel" for account => seller::cancel_confirm,
    POST "/api/v1/order/seller/pending/confirm/:sessionID/payment-url" for account => seller::confirm_payment_url,
    POST "/api/v1/order/seller/pending/reject" for account => seller::reject,
    GET "/api/v1/order/seller/confirmed" for account => seller::confirmed,
    GET "/api/v1/order/seller/confirmed/:id" for account => seller::order,
    POST "/api/v1/payment/webhook/:gateway" for anyone => webhook::receive_of_gateway,
    POST "/api/v1/transport/webhook/:carrier" for anyone => webhook::receive_of_carrier,
])
.gated(account::standing);

/// The part of a list a page asks for, with one row more, which tells whether there is a next page.
fn window<Id: DeserializeOwned>(page: &PageRequest) -> Result<Window<Id>, Error> {
    Ok(Window {
        after: page.cursor()?,
        limit: page.limit + 1,
        offset: page.offset(),
    })
}

/// A page of what only its owner may see.
fn private_page<T: Serialize>(request: &PageRequest, page: &Page<T>) -> Result<Response, Error> {
    Ok(Response::page(request, page)?.no_store())
}

/// A page of orders with their lines, parcels and sessions, for one of the two whose they are.
fn orders_page(reader: AccountId, request: &PageRequest, rows: Vec<Order>, total: i64) -> Result<Response, Error> {
    let orders = Page::from_rows(request, rows, total, |order| (order.date_created, order.id));
    let details = order::detail(orders.items).map_err(error::Error::from)?;
    let items = details
        .iter()
        .map(|detail| OrderView::shown_to(reader, detail))
        .collect();
    private_page(
        request,
        &Page {
            items,
            total: orders.total,
            next_cursor: orders.next_cursor,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_below_a_prefix_of_this_module_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTER.routes() {
            let prefixes = [
                "/api/v1/order/",
                "/api/v1/payment/webhook/",
                "/api/v1/transport/webhook/",
            ];
            let is_ours = prefixes.iter().any(|prefix| route.pattern.starts_with(prefix));
            assert!(is_ours, "{}", route.pattern);
            assert!(
                seen.insert((route.method, route.pattern)),
                "{} {}",
                route.method,
                route.pattern
            );
        }
        assert_eq!(seen.len(), 24);
    }
}
