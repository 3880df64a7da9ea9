//! Shipping quotes, from the carriers the application is configured with.

use sdk::{Currency, Money};

use super::{failed, id};
use crate::{
    bindings::{
        nexus::link::{providers, types::Target},
        shop::transport::carrier::{self, Error as Refusal, Parcel, QuoteRequest},
    },
    domain::shipping::Load,
    error::Error,
};

const INTERFACE: &str = "shop:transport/carrier";

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
            let offered = carrier::options(&Target {
                provider: provider.clone(),
            });
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
        let quote = carrier::quote(
            &Target {
                provider: provider.clone(),
            },
            &request,
        )
        .map_err(|error| match error {
            Refusal::UnknownOption(_) => unknown(),
            Refusal::NotServed(reason) => Error::TransportNotServed(reason),
            Refusal::Unavailable(reason) => Error::TransportUnavailable(reason),
            Refusal::Other(reason) => failed("the carrier", reason),
        })?;
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
