//! Answers `shop:payment/provider` and `shop:payment/gateway` with a gateway for tests and demonstrations.

mod charge;
mod notification;
mod settings;
mod signature;

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "payment-gateway", generate_all });
}

use bindings::exports::shop::payment::gateway::{self, ChargeState, Event, Notification, Outcome, Rejection};
use bindings::exports::shop::payment::provider::{self, ChargeRequest, ChargeResult, OptionInfo, Target};
use bindings::shop::common::types::Money;
use bindings::wasi::config::store;
use charge::{Failure, Wanted};
use notification::{Charge, Status};
use settings::{Refusal, Settings, Variables};

struct Component;

impl provider::Guest for Component {
    fn options(_target: Target) -> Vec<OptionInfo> {
        let Ok(Some(settings)) = configured() else {
            return Vec::new();
        };
        vec![OptionInfo {
            id: settings::OPTION_ID.to_owned(),
            name: settings::NAME.to_owned(),
            description: String::new(),
            priority: 0,
            data: vec![("provider".to_owned(), settings::PROVIDER.to_owned())],
            currencies: settings.currencies,
            collect_on_delivery: false,
        }]
    }

    fn charge(_target: Target, request: ChargeRequest) -> Result<ChargeResult, provider::Error> {
        let settings = configured().map_err(provider::Error::Unavailable)?;
        let Some(settings) = settings else {
            return Err(provider::Error::UnknownOption(request.option_id));
        };
        match settings.check(&request.option_id, &request.amount.currency) {
            Ok(()) => {}
            Err(Refusal::Option) => return Err(provider::Error::UnknownOption(request.option_id)),
            Err(Refusal::Currency) => return Err(provider::Error::UnsupportedCurrency(request.amount.currency)),
        }
        let charged = charge::charge(
            &settings,
            &Wanted {
                leg_id: &request.leg_id,
                amount: request.amount.amount_minor,
                currency: &request.amount.currency,
                description: &request.description,
                expires_ms: request.expires_ms,
            },
        );
        match charged {
            Ok(charge) if charge.status == Status::Succeeded => Ok(ChargeResult::Settled(charge.reference)),
            Ok(charge) if charge.status == Status::Pending => Ok(ChargeResult::Redirect(charge.redirect_url)),
            Ok(_) => Err(provider::Error::Declined("the payment was not made".to_owned())),
            Err(Failure::Declined(reason)) => Err(provider::Error::Declined(reason)),
            Err(Failure::Unavailable(reason)) => Err(provider::Error::Unavailable(reason)),
            Err(Failure::NotFound) => Err(provider::Error::NotTaken(
                "the gateway takes no payments at the moment".to_owned(),
            )),
            Err(Failure::Other(reason)) => Err(provider::Error::Other(reason)),
        }
    }
}

impl gateway::Guest for Component {
    fn read_notification(_target: Target, notification: Notification) -> Result<Event, Rejection> {
        let Ok(Some(settings)) = configured() else {
            return Err(Rejection::NotConfigured);
        };
        let read = notification::read(
            &notification.headers,
            &notification.body,
            &settings.secret,
            notification.received_ms,
        );
        match read {
            Ok(event) => {
                let state = ChargeState::from(&event.charge);
                Ok(Event {
                    id: event.id,
                    leg_id: event.charge.leg_id,
                    outcome: state.outcome,
                    amount: state.amount,
                    reference: state.reference,
                    occurred_ms: event.occurred_ms,
                })
            }
            Err(notification::Rejection::Forged(reason)) => Err(Rejection::Forged(reason.to_string())),
            Err(notification::Rejection::Malformed(reason)) => Err(Rejection::Malformed(reason)),
        }
    }

    fn query(_target: Target, leg_id: String) -> Result<ChargeState, gateway::Error> {
        let settings = configured().map_err(gateway::Error::Unavailable)?;
        let Some(settings) = settings else {
            return Err(gateway::Error::Unavailable(
                "the sandbox gateway is not configured".to_owned(),
            ));
        };
        match charge::query(&settings, &leg_id) {
            Ok(charge) => Ok(ChargeState::from(&charge)),
            Err(Failure::NotFound) => Err(gateway::Error::NotFound),
            Err(Failure::Unavailable(reason)) => Err(gateway::Error::Unavailable(reason)),
            Err(Failure::Declined(reason) | Failure::Other(reason)) => Err(gateway::Error::Other(reason)),
        }
    }
}

impl From<&Charge> for ChargeState {
    fn from(charge: &Charge) -> Self {
        Self {
            outcome: match charge.status {
                Status::Pending => Outcome::Pending,
                Status::Succeeded => Outcome::Succeeded,
                Status::Failed => Outcome::Failed,
                Status::Expired => Outcome::Expired,
            },
            amount: Money {
                amount_minor: charge.amount,
                currency: charge.currency.clone(),
            },
            reference: charge.reference.clone(),
        }
    }
}

/// None when the gateway is not in use.
fn configured() -> Result<Option<Settings>, String> {
    Ok(Settings::read(Variables {
        enabled: variable("sandbox_enabled")?,
        url: variable("sandbox_url")?,
        secret: variable("sandbox_secret")?,
        currencies: variable("sandbox_currencies")?,
    }))
}

fn variable(name: &str) -> Result<Option<String>, String> {
    store::get(name).map_err(|error| format!("configuration variable {name}: {error:?}"))
}

#[expect(unsafe_code, reason = "the component's entry points are generated")]
mod entry {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
