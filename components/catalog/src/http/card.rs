//! Listings as grids show them.

use sdk::{
    AccountId, Checks, Timestamp,
    http::{Error as HttpError, Request, Response},
};
use serde::Serialize;

use super::shape::{EXCERPT_CHARS, Nothing, Rating};
use crate::{
    domain::{
        browse::{Filter, Search, Sort, price_ceiling, price_floor},
        html,
        product::{Card, CategoryId, SpuId},
        tag,
    },
    error::Error,
    stock::Stocks,
    store,
};

#[derive(Serialize)]
struct CardView {
    id: SpuId,
    slug: String,
    seller_id: AccountId,
    category_id: CategoryId,
    name: String,
    description: String,
    is_active: bool,
    currency: String,
    date_created: Timestamp,
    date_updated: Timestamp,
    date_deleted: Option<Timestamp>,
    price: i64,
    original_price: i64,
    rating: Rating,
    is_favorite: bool,
    resources: [Nothing; 0],
    promotions: [Nothing; 0],
    sold: i64,
}

impl CardView {
    fn new(card: Card, stocks: &Stocks) -> Self {
        Self {
            sold: stocks.taken(&card.skus),
            id: card.id,
            slug: card.slug,
            seller_id: card.seller,
            category_id: card.category,
            name: card.name,
            description: html::excerpt(&card.description, EXCERPT_CHARS),
            is_active: card.is_enabled,
            currency: card.currency,
            date_created: card.created,
            date_updated: card.updated,
            date_deleted: None,
            price: card.price,
            original_price: card.price,
            rating: Rating::default(),
            is_favorite: false,
            resources: [],
            promotions: [],
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let page = request.page()?;
    let (filter, sort) = filter(request)?;
    let cards = store::browse::cards(&filter, sort, &page)?;
    let stocks = Stocks::of(cards.items.iter().flat_map(|card| card.skus.iter().copied()));
    Response::page(&page, &cards.map(|card| CardView::new(card, &stocks)))
}

pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let card = store::browse::card(request.param("id")?)?.ok_or(Error::ProductNotFound)?;
    let stocks = Stocks::of(card.skus.iter().copied());
    Response::data(&CardView::new(card, &stocks))
}

fn filter(request: &Request) -> Result<(Filter, Sort), HttpError> {
    let query = request.query();
    let search: Option<String> = query.get("search")?;
    let price_min: Option<f64> = query.get("price_min")?;
    let price_max: Option<f64> = query.get("price_max")?;
    let created_from: Option<i64> = query.get("date_created_from")?;
    let created_to: Option<i64> = query.get("date_created_to")?;
    let sort: Option<String> = query.get("sort")?;
    let sort = sort.as_deref().map_or(Some(Sort::Newest), Sort::from_name);

    let mut checks = Checks::new();
    checks.text("search", search.as_deref()).min(1).max(100);
    checks.float("price_min", price_min).min(0.0);
    checks.float("price_max", price_max).min(0.0);
    checks.number("date_created_from", created_from).min(0);
    checks.number("date_created_to", created_to).min(0);
    checks.require(
        "sort",
        sort.is_some(),
        "must be one of newest, price_asc, price_desc, rating",
    );
    let tags = tag::normalise_all(&query.list::<String>("tag")?).unwrap_or_else(|error| {
        checks.fail("tag", error.to_string());
        Vec::new()
    });
    checks.finish()?;

    let at = |seconds: i64| Timestamp::from_ms(seconds.saturating_mul(1000));
    let filter = Filter {
        viewer: request.account_opt()?,
        seller: query.get("seller_id")?,
        categories: query.comma_list("category_id")?,
        tags,
        search: search.map(Search::Shown),
        price_min: price_min.map(price_floor),
        price_max: price_max.map(price_ceiling),
        created_from: created_from.map(at),
        created_to: created_to.map(at),
        ..Filter::default()
    };
    Ok((filter, sort.unwrap_or(Sort::Newest)))
}
