//! Answers `shop:payment/provider` with cash on delivery.

pub mod offer;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "payment-provider", generate_all });
}

use bindings::exports::shop::payment::provider::{ChargeRequest, ChargeResult, Error, Guest, OptionInfo, Target};
use bindings::wasi::config::store;
use offer::{Offer, Refusal};

struct Component;

impl Guest for Component {
    fn options(_target: Target) -> Vec<OptionInfo> {
        let Ok(offer) = configured() else { return Vec::new() };
        if !offer.enabled {
            return Vec::new();
        }
        let mut data = vec![("provider".to_owned(), offer::PROVIDER.to_owned())];
        data.extend(
            offer
                .max_minor
                .map(|most| (offer::MAX_FIELD.to_owned(), most.to_string())),
        );
        vec![OptionInfo {
            id: offer::OPTION_ID.to_owned(),
            name: offer::NAME.to_owned(),
            description: String::new(),
            priority: 0,
            data,
            currencies: offer.currencies,
            collect_on_delivery: true,
        }]
    }

    fn charge(_target: Target, request: ChargeRequest) -> Result<ChargeResult, Error> {
        let offer = configured().map_err(Error::Unavailable)?;
        match offer.check(
            &request.option_id,
            &request.amount.currency,
            request.amount.amount_minor,
        ) {
            Ok(()) => Ok(ChargeResult::OnDelivery),
            Err(Refusal::Option) => Err(Error::UnknownOption(request.option_id)),
            Err(Refusal::Currency) => Err(Error::UnsupportedCurrency(request.amount.currency)),
            Err(Refusal::Amount(most)) => Err(Error::Declined(format!(
                "at most {most} {} is collected at the door",
                request.amount.currency
            ))),
        }
    }
}

fn configured() -> Result<Offer, String> {
    Ok(Offer::read(
        variable("cod_enabled")?.as_deref(),
        variable("cod_currencies")?.as_deref(),
        variable("cod_max_minor")?.as_deref(),
    ))
}

fn variable(name: &str) -> Result<Option<String>, String> {
    store::get(name).map_err(|error| format!("configuration variable {name}: {error:?}"))
}

#[expect(unsafe_code, reason = "the component's entry points are generated")]
mod entry {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
