//! Answers `shop:transport/carrier` with flat rates by weight.

pub mod rate;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "transport-provider", generate_all });
}

use bindings::exports::shop::transport::carrier::{Error, Guest, OptionInfo, Quotation, QuoteRequest, Target};
use bindings::shop::common::types::Money;
use bindings::wasi::config::store;
use rate::{Load, Service, Tariff};

struct Component;

impl Guest for Component {
    fn options(_target: Target) -> Vec<OptionInfo> {
        // An option nobody can price is not offered.
        if tariff().is_err() {
            return Vec::new();
        }
        Service::ALL
            .into_iter()
            .map(|service| OptionInfo {
                id: service.id().to_owned(),
                name: service.name().to_owned(),
                description: format!("Delivered within {} hours", service.eta_hours()),
                priority: 0,
                data: vec![
                    ("provider".to_owned(), rate::PROVIDER.to_owned()),
                    ("method".to_owned(), service.id().to_owned()),
                ],
            })
            .collect()
    }

    fn quote(_target: Target, request: QuoteRequest) -> Result<Quotation, Error> {
        let service =
            Service::by_id(&request.option_id).ok_or_else(|| Error::UnknownOption(request.option_id.clone()))?;
        let loads = request.parcels.iter().map(|p| Load {
            quantity: p.quantity,
            weight_grams: p.weight_grams,
        });
        let tariff = tariff().map_err(Error::Unavailable)?;
        let amount_minor = tariff
            .cost_minor(service, loads)
            .ok_or_else(|| Error::Other("the parcels are too heavy".to_owned()))?;
        Ok(Quotation {
            cost: Money {
                amount_minor,
                currency: tariff.currency,
            },
            eta_hours: service.eta_hours(),
        })
    }
}

fn tariff() -> Result<Tariff, String> {
    Tariff::read(
        &variable("currency")?,
        &variable("base_minor")?,
        &variable("step_minor")?,
    )
}

/// Empty when it is not set.
fn variable(name: &str) -> Result<String, String> {
    let value = store::get(name).map_err(|error| format!("{name}: {error:?}"))?;
    Ok(value.unwrap_or_default())
}

#[expect(unsafe_code, reason = "the component's entry points are generated")]
mod entry {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
