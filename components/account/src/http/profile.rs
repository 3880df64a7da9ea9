//! Profiles: one's own, and what others show.

use sdk::{
    AccountId, Checks, Input, Timestamp, Uuid,
    http::{Error, Request, Response},
    json::null_as_default,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    domain::{
        contact::ContactId,
        identifier::given,
        profile::{Gender, ProfileChange, Status},
    },
    error::Error as Failure,
    store,
    workflow::{country::move_to, profile::change as change_own},
};

pub(super) fn get(request: &Request) -> Result<Response, Error> {
    let id: AccountId = request.query().require("account_id")?;
    let mut checks = Checks::new();
    checks.required_id("account_id", Some(id.0));
    checks.finish()?;
    let me = request.account()?;
    let profile = store::profile::get(id)?.ok_or(Failure::AccountNotFound)?;
    Ok(Response::data(&profile.for_viewer(me))?.no_store())
}

pub(super) fn get_own(request: &Request) -> Result<Response, Error> {
    // The profile is what the gate would ask for, so it is asked for once.
    let me = request.claims()?.account_id;
    let profile = store::profile::get(me)?.ok_or(Failure::CallerGone)?;
    if profile.status == Status::Suspended {
        return Err(Failure::Suspended.into());
    }
    Ok(Response::data(&profile.for_self())?.no_store())
}

/// Every field is "change if given"; empty identifiers and choices mean unchanged, as clients send them.
#[derive(Deserialize)]
struct Change {
    /// Checked and ignored: only an operator changes it.
    status: Option<String>,
    username: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    gender: Option<String>,
    name: Option<String>,
    date_of_birth: Option<Timestamp>,
    avatar_rs_id: Option<Uuid>,
    default_contact_id: Option<ContactId>,
    description: Option<String>,
}

impl Input for Change {
    fn check(&self, checks: &mut Checks) {
        checks
            .text("status", given(self.status.as_deref()))
            .one_of(Status::TEXTS);
        checks
            .text("username", given(self.username.as_deref()))
            .min(3)
            .max(30)
            .alphanum();
        checks.text("phone", given(self.phone.as_deref())).e164();
        checks.text("email", given(self.email.as_deref())).email().max(255);
        checks
            .text("gender", given(self.gender.as_deref()))
            .one_of(Gender::TEXTS);
        checks.text("name", self.name.as_deref()).max(100);
        checks.text("description", self.description.as_deref()).max(500);
    }
}

impl From<Change> for ProfileChange {
    fn from(input: Change) -> Self {
        let text = |value: Option<&str>| given(value).map(str::to_owned);
        Self {
            username: text(input.username.as_deref()),
            phone: text(input.phone.as_deref()),
            email: text(input.email.as_deref()),
            gender: given(input.gender.as_deref()).and_then(|gender| gender.parse().ok()),
            name: input.name,
            date_of_birth: input.date_of_birth,
            avatar_rs_id: input.avatar_rs_id,
            default_contact_id: input.default_contact_id,
            description: input.description,
        }
    }
}

pub(super) fn change(request: &Request) -> Result<Response, Error> {
    let input: Change = request.json()?;
    let me = request.account()?;
    let profile = change_own(me, &input.into())?;
    Ok(Response::data(&profile.for_self())?.no_store())
}

/// Another country for the profile.
#[derive(Deserialize)]
struct CountryChange {
    #[serde(default, deserialize_with = "null_as_default")]
    country: String,
}

impl Input for CountryChange {
    fn check(&self, checks: &mut Checks) {
        checks
            .text("country", self.country.as_str())
            .required()
            .length(2)
            .alpha();
    }
}

/// One's own alone: the account is the caller's, and the body cannot name another.
pub(super) fn change_country(request: &Request) -> Result<Response, Error> {
    let input: CountryChange = request.json()?;
    let me = request.account()?;
    let country = input.country.to_ascii_uppercase();
    let currency = move_to(me, &country)?;
    Ok(Response::data(&json!({ "country": country, "inferred_currency": currency }))?.no_store())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Change {
        serde_json::from_str(body).unwrap()
    }

    fn failures(body: &str) -> String {
        let mut checks = Checks::new();
        read(body).check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    #[test]
    fn empty_identifiers_and_choices_mean_unchanged() {
        let body = r#"{"username":"","phone":"","email":" ","gender":"","status":"","name":null}"#;
        assert_eq!(failures(body), "");
        assert!(ProfileChange::from(read(body)).is_empty());
    }

    #[test]
    fn a_status_is_checked_and_ignored() {
        assert!(ProfileChange::from(read(r#"{"status":"Active"}"#)).is_empty());
        assert!(failures(r#"{"status":"Root"}"#).contains("\"status\""));
    }

    #[test]
    fn a_name_can_be_cleared() {
        let change = ProfileChange::from(read(r#"{"name":"","description":""}"#));
        assert_eq!(
            (change.name.as_deref(), change.description.as_deref()),
            (Some(""), Some(""))
        );
    }

    #[test]
    fn every_field_has_its_rule() {
        for body in [
            r#"{"username":"ab"}"#,
            r#"{"username":"with space"}"#,
            r#"{"phone":"12345"}"#,
            r#"{"email":"nobody"}"#,
            r#"{"gender":"male"}"#,
        ] {
            assert!(failures(body).starts_with("validation: "), "{body}");
        }
        assert!(failures(&format!(r#"{{"name":"{}"}}"#, "x".repeat(101))).contains("at most 100"));
        assert!(failures(&format!(r#"{{"description":"{}"}}"#, "x".repeat(501))).contains("at most 500"));
    }
}
