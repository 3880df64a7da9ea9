//! Units that a seller brings in.

use std::collections::BTreeSet;

use sdk::{
    Checks, Input, Uuid,
    http::{Error as HttpError, Request, Response},
    invocation,
    json::optional_number,
    new_id, now, sql,
};
use serde::Deserialize;

use crate::{
    domain::{
        owner::{Owner, OwnerKind},
        serial::{self, repeated},
        stock::{MAX_QUANTITY, MAX_SERIALS},
    },
    error::Error,
    owner, store,
};

#[derive(Deserialize)]
struct Import {
    #[serde(default)]
    ref_id: Uuid,
    ref_type: Option<OwnerKind>,
    #[serde(default, deserialize_with = "optional_number")]
    change: Option<i64>,
    serial_ids: Option<Vec<String>>,
}

impl Input for Import {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("ref_id", Some(self.ref_id));
        checks.require("ref_type", self.ref_type.is_some(), "is required");
        checks.number("change", self.change).required().min(1).max(MAX_QUANTITY);
        check_serials(checks, self.serial_ids.as_deref().unwrap_or_default(), MAX_SERIALS);
    }
}

/// Rules of a list of serial numbers.
pub(super) fn check_serials(checks: &mut Checks, serials: &[String], most: usize) {
    checks.list("serial_ids", serials).max(most);
    let sized = serials
        .iter()
        .all(|text| !text.is_empty() && text.chars().count() <= serial::MAX_CHARS);
    checks.require("serial_ids", sized, "must have 1 to 128 characters in every item");
}

pub(super) fn import(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<Import>()?;
    let target = Owner {
        kind: input.ref_type.unwrap_or(OwnerKind::ProductSku),
        id: input.ref_id,
    };
    let change = input.change.unwrap_or_default();
    owner::check_live(target, me)?;
    let now = now();
    let invocation = invocation::id();
    sql::transaction(|tx| {
        let stock = store::stock::lock_or_create(tx, target, now)?.open()?;
        if stock.serial_required {
            let serials = serials(input.serial_ids.unwrap_or_default(), change, || new_id().to_string())?;
            let inserted: BTreeSet<String> = store::serial::insert(tx, stock.id, &serials, now)?
                .into_iter()
                .collect();
            if inserted.len() < serials.len() {
                return Err(Error::DuplicateSerial(
                    serials.into_iter().filter(|id| !inserted.contains(id)).collect(),
                ));
            }
        }
        store::stock::import(tx, stock.id, change, &invocation, now).map_err(|error| {
            if error.violates(store::stock::TOTAL_CHECK) {
                Error::QuantityTooLarge
            } else {
                error.into()
            }
        })
    })?;
    Response::message("Stock imported")
}

/// One serial per unit: those given, or made ones when none is given.
fn serials(given: Vec<String>, change: i64, make: impl Fn() -> String) -> Result<Vec<String>, Error> {
    let count = usize::try_from(change)
        .ok()
        .filter(|count| *count <= MAX_SERIALS)
        .ok_or(Error::TooManySerials)?;
    if given.is_empty() {
        return Ok((0..count).map(|_| make()).collect());
    }
    if given.len() != count {
        return Err(Error::SerialCountMismatch {
            given: given.len(),
            change,
        });
    }
    let repeated = repeated(&given);
    if repeated.is_empty() {
        Ok(given)
    } else {
        Err(Error::DuplicateSerial(repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(given: &[&str], change: i64) -> Result<Vec<String>, Error> {
        serials(
            given.iter().map(|serial| (*serial).to_owned()).collect(),
            change,
            || "made".to_owned(),
        )
    }

    #[test]
    fn every_unit_gets_a_serial() {
        assert_eq!(with(&["a", "b"], 2).unwrap(), ["a", "b"]);
        assert_eq!(with(&[], 2).unwrap(), ["made", "made"]);
    }

    #[test]
    fn a_count_that_does_not_match_is_refused() {
        assert!(matches!(
            with(&["a"], 2),
            Err(Error::SerialCountMismatch { given: 1, change: 2 })
        ));
    }

    #[test]
    fn a_serial_given_twice_is_a_duplicate() {
        assert!(matches!(with(&["a", "a"], 2), Err(Error::DuplicateSerial(serials)) if serials == ["a"]));
    }

    #[test]
    fn ten_thousand_serials_are_the_limit() {
        assert_eq!(with(&[], MAX_SERIALS as i64).unwrap().len(), MAX_SERIALS);
        assert!(matches!(with(&[], MAX_SERIALS as i64 + 1), Err(Error::TooManySerials)));
    }

    fn accepted(body: &str) -> bool {
        let input: Import = serde_json::from_str(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks.finish().is_ok()
    }

    #[test]
    fn an_import_names_its_owner_and_a_positive_change() {
        let with = |rest: &str| {
            format!(r#"{{"ref_id":"0190a5b2-7c11-7d3e-8f00-0123456789ab","ref_type":"ProductSku",{rest}}}"#)
        };
        assert!(accepted(&with(r#""change":"5""#)));
        assert!(!accepted(&with(r#""change":0"#)));
        assert!(!accepted(&with(r#""change":-5"#)));
        assert!(!accepted(&with(r#""change":1,"serial_ids":[""]"#)));
        assert!(!accepted(r#"{"ref_type":"ProductSku","change":5}"#));
        assert!(!accepted(
            r#"{"ref_id":"0190a5b2-7c11-7d3e-8f00-0123456789ab","change":5}"#
        ));
    }
}
