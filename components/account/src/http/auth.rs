//! Registering, signing in, refreshing. Answers are tokens, so nothing on their way may keep them.

use sdk::{
    Checks, Input,
    http::{Error, Request, Response},
    json::null_as_default,
};
use serde::Deserialize;

use crate::{
    domain::{
        identifier::{given, is_username},
        password::is_common,
    },
    workflow::{
        login::login as sign_in,
        refresh::refresh as renew,
        register::{Registration, register as sign_up},
    },
};

#[derive(Deserialize)]
struct Login {
    #[serde(default, deserialize_with = "null_as_default")]
    id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    password: String,
}

impl Input for Login {
    // The password's length is not checked: it would tell the rules for passwords apart from a wrong one.
    fn check(&self, checks: &mut Checks) {
        checks.text("id", self.id.trim()).required();
        checks.text("password", self.password.as_str()).required();
    }
}

pub(super) fn login(request: &Request) -> Result<Response, Error> {
    let input: Login = request.json()?;
    let tokens = sign_in(&input.id, &input.password)?;
    Ok(Response::data(&tokens)?.no_store())
}

#[derive(Deserialize)]
struct Register {
    username: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    password: String,
    #[serde(default, deserialize_with = "null_as_default")]
    country: String,
}

impl Input for Register {
    fn check(&self, checks: &mut Checks) {
        let username = given(self.username.as_deref());
        checks.text("username", username).max(100);
        checks.require(
            "username",
            username.is_none_or(is_username),
            "must not contain @ or begin with +",
        );
        checks.text("email", given(self.email.as_deref())).email().max(255);
        checks.text("phone", given(self.phone.as_deref())).e164();
        checks
            .text("password", self.password.as_str())
            .required()
            .min(8)
            .max(72);
        checks.require(
            "password",
            !is_common(&self.password),
            "is one of the passwords that are tried first: choose another",
        );
        checks
            .text("country", self.country.as_str())
            .required()
            .length(2)
            .alpha();
    }
}

pub(super) fn register(request: &Request) -> Result<Response, Error> {
    let input: Register = request.json()?;
    let tokens = sign_up(&Registration {
        username: given(input.username.as_deref()),
        email: given(input.email.as_deref()),
        phone: given(input.phone.as_deref()),
        password: &input.password,
        country: &input.country.to_ascii_uppercase(),
    })?;
    Ok(Response::created(&tokens)?.no_store())
}

#[derive(Deserialize)]
struct Refresh {
    #[serde(default, deserialize_with = "null_as_default")]
    refresh_token: String,
}

impl Input for Refresh {
    fn check(&self, checks: &mut Checks) {
        checks.text("refresh_token", self.refresh_token.as_str()).required();
    }
}

pub(super) fn refresh(request: &Request) -> Result<Response, Error> {
    let input: Refresh = request.json()?;
    let tokens = renew(&input.refresh_token)?;
    Ok(Response::data(&tokens)?.no_store())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures<T: Input>(body: serde_json::Value) -> String {
        let input: T = serde_json::from_value(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    fn register(changes: serde_json::Value) -> String {
        let mut body = serde_json::json!({ "username": "an", "password": "correct horse", "country": "vn" });
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        failures::<Register>(body)
    }

    #[test]
    fn a_plain_registration_passes() {
        assert_eq!(register(serde_json::json!({ "email": "", "phone": null })), "");
    }

    #[test]
    fn a_username_cannot_pass_for_another_identifier() {
        for username in ["an@example.com", "+84901234567", " +84901234567"] {
            assert!(
                register(serde_json::json!({ "username": username })).contains(r#""username""#),
                "{username}"
            );
        }
        assert!(register(serde_json::json!({ "username": "x".repeat(101) })).contains("at most 100"));
    }

    #[test]
    fn every_field_of_a_registration_has_its_rule() {
        for (field, value) in [
            ("email", "nobody"),
            ("phone", "0901234567"),
            ("password", "7 chars"),
            ("password", "PassWord123"),
            ("country", "VNM"),
            ("country", "1é"),
            ("country", ""),
        ] {
            let failed = register(serde_json::json!({ field: value }));
            assert!(failed.contains(&format!("\"{field}\"")), "{field}={value}: {failed}");
        }
        assert!(register(serde_json::json!({ "password": "x".repeat(73) })).contains("at most 72"));
        assert!(register(serde_json::json!({ "password": "iloveyou" })).contains("choose another"));
    }

    #[test]
    fn a_login_does_not_tell_the_rules_for_passwords() {
        assert_eq!(
            failures::<Login>(serde_json::json!({ "id": "an", "password": "x" })),
            ""
        );
        let failed = failures::<Login>(serde_json::json!({ "id": " ", "password": null }));
        assert!(failed.contains("\"id\"") && failed.contains("\"password\""), "{failed}");
    }
}
