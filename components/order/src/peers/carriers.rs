//! Shipping quotes, and reports of parcels, from the carriers the application is configured with.

use sdk::{Currency, Money};

use super::{
    can_be_kept, failed, id, target,
    webhook::{self, NoEvent, Received},
    wire_money,
};
use crate::{
    bindings::{
        nexus::link::providers,
        shop::transport::{
            carrier::{self, Content as WireContent, Error as Refusal, Parcel, Party as WireParty, QuoteRequest},
            tracking::{self, Notification, Progress, Rejection},
        },
    },
    domain::{
        booking::{Booked, Booking, Party},
        parcel::Report,
        shipping::Load,
        status::Status,
    },
    error::Error,
};

const INTERFACE: &str = "shop:transport/carrier";
const TRACKING: &str = "shop:transport/tracking";

/// The options of all granted carriers.
#[derive(Debug)]
pub(crate) struct Carriers {
    /// Option id and provider.
    options: Vec<(String, String)>,
}

/// What carrying costs and how long it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) provider: String,
    pub(crate) cost: Money,
    pub(crate) eta_hours: u32,
}

impl Carriers {
    /// Asks every granted carrier what it offers.
    pub(crate) fn granted() -> Self {
        let options = providers::granted(INTERFACE).into_iter().flat_map(|provider| {
            let offered = carrier::options(&target(&provider));
            offered.into_iter().map(move |option| (option.id, provider.clone()))
        });
        Self {
            options: options.collect(),
        }
    }

    /// Asks for a price in this currency. A price in another one is refused: there are no exchange rates yet.
    pub(crate) fn quote(
        &self,
        option: &str,
        from: &str,
        to: &str,
        loads: &[Load],
        currency: Currency,
    ) -> Result<Quote, Error> {
        let unknown = || Error::UnknownTransportOption(option.to_owned());
        let (_, provider) = self.options.iter().find(|(id, _)| id == option).ok_or_else(unknown)?;
        let request = QuoteRequest {
            option_id: option.to_owned(),
            from_address: from.to_owned(),
            to_address: to.to_owned(),
            parcels: loads
                .iter()
                .map(|load| Parcel {
                    quantity: load.quantity,
                    weight_grams: load.weight_grams,
                })
                .collect(),
        };
        let quote = carrier::quote(&target(provider), &request).map_err(refused)?;
        if quote.cost.currency != currency.as_str() {
            return Err(Error::FxRateUnavailable {
                from: quote.cost.currency,
                to: currency.to_string(),
            });
        }
        if quote.cost.amount_minor < 0 {
            return Err(failed("the carrier", "a negative price"));
        }
        Ok(Quote {
            provider: provider.clone(),
            cost: Money::new(quote.cost.amount_minor, id("the carrier", &quote.cost.currency)?),
            eta_hours: quote.eta_hours,
        })
    }
}

/// What a carrier's code and the address of its label may have, in characters.
const MAX_CODE: usize = 100;
const MAX_LABEL_URL: usize = 2_000;

/// Has a parcel fetched by the carrier that this component speaks for.
pub(crate) fn book(provider: &str, booking: &Booking) -> Result<Booked, Error> {
    let booked = carrier::book(&target(provider), &booking.into()).map_err(refused)?;
    let label = booked.label_url.as_deref().unwrap_or_default();
    for (name, text, max) in [
        ("tracking code", &*booked.tracking_code, MAX_CODE),
        ("label's address", label, MAX_LABEL_URL),
    ] {
        if !can_be_kept(text, max) {
            return Err(failed("the carrier", format!("the {name} cannot be kept: {text:?}")));
        }
    }
    if booked.tracking_code.is_empty() {
        return Err(failed("the carrier", "no tracking code"));
    }
    Ok(Booked {
        tracking_code: booked.tracking_code,
        label_url: booked.label_url,
    })
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::UnknownOption(option) => Error::UnknownTransportOption(option),
        Refusal::NotServed(reason) => Error::TransportNotServed(reason),
        Refusal::Unavailable(reason) => Error::TransportUnavailable(reason),
        Refusal::Other(reason) => failed("the carrier", reason),
    }
}

/// The component that answers for a carrier of this name, if it is granted.
pub(crate) fn tracker(name: &str) -> Option<String> {
    webhook::sender(TRACKING, "transport", name)
}

/// Has the carrier's component check and read what was received.
pub(crate) fn read(provider: &str, received: Received) -> Result<Report, NoEvent> {
    let notification = Notification {
        query: received.query,
        headers: received.headers,
        body: received.body,
        received_ms: received.at.as_ms() as u64,
    };
    let event = tracking::read_notification(&target(provider), &notification).map_err(|rejection| match rejection {
        Rejection::NotConfigured => NoEvent::NotConfigured,
        Rejection::Forged(reason) => NoEvent::Forged(reason),
        Rejection::Malformed(reason) => NoEvent::Malformed(reason),
    })?;
    let reason = event.reason.as_deref().unwrap_or_default();
    webhook::check_texts(
        &event.id,
        &[("the carrier's status", &event.carrier_status), ("the reason", reason)],
    )?;
    Ok(Report {
        id: event.id,
        // Signed, and about nothing of ours: no order has such an id.
        order_id: event.order_id.parse().map_err(|_| NoEvent::NotFound)?,
        status: event.progress.into(),
        carrier_status: event.carrier_status,
        reason: event.reason,
        occurred: webhook::occurred(event.occurred_ms),
    })
}

impl From<Progress> for Status {
    fn from(wire: Progress) -> Self {
        match wire {
            Progress::Waiting => Self::Pending,
            Progress::Travelling => Self::Processing,
            Progress::Delivered => Self::Success,
            Progress::Failed => Self::Failed,
            Progress::Cancelled => Self::Cancelled,
        }
    }
}

impl From<&Booking> for carrier::Booking {
    fn from(booking: &Booking) -> Self {
        Self {
            order_id: booking.order.to_string(),
            option_id: booking.option.clone(),
            sender: (&booking.sender).into(),
            recipient: (&booking.recipient).into(),
            contents: booking
                .contents
                .iter()
                .map(|content| WireContent {
                    name: content.name.clone(),
                    quantity: content.load.quantity,
                    weight_grams: content.load.weight_grams,
                })
                .collect(),
            value: wire_money(booking.value),
            collect: wire_money(booking.collect),
            note: booking.note.clone(),
        }
    }
}

impl From<&Party> for WireParty {
    fn from(party: &Party) -> Self {
        Self {
            name: party.name.clone(),
            phone: party.phone.clone(),
            address: party.address.clone(),
        }
    }
}
