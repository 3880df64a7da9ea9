//! Charges, at the payment providers the application is configured with.

use sdk::{Money, Timestamp};

use super::failed;
use crate::{
    bindings::{
        nexus::link::{providers, types::Target},
        shop::{
            common::types::Money as WireMoney,
            payment::provider::{self, ChargeRequest, ChargeResult, Error as Refusal},
        },
    },
    domain::id::LegId,
    error::Error,
};

const INTERFACE: &str = "shop:payment/provider";

/// An option a buyer can choose, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PaymentOption {
    pub(crate) id: String,
    pub(crate) provider: String,
    currencies: Vec<String>,
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
            let offered = provider::options(&Target {
                provider: provider.clone(),
            });
            offered
                .into_iter()
                .find(|option| option.id == id)
                .map(|option| PaymentOption {
                    id: option.id,
                    provider,
                    currencies: option.currencies,
                    collect_on_delivery: option.collect_on_delivery,
                })
        })
        .ok_or_else(|| Error::UnknownPaymentOption(id.to_owned()))
}

impl PaymentOption {
    /// Refuses a currency this option cannot charge.
    pub(crate) fn check(&self, amount: Money) -> Result<(), Error> {
        if self
            .currencies
            .iter()
            .any(|currency| currency == amount.currency.as_str())
        {
            return Ok(());
        }
        Err(Error::PaymentCurrencyUnsupported {
            option: self.id.clone(),
            currency: amount.currency.to_string(),
        })
    }

    /// Charges a leg. Asking again for the same leg gives the same answer.
    pub(crate) fn charge(&self, charge: &Charge<'_>) -> Result<Charged, Error> {
        let request = ChargeRequest {
            option_id: self.id.clone(),
            leg_id: charge.leg_id.to_string(),
            amount: WireMoney {
                amount_minor: charge.amount.amount_minor,
                currency: charge.amount.currency.to_string(),
            },
            description: charge.description.to_owned(),
            expires_ms: charge.expires.as_ms() as u64,
        };
        match provider::charge(
            &Target {
                provider: self.provider.clone(),
            },
            &request,
        ) {
            Ok(ChargeResult::Redirect(url)) => Ok(Charged::Redirect(url)),
            Ok(ChargeResult::Settled(reference)) => Ok(Charged::Settled(reference)),
            Ok(ChargeResult::OnDelivery) if self.collect_on_delivery => Ok(Charged::OnDelivery),
            // Sellers were not told that they may send goods that are not paid.
            Ok(ChargeResult::OnDelivery) => {
                Err(failed("the payment provider", "collects on delivery without saying so"))
            }
            Err(Refusal::UnknownOption(option)) => Err(Error::UnknownPaymentOption(option)),
            Err(Refusal::UnsupportedCurrency(currency)) => Err(Error::PaymentCurrencyUnsupported {
                option: self.id.clone(),
                currency,
            }),
            Err(Refusal::Declined(reason)) => Err(Error::PaymentFailed(reason)),
            Err(Refusal::Unavailable(reason)) => Err(Error::PaymentUnavailable(reason)),
            Err(Refusal::Other(reason)) => Err(failed("the payment provider", reason)),
        }
    }
}
