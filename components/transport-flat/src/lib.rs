//! Answers `shop:transport/carrier` with flat rates by weight, and `shop:transport/tracking` with what its drivers report.

pub mod rate;
mod report;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "transport-tracker", generate_all });
}

use bindings::exports::shop::transport::carrier::{
    self, Booked, Booking, Error, OptionInfo, Quotation, QuoteRequest, Target,
};
use bindings::exports::shop::transport::tracking::{self, Event, Notification, Progress, Rejection};
use bindings::shop::common::types::Money;
use bindings::wasi::config::store;
use rate::{Load, Service, Tariff};
use report::Status;

struct Component;

impl carrier::Guest for Component {
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
        let service = service(&request.option_id)?;
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

    fn book(_target: Target, booking: Booking) -> Result<Booked, Error> {
        service(&booking.option_id)?;
        Ok(Booked {
            tracking_code: tracking_code(&booking.order_id),
            label_url: None,
        })
    }
}

impl tracking::Guest for Component {
    fn read_notification(_target: Target, notification: Notification) -> Result<Event, Rejection> {
        let secret = variable("webhook_secret").unwrap_or_default();
        if secret.is_empty() {
            return Err(Rejection::NotConfigured);
        }
        let read = report::read(
            &notification.headers,
            &notification.body,
            &secret,
            notification.received_ms,
        );
        let (id, report) = read.map_err(|rejection| match rejection {
            report::Rejection::Forged(reason) => Rejection::Forged(reason.to_string()),
            report::Rejection::Malformed(reason) => Rejection::Malformed(reason),
        })?;
        Ok(Event {
            id,
            order_id: report.order_id,
            progress: report.status.into(),
            carrier_status: report.status.as_str().to_owned(),
            reason: report.reason,
            occurred_ms: report.occurred_ms,
        })
    }
}

impl From<Status> for Progress {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting => Self::Waiting,
            Status::Travelling => Self::Travelling,
            Status::Delivered => Self::Delivered,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// What the drivers know a parcel by: read off its order, so that it is the same whenever it is booked.
fn tracking_code(order_id: &str) -> String {
    let digits = order_id.chars().filter(char::is_ascii_alphanumeric);
    format!("FLAT{}", digits.collect::<String>().to_ascii_uppercase())
}

fn service(option: &str) -> Result<Service, Error> {
    Service::by_id(option).ok_or_else(|| Error::UnknownOption(option.to_owned()))
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
