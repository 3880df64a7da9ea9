//! Saved addresses of the caller.

use sdk::{
    Checks, Input,
    http::{Error, Request, Response},
    json::null_as_default,
};
use serde::Deserialize;

use crate::{
    domain::{
        contact::{AddressType, ContactId},
        identifier::given,
    },
    error::Error as Failure,
    store,
    workflow::contact::{self as workflow, ContactEdit, NewContact},
};

pub(super) fn list(request: &Request) -> Result<Response, Error> {
    let me = request.account()?;
    Ok(Response::list(&store::contact::list(me)?)?.no_store())
}

pub(super) fn get(request: &Request) -> Result<Response, Error> {
    let id: ContactId = request.param("contact_id")?;
    let me = request.account()?;
    let contact = store::contact::get(me, id)?.ok_or(Failure::ContactNotFound)?;
    Ok(Response::data(&contact)?.no_store())
}

#[derive(Deserialize)]
struct Add {
    #[serde(default, deserialize_with = "null_as_default")]
    full_name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    phone: String,
    #[serde(default, deserialize_with = "null_as_default")]
    address: String,
    address_type: Option<AddressType>,
}

impl Input for Add {
    fn check(&self, checks: &mut Checks) {
        checks.text("full_name", self.full_name.as_str()).required().max(100);
        checks.text("phone", self.phone.as_str()).required().max(30);
        checks.text("address", self.address.as_str()).required().max(255);
        checks.require("address_type", self.address_type.is_some(), "is required");
    }
}

pub(super) fn add(request: &Request) -> Result<Response, Error> {
    let input: Add = request.json()?;
    let address_type = input
        .address_type
        .ok_or_else(|| Error::invalid("address_type", "is required"))?;
    let me = request.account()?;
    let new = NewContact {
        full_name: input.full_name,
        phone: input.phone,
        address: input.address,
        address_type,
    };
    Ok(Response::data(&workflow::add(me, new)?)?.no_store())
}

/// A `phone_verified` that a client sends is left unread, like any unknown key: clients cannot verify their own phones.
#[derive(Deserialize)]
struct Edit {
    contact_id: Option<ContactId>,
    full_name: Option<String>,
    phone: Option<String>,
    address: Option<String>,
    address_type: Option<AddressType>,
}

impl Input for Edit {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("contact_id", self.contact_id);
        checks.text("full_name", self.full_name.as_deref()).max(100);
        checks.text("phone", self.phone.as_deref()).max(30);
        checks.text("address", self.address.as_deref()).max(255);
    }
}

pub(super) fn edit(request: &Request) -> Result<Response, Error> {
    let input: Edit = request.json()?;
    let id = required(input.contact_id)?;
    let me = request.account()?;
    let text = |value: Option<String>| given(value.as_deref()).map(str::to_owned);
    let edit = ContactEdit {
        full_name: text(input.full_name),
        phone: text(input.phone),
        address: text(input.address),
        address_type: input.address_type,
    };
    Ok(Response::data(&workflow::edit(me, id, edit)?)?.no_store())
}

#[derive(Deserialize)]
struct Remove {
    contact_id: Option<ContactId>,
}

impl Input for Remove {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("contact_id", self.contact_id);
    }
}

pub(super) fn remove(request: &Request) -> Result<Response, Error> {
    let input: Remove = request.json()?;
    let id = required(input.contact_id)?;
    let me = request.account()?;
    workflow::remove(me, id)?;
    Response::message("contact deleted")
}

fn required(id: Option<ContactId>) -> Result<ContactId, Error> {
    id.ok_or_else(|| Error::invalid("contact_id", "is required"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures<T: Input>(body: &str) -> String {
        let mut checks = Checks::new();
        serde_json::from_str::<T>(body).unwrap().check(&mut checks);
        checks
            .finish()
            .map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    #[test]
    fn a_contact_needs_all_its_parts() {
        let failed = failures::<Add>("{}");
        for field in ["full_name", "phone", "address", "address_type"] {
            assert!(failed.contains(&format!("\"{field}\"")), "{field}: {failed}");
        }
        assert_eq!(
            failures::<Add>(r#"{"full_name":"An","phone":"0901","address":"1 Lê Lợi","address_type":"Home"}"#),
            ""
        );
    }

    #[test]
    fn an_edit_names_its_contact_and_ignores_phone_verified() {
        assert!(failures::<Edit>(r#"{"phone_verified":true}"#).contains("\"contact_id\""));
        let nil = r#"{"contact_id":"00000000-0000-0000-0000-000000000000"}"#;
        assert!(failures::<Remove>(nil).contains("\"contact_id\""));
    }
}
