//! Listings as their sellers manage them.

use sdk::{
    AccountId, Checks, Input, Timestamp, Uuid,
    http::{Error as HttpError, Request, Response},
    json::optional_number,
    new_id, now, sql,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shape::{
    CategoryRow, EXCERPT_CHARS, Nothing, check_attributes, check_bytes, check_resources, check_seller, check_version,
};
use crate::{
    domain::{
        attribute::Attribute,
        browse::{Filter, Search, Sort},
        html,
        product::{CategoryId, SkuId, Spu, SpuId},
        size::{DESCRIPTION_BYTES, DESCRIPTION_CHARS, SPECIFICATIONS, SPECIFICATIONS_BYTES},
        slug::slug,
        tag,
    },
    error::Error,
    seller, stock,
    store::{
        self,
        search_sync::{Stale, mark},
        spu::NewSpu,
    },
};

#[derive(Serialize)]
struct SpuView {
    id: SpuId,
    account_id: AccountId,
    slug: String,
    category: CategoryRow,
    featured_sku_id: Option<SkuId>,
    name: String,
    description: String,
    is_enabled: bool,
    currency: String,
    date_created: Timestamp,
    date_updated: Timestamp,
    rating: SpuRating,
    tags: Vec<String>,
    resources: [Nothing; 0],
    specifications: Vec<Attribute>,
    is_stale_embedding: bool,
    is_stale_metadata: bool,
    version: i64,
    /// In a list, what is large is cut to its beginning; the listing by its id has all of it.
    is_abridged: bool,
}

/// In this object the breakdown is always empty.
#[derive(Serialize, Default)]
struct SpuRating {
    #[serde(flatten)]
    rating: super::shape::Rating,
    breakdown: Map<String, Value>,
}

impl From<Spu> for SpuView {
    fn from(spu: Spu) -> Self {
        Self {
            id: spu.id,
            account_id: spu.seller,
            slug: spu.slug,
            category: spu.category.into(),
            featured_sku_id: spu.featured_sku,
            name: spu.name,
            description: if spu.is_abridged {
                html::excerpt(&spu.description, EXCERPT_CHARS)
            } else {
                spu.description
            },
            is_enabled: spu.is_enabled,
            currency: spu.currency,
            date_created: spu.created,
            date_updated: spu.updated,
            rating: SpuRating::default(),
            tags: spu.tags,
            resources: [],
            specifications: spu.specifications,
            is_stale_embedding: spu.is_stale_embedding,
            is_stale_metadata: spu.is_stale_metadata,
            version: spu.version,
            is_abridged: spu.is_abridged,
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let page = request.page()?;
    let query = request.query();
    let viewer = request.account_opt()?;
    let mine = query.get::<bool>("my_products")?.unwrap_or(false);
    let search: Option<String> = query.get("search")?;
    let sort = if search.is_some() { Sort::Id } else { Sort::Newest };
    let filter = Filter {
        viewer,
        seller: viewer.filter(|_| mine),
        categories: query.comma_list("category_id")?,
        slugs: query.comma_list("slug")?,
        enabled: query.comma_list("is_enabled")?,
        search: search.map(Search::Listing),
        ..Filter::default()
    };
    let spus = store::browse::spus(&filter, sort, &page)?;
    Response::page(&page, &spus.map(SpuView::from))
}

pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let spu = store::spu::find(request.param("id")?)?.ok_or(Error::EntityNotFound("product"))?;
    Response::data(&SpuView::from(spu))
}

#[derive(Deserialize)]
struct CreateSpu {
    #[serde(default)]
    category_id: Uuid,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    currency: String,
    #[serde(default, deserialize_with = "sdk::json::null_as_default")]
    is_enabled: bool,
    tags: Option<Vec<String>>,
    resource_ids: Option<Vec<Uuid>>,
    specifications: Option<Vec<Attribute>>,
}

impl Input for CreateSpu {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("category_id", Some(self.category_id));
        checks.text("name", self.name.as_str()).required().max(200);
        checks
            .text("description", self.description.as_str())
            .required()
            .max(DESCRIPTION_CHARS);
        check_description(checks, &self.description);
        checks.text("currency", self.currency.as_str()).required().iso4217();
        checks.list("tags", self.tags.as_deref()).required();
        check_tags(checks, self.tags.as_deref());
        check_specifications(checks, self.specifications.as_deref());
    }
}

pub(super) fn create(request: &Request) -> Result<Response, HttpError> {
    let (input, me) = request.json_for_account::<CreateSpu>()?;
    seller::check_currency(&input.currency, &request.caller()?.currency)?;
    check_resources(input.resource_ids.as_deref())?;
    let tags = normalised(input.tags.as_deref());
    let id = SpuId(new_id());
    let category = CategoryId(input.category_id);
    let now = now();
    let new = NewSpu {
        id,
        slug: &slug(&input.name, &new_id().to_string()),
        seller: me,
        category,
        name: &input.name,
        description: &html::sanitise(&input.description),
        is_enabled: input.is_enabled,
        currency: &input.currency,
        specifications: &input.specifications.unwrap_or_default(),
    };
    let spu = sql::transaction(|tx| {
        store::spu::insert(tx, &new, now).map_err(|error| unknown_category(error, category))?;
        store::tag::replace(tx, id, me, &tags)?;
        mark(tx, id, Stale::Text, now)?;
        Ok::<_, Error>(store::spu::read(tx, id)?)
    })?;
    Response::data(&SpuView::from(spu))
}

/// Absent and null leave a field as it is; an empty list clears it, but for resources, which existing clients send empty.
#[derive(Deserialize)]
struct PatchSpu {
    #[serde(default)]
    id: Uuid,
    category_id: Option<CategoryId>,
    featured_sku_id: Option<SkuId>,
    name: Option<String>,
    description: Option<String>,
    currency: Option<String>,
    is_enabled: Option<bool>,
    #[serde(default, deserialize_with = "sdk::json::null_as_default")]
    regenerate_slug: bool,
    tags: Option<Vec<String>>,
    resource_ids: Option<Vec<Uuid>>,
    specifications: Option<Vec<Attribute>>,
    #[serde(default, deserialize_with = "optional_number")]
    version: Option<i64>,
}

impl Input for PatchSpu {
    fn check(&self, checks: &mut Checks) {
        checks.required_id("id", Some(self.id));
        checks.text("name", self.name.as_deref()).min(1).max(200);
        checks
            .text("description", self.description.as_deref())
            .max(DESCRIPTION_CHARS);
        check_description(checks, self.description.as_deref().unwrap_or_default());
        checks.text("currency", self.currency.as_deref()).iso4217();
        check_tags(checks, self.tags.as_deref());
        check_specifications(checks, self.specifications.as_deref());
    }
}

impl PatchSpu {
    /// Writes what was given into the listing; true when the text that search embeds is another one now.
    fn apply(self, spu: &mut Spu, unique: &str) -> bool {
        let before = (
            spu.name.clone(),
            spu.description.clone(),
            spu.category.id,
            spu.specifications.clone(),
        );
        if let Some(name) = self.name {
            if self.regenerate_slug {
                spu.slug = slug(&name, unique);
            }
            spu.name = name;
        }
        if let Some(description) = self.description {
            spu.description = description;
        }
        if let Some(category) = self.category_id {
            spu.category.id = category;
        }
        if let Some(sku) = self.featured_sku_id {
            spu.featured_sku = Some(sku);
        }
        if let Some(currency) = self.currency {
            spu.currency = currency;
        }
        if let Some(is_enabled) = self.is_enabled {
            spu.is_enabled = is_enabled;
        }
        if let Some(specifications) = self.specifications {
            spu.specifications = specifications;
        }
        before
            != (
                spu.name.clone(),
                spu.description.clone(),
                spu.category.id,
                spu.specifications.clone(),
            )
    }
}

pub(super) fn patch(request: &Request) -> Result<Response, HttpError> {
    let (mut input, me) = request.json_for_account::<PatchSpu>()?;
    input.description = input.description.map(|description| html::sanitise(&description));
    let id = SpuId(input.id);
    let sells_in = &request.caller()?.currency;
    let tags = input.tags.as_deref().map(|tags| normalised(Some(tags)));
    let unique = new_id().to_string();
    let now = now();
    let spu = sql::transaction(|tx| {
        let locked = check_seller(store::spu::lock(tx, id)?.ok_or(Error::EntityNotFound("product"))?, me)?;
        check_version(input.version, locked.version)?;
        // After ownership: a stranger learns nothing about currencies.
        if let Some(given) = &input.currency {
            seller::check_currency(given, sells_in)?;
            // What its variants cost is a number of the currency it has.
            if *given != locked.currency && store::sku::count(tx, id)?.0 > 0 {
                return Err(Error::ListingPriced(locked.currency));
            }
        }
        check_resources(input.resource_ids.as_deref())?;
        if let Some(sku) = input.featured_sku_id
            && !store::sku::belongs(tx, sku, id)?
        {
            return Err(Error::SkuNotOfSpu);
        }
        let mut spu = store::spu::read(tx, id)?;
        let mut text_changed = tags.as_ref().is_some_and(|tags| !same(tags, &spu.tags));
        text_changed |= input.apply(&mut spu, &unique);
        let category = spu.category.id;
        store::spu::update(tx, &spu, now).map_err(|error| unknown_category(error, category))?;
        store::spu::refresh_prices(tx, id)?;
        if let Some(tags) = &tags {
            store::tag::replace(tx, id, me, tags)?;
        }
        mark(tx, id, if text_changed { Stale::Text } else { Stale::Metadata }, now)?;
        Ok(store::spu::read(tx, id)?)
    })?;
    Response::data(&SpuView::from(spu))
}

pub(super) fn delete(request: &Request) -> Result<Response, HttpError> {
    let id: SpuId = request.param("id")?;
    let me = request.account()?;
    let now = now();
    let skus = sql::transaction(|tx| {
        check_seller(store::spu::lock(tx, id)?.ok_or(Error::EntityNotFound("product"))?, me)?;
        let skus = store::spu::delete(tx, id, now)?;
        mark(tx, id, Stale::Deleted, now)?;
        Ok::<_, Error>(skus)
    })?;
    stock::archive(&skus);
    Response::message("Product deleted")
}

fn check_specifications(checks: &mut Checks, specifications: Option<&[Attribute]>) {
    check_attributes(
        checks,
        "specifications",
        specifications,
        SPECIFICATIONS,
        SPECIFICATIONS_BYTES,
    );
}

/// What is kept of it counts: markup may take more than it did. One that is too long as it is needs no more work.
fn check_description(checks: &mut Checks, description: &str) {
    if description.chars().count() <= DESCRIPTION_CHARS {
        check_bytes(checks, "description", &html::sanitise(description), DESCRIPTION_BYTES);
    }
}

fn check_tags(checks: &mut Checks, tags: Option<&[String]>) {
    if let Err(error) = tag::normalise_all(tags.unwrap_or_default()) {
        checks.fail("tags", error.to_string());
    }
}

/// Tags that `check_tags` let pass.
fn normalised(tags: Option<&[String]>) -> Vec<String> {
    tag::normalise_all(tags.unwrap_or_default()).unwrap_or_default()
}

fn same(tags: &[String], sorted: &[String]) -> bool {
    tags.len() == sorted.len() && tags.iter().all(|tag| sorted.contains(tag))
}

fn unknown_category(error: sql::Error, category: CategoryId) -> Error {
    if error.violates(store::spu::CATEGORY_FKEY) {
        Error::CategoryNotFound(category)
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::product::Category;

    fn spu() -> Spu {
        Spu {
            id: SpuId(Uuid::from_u128(1)),
            slug: "shirt.1".into(),
            seller: AccountId(Uuid::from_u128(2)),
            category: Category {
                id: CategoryId(Uuid::from_u128(3)),
                name: "Fashion".into(),
                description: String::new(),
                parent_id: None,
            },
            featured_sku: Some(SkuId(Uuid::from_u128(4))),
            name: "Shirt".into(),
            description: "Cotton".into(),
            is_enabled: true,
            currency: "VND".into(),
            specifications: vec![Attribute {
                name: "Material".into(),
                value: "Cotton".into(),
            }],
            tags: vec!["summer".into()],
            version: 1,
            created: Timestamp::from_ms(0),
            updated: Timestamp::from_ms(0),
            is_stale_embedding: false,
            is_stale_metadata: false,
            is_abridged: false,
        }
    }

    fn patched(body: &str) -> (Spu, bool) {
        let patch: PatchSpu = serde_json::from_str(body).unwrap();
        let mut spu = spu();
        let text_changed = patch.apply(&mut spu, "new");
        (spu, text_changed)
    }

    #[test]
    fn what_is_absent_or_null_stays() {
        assert_eq!(patched("{}"), (spu(), false));
        let nulls =
            r#"{"name":null,"specifications":null,"featured_sku_id":null,"is_enabled":null,"regenerate_slug":null}"#;
        assert_eq!(patched(nulls), (spu(), false));
    }

    #[test]
    fn an_empty_list_clears() {
        let (spu, text_changed) = patched(r#"{"specifications":[]}"#);
        assert!(spu.specifications.is_empty() && text_changed);
    }

    #[test]
    fn the_slug_changes_only_on_request_and_with_a_name() {
        assert_eq!(patched(r#"{"name":"Blue shirt"}"#).0.slug, "shirt.1");
        assert_eq!(patched(r#"{"regenerate_slug":true}"#).0.slug, "shirt.1");
        assert_eq!(
            patched(r#"{"name":"Blue shirt","regenerate_slug":true}"#).0.slug,
            "blue-shirt.new"
        );
    }

    #[test]
    fn only_what_is_embedded_makes_the_text_stale() {
        assert!(!patched(r#"{"is_enabled":false}"#).1);
        assert!(!patched(r#"{"name":"Shirt"}"#).1);
        assert!(patched(r#"{"description":"Linen"}"#).1);
    }

    fn failures(body: &str) -> String {
        let input: CreateSpu = serde_json::from_str(body).unwrap();
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks.finish().unwrap_err().message().to_owned()
    }

    #[test]
    fn a_listing_needs_its_fields_and_a_list_of_tags() {
        let message = failures("{}");
        for field in ["category_id", "name", "description", "currency", "tags"] {
            assert!(message.contains(&format!("\"{field}\":\"is required\"")), "{message}");
        }
    }

    #[test]
    fn a_listing_is_refused_for_what_clients_may_get_wrong() {
        let message = failures(
            r#"{"category_id":"0190a5b2-7c11-7d3e-8f00-0123456789ab","name":"x","description":"x","currency":"vnd",
                "tags":[" "],"specifications":[{"name":" ","value":"x"}]}"#,
        );
        for field in ["currency", "tags", "specifications"] {
            assert!(message.contains(&format!("\"{field}\"")), "{message}");
        }
    }
}
