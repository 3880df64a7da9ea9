//! The flows of this module that wait, sent to itself.

use super::{failed, id};
use crate::{
    bindings::shop::order::{
        types::{CheckoutRequest, ConfirmRequest, Wanted as WireWanted},
        workflows_send,
    },
    domain::{
        checkout::Wanted,
        id::{ItemId, SessionId},
        refusal::Continuation,
    },
    error::Error,
    workflow::{checkout::Checkout, confirm::Confirm},
};
use sdk::Promise;

const PEER: &str = "order";

/// A flow and who waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Flow<T> {
    pub(crate) input: T,
    /// Of the session to be: it has the flow's own id.
    pub(crate) session_id: SessionId,
    /// Where the payment continues.
    pub(crate) payment_url: Promise<Continuation>,
}

/// Begins a checkout with the next effect.
pub(crate) fn send_checkout(flow: &Flow<&Checkout>) {
    let input = flow.input;
    workflows_send::checkout(&CheckoutRequest {
        session_id: flow.session_id.to_string(),
        payment_url: flow.payment_url.id().to_owned(),
        buyer_id: input.buyer.to_string(),
        address: input.address.clone(),
        payment_option: input.payment_option.clone(),
        use_wallet: input.use_wallet,
        buy_now: input.buy_now,
        items: input.items.iter().map(wire).collect(),
    });
}

/// Begins a confirmation with the next effect.
pub(crate) fn send_confirm(flow: &Flow<&Confirm>) {
    let input = flow.input;
    workflows_send::confirm(&ConfirmRequest {
        session_id: flow.session_id.to_string(),
        payment_url: flow.payment_url.id().to_owned(),
        seller_id: input.seller.to_string(),
        item_ids: input.item_ids.iter().map(|id| id.0).collect(),
        payment_option: input.payment_option.clone(),
        use_wallet: input.use_wallet,
        note: input.note.clone(),
    });
}

/// What was sent.
pub(crate) fn read_checkout(request: CheckoutRequest) -> Result<Flow<Checkout>, Error> {
    let items = request.items.into_iter().map(|item| {
        if item.quantity <= 0 {
            return Err(failed(PEER, format!("a quantity of {}", item.quantity)));
        }
        Ok(Wanted {
            sku_id: id(PEER, &item.sku_id)?,
            quantity: item.quantity,
            transport_option: item.transport_option,
            note: item.note,
        })
    });
    Ok(Flow {
        session_id: id(PEER, &request.session_id)?,
        payment_url: Promise::with_id(request.payment_url),
        input: Checkout {
            buyer: id(PEER, &request.buyer_id)?,
            address: request.address,
            payment_option: request.payment_option,
            use_wallet: request.use_wallet,
            buy_now: request.buy_now,
            items: items.collect::<Result<_, _>>()?,
        },
    })
}

/// What was sent.
pub(crate) fn read_confirm(request: ConfirmRequest) -> Result<Flow<Confirm>, Error> {
    Ok(Flow {
        session_id: id(PEER, &request.session_id)?,
        payment_url: Promise::with_id(request.payment_url),
        input: Confirm {
            seller: id(PEER, &request.seller_id)?,
            item_ids: request.item_ids.into_iter().map(ItemId).collect(),
            payment_option: request.payment_option,
            use_wallet: request.use_wallet,
            note: request.note,
        },
    })
}

fn wire(item: &Wanted) -> WireWanted {
    WireWanted {
        sku_id: item.sku_id.to_string(),
        quantity: item.quantity,
        transport_option: item.transport_option.clone(),
        note: item.note.clone(),
    }
}
