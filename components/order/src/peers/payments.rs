//! Charges, at the payment providers the application is configured with.

use sdk::{Money, Timestamp, log};

use super::{
    failed, target,
    webhook::{self, NoEvent, Received},
    wire_money,
};
use crate::{
    bindings::{
        nexus::link::providers,
        shop::{
            common::types::Money as WireMoney,
            payment::{
                gateway::{self, Notification, Rejection},
                provider::{self, ChargeRequest, ChargeResult, Error as Refusal},
            },
        },
    },
    domain::{
        id::LegId,
        payment::{Event, Outcome},
    },
    error::Error,
};

const INTERFACE: &str = "shop:payment/provider";
/// The public field of an option in which a provider says how much it takes at most.
const MAX_FIELD: &str = "max_minor";

const GATEWAY: &str = "shop:payment/gateway";
const PEER: &str = "the payment provider";

/// An option a buyer can choose, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PaymentOption {
    pub(crate) id: String,
    pub(crate) provider: String,
    currencies: Vec<String>,
    /// The most it takes at once, in minor units.
    max_minor: Option<i64>,
    /// The carrier collects the money at the door.
    pub(crate) collect_on_delivery: bool,
}

/// What one charge is for.
#[derive(Debug, Clone)]
pub(crate) struct Charge<'a> {
    pub(crate) leg_id: LegId,
    pub(crate) amount: Money,
    pub(crate) description: &'a str,
    pub(crate) expires: Timestamp,
}

/// How a charge continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Charged {
    /// The buyer pays there.
    Redirect(String),
    /// Paid, with the provider's reference.
    Settled(String),
    /// The carrier collects it.
    OnDelivery,
}

/// Finds the option of that id among those of all granted providers.
pub(crate) fn option(id: &str) -> Result<PaymentOption, Error> {
    providers::granted(INTERFACE)
        .into_iter()
        .find_map(|provider| {
            let offered = provider::options(&target(&provider));
            offered
                .into_iter()
                .find(|option| option.id == id)
                .map(|option| PaymentOption {
                    max_minor: most(&option.data),
                    id: option.id,
                    provider,
                    currencies: option.currencies,
                    collect_on_delivery: option.collect_on_delivery,
                })
        })
        .ok_or_else(|| Error::UnknownPaymentOption(id.to_owned()))
}

fn most(data: &[(String, String)]) -> Option<i64> {
    let (_, most) = data.iter().find(|(name, _)| name == MAX_FIELD)?;
    most.parse().ok()
}

impl PaymentOption {
    /// Refuses a currency that this option cannot charge, and more than it takes.
    pub(crate) fn check(&self, amount: Money) -> Result<(), Error> {
        let currency = amount.currency;
        if !self.currencies.iter().any(|charged| charged == currency.as_str()) {
            return Err(Error::PaymentCurrencyUnsupported {
                option: self.id.clone(),
                currency: currency.to_string(),
            });
        }
        match self.max_minor {
            Some(most) if amount.amount_minor > most => Err(Error::PaymentTooLarge {
                option: self.id.clone(),
                most: Money::new(most, currency),
            }),
            _ => Ok(()),
        }
    }

    /// Charges a leg. Asking again for the same leg gives the same answer.
    pub(crate) fn charge(&self, charge: &Charge<'_>) -> Result<Charged, Error> {
        let request = ChargeRequest {
            option_id: self.id.clone(),
            leg_id: charge.leg_id.to_string(),
            amount: wire_money(charge.amount),
            description: charge.description.to_owned(),
            expires_ms: charge.expires.as_ms() as u64,
        };
        match provider::charge(&target(&self.provider), &request) {
            Ok(ChargeResult::Redirect(url)) => Ok(Charged::Redirect(url)),
            Ok(ChargeResult::Settled(reference)) => Ok(Charged::Settled(reference)),
            Ok(ChargeResult::OnDelivery) if self.collect_on_delivery => Ok(Charged::OnDelivery),
            // Sellers were not told that they may send goods that are not paid.
            Ok(ChargeResult::OnDelivery) => Err(failed(PEER, "collects on delivery without saying so")),
            Err(Refusal::UnknownOption(option)) => Err(Error::UnknownPaymentOption(option)),
            Err(Refusal::UnsupportedCurrency(currency)) => Err(Error::PaymentCurrencyUnsupported {
                option: self.id.clone(),
                currency,
            }),
            Err(Refusal::Declined(reason)) => Err(Error::PaymentFailed(reason)),
            Err(Refusal::Unavailable(reason)) => Err(Error::PaymentUnavailable(reason)),
            Err(Refusal::NotTaken(reason)) => Err(Error::PaymentNotTaken(reason)),
            Err(Refusal::Other(reason)) => Err(failed(PEER, reason)),
        }
    }
}

/// The component that answers for a gateway of this name, if it is granted.
pub(crate) fn gateway(name: &str) -> Option<String> {
    webhook::sender(GATEWAY, "payment", name)
}

/// Has the gateway's component check and read what was received.
pub(crate) fn read(provider: &str, received: Received) -> Result<Event, NoEvent> {
    let notification = Notification {
        query: received.query,
        headers: received.headers,
        body: received.body,
        received_ms: received.at.as_ms() as u64,
    };
    let event = gateway::read_notification(&target(provider), &notification).map_err(|rejection| match rejection {
        Rejection::NotConfigured => NoEvent::NotFound,
        Rejection::Forged(reason) => NoEvent::Forged(reason),
        Rejection::Malformed(reason) => NoEvent::Malformed(reason),
    })?;
    webhook::check_texts(&event.id, &[("the reference", &event.reference)])?;
    // Signed, and about nothing of ours: no leg has such an id.
    let leg_id = event.leg_id.parse().map_err(|_| NoEvent::NotFound)?;
    let amount = money(&event.amount).ok_or_else(|| NoEvent::Malformed("the currency is none".to_owned()))?;
    Ok(Event {
        id: event.id,
        leg_id,
        outcome: event.outcome.into(),
        amount,
        reference: event.reference,
        occurred: webhook::occurred(event.occurred_ms),
    })
}

/// What a provider says of a leg when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The money arrived; its reference.
    Paid(String),
    /// Money arrived, and not as much as was asked for, or more.
    OtherAmount,
    /// Nothing arrived, as yet.
    Unpaid,
}

/// Asks what became of the money of a leg.
pub(crate) fn ask(provider: &str, leg: LegId, amount: Money) -> Result<Answer, Error> {
    match gateway::query(&target(provider), &leg.to_string()) {
        Ok(state) if Outcome::from(state.outcome) != Outcome::Succeeded => Ok(Answer::Unpaid),
        Ok(state) if money(&state.amount) == Some(amount) => Ok(Answer::Paid(state.reference)),
        Ok(state) => {
            // As a notification of another amount: it settles nothing, and a person has to look.
            let (came, currency) = (state.amount.amount_minor, &state.amount.currency);
            log::error(
                "a payment of another amount",
                &[("leg", &leg), ("amount", &came), ("currency", currency)],
            );
            Ok(Answer::OtherAmount)
        }
        Err(gateway::Error::NotFound) => Ok(Answer::Unpaid),
        Err(gateway::Error::Unavailable(reason)) => Err(Error::PaymentUnavailable(reason)),
        Err(gateway::Error::Other(reason)) => Err(failed(PEER, reason)),
    }
}

fn money(wire: &WireMoney) -> Option<Money> {
    Some(Money::new(wire.amount_minor, wire.currency.parse().ok()?))
}

impl From<gateway::Outcome> for Outcome {
    fn from(wire: gateway::Outcome) -> Self {
        match wire {
            gateway::Outcome::Pending => Self::Pending,
            gateway::Outcome::Succeeded => Self::Succeeded,
            gateway::Outcome::Failed => Self::Failed,
            gateway::Outcome::Expired => Self::Expired,
        }
    }
}
