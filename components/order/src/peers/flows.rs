//! The flows of this module that wait: workflows, which it starts itself, each under the id of what it is about.

use super::{failed, id};
use crate::{
    bindings::shop::order::{
        types::{CheckoutRequest, ConfirmRequest, Wanted as WireWanted},
        workflows_attach, workflows_workflow,
    },
    domain::{
        checkout::Wanted,
        id::{ItemId, OrderId, SessionId},
        refusal::Continuation,
        session::Kind,
    },
    error::Error,
    workflow::{checkout::Checkout, confirm::Confirm},
};
use sdk::{Workflow, bindings::nexus::durable::workflows::AttachError, workflow::NamedPromise};
use serde::{Deserialize, Serialize};

const PEER: &str = "order";

/// The promise of where the payment continues, by its name within the flow.
const PAYMENT_URL: &str = "payment-url";

/// The promise of what became of a parcel, by its name within the flow.
const WORD: &str = "word";

/// What became of a parcel of which its carrier said nothing for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// A person says that its buyer has it.
    Delivered,
    /// A person says that its buyer will not have it.
    NotDelivered,
    /// The carrier has reported after all, or its time to bring it once more is over: nobody needs to say anything.
    Reported,
}

/// A flow, and the session that it is known by.
#[derive(Debug, Clone)]
pub(crate) struct Flow<T> {
    pub(crate) input: T,
    /// Of the session to be.
    pub(crate) session_id: SessionId,
}

/// Where the payment of a session continues, as its flow tells it first; later addresses are told through promises of their own. A
/// session that was opened without a flow has none.
pub(crate) fn payment_url(kind: Kind, session: SessionId) -> NamedPromise<Continuation> {
    let function = match kind {
        Kind::BuyerCheckout | Kind::SellerPayout => "shop:order/workflows.checkout",
        Kind::SellerConfirmationFee => "shop:order/workflows.confirm",
    };
    Workflow::new(function, session.to_string()).promise(PAYMENT_URL)
}

/// Waits until the flow of a session has ended, whoever ended it and however. What it came to is told by its promise.
pub(crate) fn await_end(kind: Kind, session: SessionId) -> Result<(), Error> {
    let id = session.to_string();
    let ended = match kind {
        Kind::BuyerCheckout | Kind::SellerPayout => workflows_attach::checkout(&id, None),
        Kind::SellerConfirmationFee => workflows_attach::confirm(&id, None),
    };
    match ended {
        // The deadline of whoever waits.
        Err(AttachError::TimedOut) => Err(Error::PaymentInProgress),
        Ok(_) | Err(AttachError::NotFound | AttachError::Cancelled | AttachError::Circle) => Ok(()),
    }
}

/// Starts the flow of a checkout with the next effect, unless its session has one: whoever asks waits for the same promise then.
pub(crate) fn start_checkout(flow: &Flow<&Checkout>) {
    let (id, input) = (flow.session_id.to_string(), flow.input);
    workflows_workflow::checkout(
        &id,
        &CheckoutRequest {
            session_id: id.clone(),
            buyer_id: input.buyer.to_string(),
            address: input.address.clone(),
            payment_option: input.payment_option.clone(),
            use_wallet: input.use_wallet,
            buy_now: input.buy_now,
            items: input.items.iter().map(wire).collect(),
        },
    );
}

/// Starts the flow of a confirmation with the next effect, unless its session has one.
pub(crate) fn start_confirm(flow: &Flow<&Confirm>) {
    let (id, input) = (flow.session_id.to_string(), flow.input);
    workflows_workflow::confirm(
        &id,
        &ConfirmRequest {
            session_id: id.clone(),
            seller_id: input.seller.to_string(),
            item_ids: input.item_ids.iter().map(|id| id.0).collect(),
            payment_option: input.payment_option.clone(),
            use_wallet: input.use_wallet,
            note: input.note.clone(),
        },
    );
}

/// Has the parcel of an order booked, once this commits.
pub(crate) fn start_booking(order: OrderId) {
    let id = order.to_string();
    workflows_workflow::book(&id, &id);
}

/// Has a person asked what became of the parcel of an order, once this commits, unless somebody is asked already.
pub(crate) fn start_missing(order: OrderId) {
    let id = order.to_string();
    workflows_workflow::missing(&id, &id);
}

/// What became of the parcel of an order. Nobody waits for it where nobody was asked.
pub(crate) fn word(order: OrderId) -> NamedPromise<Word> {
    Workflow::new("shop:order/workflows.missing", order.to_string()).promise(WORD)
}

/// What a flow was started with.
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

/// What a flow was started with.
pub(crate) fn read_confirm(request: ConfirmRequest) -> Result<Flow<Confirm>, Error> {
    Ok(Flow {
        session_id: id(PEER, &request.session_id)?,
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
