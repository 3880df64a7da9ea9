//! Answers `shop:transport/carrier` with flat rates by weight.

pub mod rate;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "transport-provider", generate_all });
}

use bindings::exports::shop::transport::carrier::{Error, Guest, OptionInfo, Quotation, QuoteRequest, Target};
use bindings::shop::common::types::Money;
use rate::{Load, Service};

struct Component;

impl Guest for Component {
    fn options(_target: Target) -> Vec<OptionInfo> {
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
        let amount_minor =
            rate::cost_vnd(service, loads).ok_or_else(|| Error::Other("the parcels are too heavy".to_owned()))?;
        Ok(Quotation {
            cost: Money {
                amount_minor,
                currency: "VND".to_owned(),
            },
            eta_hours: service.eta_hours(),
        })
    }
}

#[expect(unsafe_code, reason = "the component's entry points are generated")]
mod entry {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
