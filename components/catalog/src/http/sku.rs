//! Variants as their sellers manage them.

use sdk::{
    Checks, Input, Timestamp, Uuid,
    http::{Error as HttpError, Request, Response, StrictBool},
    json::optional_number,
    new_id, now, sql,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shape::{check_attributes, check_bytes, check_seller, check_version};
use crate::{
    domain::{
        attribute::Attribute,
        product::{Sku, SkuId, SpuId},
        size::{ATTRIBUTES, ATTRIBUTES_BYTES, MAX_NUMBER, PACKAGE_BYTES, VARIANTS, VARIANTS_EVER, numbers_are_plain},
    },
    error::Error,
    seller::check_price,
    stock::{self, Stock, Stocks},
    store::{
        self,
        search_sync::{Stale, mark},
        sku::SkuFilter,
    },
};

#[derive(Serialize)]
struct SkuView {
    id: SkuId,
    spu_id: SpuId,
    price: i64,
    combinable: bool,
    date_created: Timestamp,
    stock: i64,
    attributes: Vec<Attribute>,
    package_details: Value,
    version: i64,
}

impl SkuView {
    fn new(sku: Sku, stock: Stock) -> Self {
        Self {
            id: sku.id,
            spu_id: sku.spu,
            price: sku.price,
            combinable: sku.combinable,
            date_created: sku.created,
            stock: stock.available,
            attributes: sku.attributes,
            package_details: sku.package_details,
            version: sku.version,
        }
    }
}

/// Of one listing; without `spu_id` there is nothing to list.
pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let query = request.query();
    let spu: Option<SpuId> = query.get("spu_id")?;
    let filter = SkuFilter {
        price_from: query.get("price_from")?,
        price_to: query.get("price_to")?,
        combinable: query.get("combinable")?.map(|StrictBool(combinable)| combinable),
    };
    let mut checks = Checks::new();
    checks.number("price_from", filter.price_from).min(1);
    checks
        .number("price_to", filter.price_to)
        .min(filter.price_from.unwrap_or(1));
    checks.finish()?;
    let skus = spu.map_or(Ok(Vec::new()), |spu| store::sku::list(spu, filter))?;
    let stocks = Stocks::of(skus.iter().map(|sku| sku.id));
    let views: Vec<_> = skus
        .into_iter()
        .map(|sku| {
            let stock = stocks.get(sku.id);
            SkuView::new(sku, stock)
        })
        .collect();
    Response::list(&views)
}

#[derive(Deserialize)]
struct CreateSku {
    #[serde(default)]
    spu_id: Uuid,
    #[serde(default, deserialize_with = "optional_number")]
    price: Option<i64>,
    /// That of the listing, if it is given.
    currency: Option<String>,
    #[serde(default, deserialize_with = "sdk::json::null_as_default")]
    combinable: bool,
    attributes: Option<Vec<Attribute>>,
    package_details: Option<Value>,
}

impl Input for CreateSku {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("spu_id", Some(self.spu_id));
        checks.number("price", self.price).required().min(1).max(MAX_NUMBER);
        checks.text("currency", self.currency.as_deref()).iso4217();
        check_variant_attributes(checks, self.attributes.as_deref());
        checks.require("package_details", self.package_details.is_some(), "is required");
        check_package(checks, self.package_details.as_ref());
    }
}

pub(super) fn create(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<CreateSku>()?;
    let sells_in = &request.caller()?.currency;
    let (spu, currency) = (SpuId(input.spu_id), input.currency);
    let now = now();
    let sku = Sku {
        id: SkuId(new_id()),
        spu,
        price: input.price.unwrap_or_default(),
        combinable: input.combinable,
        attributes: input.attributes.unwrap_or_default(),
        package_details: input.package_details.unwrap_or_default(),
        version: 1,
        created: now,
    };
    sql::transaction(|tx| {
        let locked = check_seller(store::spu::lock(tx, spu)?.ok_or(Error::EntityNotFound("product"))?, me)?;
        check_price(currency.as_deref(), &locked.currency, sells_in)?;
        let (live, ever) = store::sku::count(tx, spu)?;
        if live >= VARIANTS || ever >= VARIANTS_EVER {
            return Err(Error::TooManyVariants { live, ever });
        }
        store::sku::insert(tx, &sku)?;
        store::spu::refresh_prices(tx, spu)?;
        Ok::<_, Error>(mark(tx, spu, Stale::Text, now)?)
    })?;
    // After the commit, so that inventory finds the seller of the variant whenever it asks.
    let stock = stock::create(sku.id)?;
    Response::data(&SkuView::new(sku, stock))
}

/// Absent and null leave a field as it is; an empty list clears the attributes.
#[derive(Deserialize)]
struct PatchSku {
    #[serde(default)]
    id: Uuid,
    #[serde(default, deserialize_with = "optional_number")]
    price: Option<i64>,
    /// That of the listing, if it is given: a variant cannot have another one.
    currency: Option<String>,
    combinable: Option<bool>,
    attributes: Option<Vec<Attribute>>,
    package_details: Option<Value>,
    #[serde(default, deserialize_with = "optional_number")]
    version: Option<i64>,
}

impl Input for PatchSku {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("id", Some(self.id));
        checks.number("price", self.price).min(1).max(MAX_NUMBER);
        checks.text("currency", self.currency.as_deref()).iso4217();
        check_variant_attributes(checks, self.attributes.as_deref());
        check_package(checks, self.package_details.as_ref());
    }
}

impl PatchSku {
    /// Writes what was given into the variant; true when the text that search embeds is another one now.
    fn apply(self, sku: &mut Sku) -> bool {
        sku.version += 1;
        if let Some(price) = self.price {
            sku.price = price;
        }
        if let Some(combinable) = self.combinable {
            sku.combinable = combinable;
        }
        if let Some(details) = self.package_details {
            sku.package_details = details;
        }
        match self.attributes {
            Some(attributes) if attributes != sku.attributes => {
                sku.attributes = attributes;
                true
            }
            _ => false,
        }
    }
}

pub(super) fn patch(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<PatchSku>()?;
    let sells_in = &request.caller()?.currency;
    let id = SkuId(input.id);
    let now = now();
    let sku = sql::transaction(|tx| {
        let locked = check_seller(
            store::spu::lock_of_sku(tx, id)?.ok_or(Error::EntityNotFound("SKU"))?,
            me,
        )?;
        if input.price.is_some() || input.currency.is_some() {
            check_price(input.currency.as_deref(), &locked.currency, sells_in)?;
        }
        let mut sku = store::sku::read(tx, id)?.ok_or(Error::EntityNotFound("SKU"))?;
        check_version(input.version, sku.version)?;
        let text_changed = input.apply(&mut sku);
        store::sku::update(tx, &sku, now)?;
        store::spu::refresh_prices(tx, locked.id)?;
        mark(
            tx,
            locked.id,
            if text_changed { Stale::Text } else { Stale::Metadata },
            now,
        )?;
        Ok::<_, Error>(sku)
    })?;
    let stock = Stocks::of([sku.id]).get(sku.id);
    Response::data(&SkuView::new(sku, stock))
}

#[derive(Deserialize)]
struct DeleteSku {
    #[serde(default)]
    id: Uuid,
}

impl Input for DeleteSku {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("id", Some(self.id));
    }
}

pub(super) fn delete(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<DeleteSku>()?;
    let id = SkuId(input.id);
    let now = now();
    sql::transaction(|tx| {
        let locked = check_seller(
            store::spu::lock_of_sku(tx, id)?.ok_or(Error::EntityNotFound("SKU"))?,
            me,
        )?;
        if !store::sku::delete(tx, id, now)? {
            return Err(Error::EntityNotFound("SKU"));
        }
        store::spu::refresh_prices(tx, locked.id)?;
        Ok(mark(tx, locked.id, Stale::Text, now)?)
    })?;
    stock::archive(&[id]);
    Response::message("SKU deleted")
}

fn check_variant_attributes(checks: &mut Checks, attributes: Option<&[Attribute]>) {
    check_attributes(checks, "attributes", attributes, ATTRIBUTES, ATTRIBUTES_BYTES);
}

fn check_package(checks: &mut Checks, details: Option<&Value>) {
    checks.require(
        "package_details",
        details.is_none_or(Value::is_object),
        "must be a JSON object",
    );
    let Some(details) = details else { return };
    check_bytes(checks, "package_details", details, PACKAGE_BYTES);
    checks.require(
        "package_details",
        numbers_are_plain(details),
        "must have numbers of 9007199254740991 at most, and of 0.000001 at least where they are not 0",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sku() -> Sku {
        Sku {
            id: SkuId(Uuid::from_u128(1)),
            spu: SpuId(Uuid::from_u128(2)),
            price: 100,
            combinable: true,
            attributes: vec![Attribute {
                name: "Color".into(),
                value: "Red".into(),
            }],
            package_details: json!({"weight_grams": 200}),
            version: 4,
            created: Timestamp::from_ms(0),
        }
    }

    fn patched(body: &str) -> (Sku, bool) {
        let patch: PatchSku = serde_json::from_str(body).unwrap();
        let mut sku = sku();
        let text_changed = patch.apply(&mut sku);
        (sku, text_changed)
    }

    #[test]
    fn a_price_change_wipes_nothing_else() {
        let (patched, text_changed) = patched(r#"{"price":"250"}"#);
        assert_eq!(
            patched,
            Sku {
                price: 250,
                version: 5,
                ..sku()
            }
        );
        assert!(!text_changed);
    }

    #[test]
    fn an_empty_list_clears_the_attributes() {
        let (patched, text_changed) = patched(r#"{"attributes":[],"package_details":null}"#);
        assert_eq!(
            patched,
            Sku {
                attributes: vec![],
                version: 5,
                ..sku()
            }
        );
        assert!(text_changed);
    }

    fn accepted(body: &str) -> bool {
        let input: CreateSku = serde_json::from_str(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks.finish().is_ok()
    }

    #[test]
    fn a_variant_needs_a_price_and_package_details() {
        let with = |rest: &str| format!(r#"{{"spu_id":"0190a5b2-7c11-7d3e-8f00-0123456789ab",{rest}}}"#);
        assert!(accepted(&with(r#""price":1,"package_details":{}"#)));
        assert!(!accepted(&with(r#""price":0,"package_details":{}"#)));
        assert!(!accepted(&with(r#""price":1"#)));
        assert!(!accepted(&with(r#""price":1,"package_details":"heavy""#)));
        assert!(!accepted(r#"{"price":1,"package_details":{}}"#));
    }
}
