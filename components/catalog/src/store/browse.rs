//! Lists of listings: the statement is put together from the filters that were asked for, so that each list uses its own index.

use std::collections::BTreeMap;

use sdk::{
    Page, PageRequest,
    http::Error as HttpError,
    sql::{self, Row, ToValue, Value, params, sql},
};

use super::{containing, sku, spu};
use crate::domain::{
    browse::{After, Filter, Search, Sort},
    product::{Card, SkuId, Spu, SpuId},
};

/// Listings as grids show them.
pub(crate) fn cards(filter: &Filter, sort: Sort, page: &PageRequest) -> Result<Page<Card>, HttpError> {
    let mut rows = cards_where(conditions(filter).after(sort, after(sort, page)?).ordered(sort, page))?;
    add_variants(&mut rows)?;
    let total = count(filter)?;
    Ok(match sort {
        Sort::Newest => Page::from_rows(page, rows, total, |card: &Card| (card.created, card.id)),
        Sort::PriceAscending | Sort::PriceDescending => {
            Page::from_rows(page, rows, total, |card: &Card| (card.price, card.id))
        }
        Sort::Id => Page::from_rows(page, rows, total, |card: &Card| card.id),
    })
}

/// One of them; a disabled one, too.
pub(crate) fn card(id: SpuId) -> Result<Option<Card>, sql::Error> {
    let statement = sql!(CARDS, "WHERE p.date_deleted IS NULL AND p.id = $1");
    let row = sql::query_opt(statement, params![id])?;
    let mut cards: Vec<Card> = row.iter().map(read_card).collect::<Result<_, _>>()?;
    add_variants(&mut cards)?;
    Ok(cards.pop())
}

/// Variants whose ids a card's row carries; of one that has more they are read apart, since a hundred rows are one answer.
const CARRIED: usize = 50;

fn add_variants(cards: &mut [Card]) -> Result<(), sql::Error> {
    let large = |card: &&mut Card| card.skus.len() > CARRIED;
    let ids: Vec<SpuId> = cards.iter_mut().filter(large).map(|card| card.id).collect();
    let mut variants: BTreeMap<SpuId, Vec<SkuId>> = BTreeMap::new();
    for (spu, sku) in sku::ids_of(&ids)? {
        variants.entry(spu).or_default().push(sku);
    }
    for card in cards.iter_mut().filter(large) {
        card.skus = variants.remove(&card.id).unwrap_or_default();
    }
    Ok(())
}

/// Listings as their sellers see them.
pub(crate) fn spus(filter: &Filter, sort: Sort, page: &PageRequest) -> Result<Page<Spu>, HttpError> {
    let Conditions { text, parameters } = narrowed(Conditions::of(spu::share_bytes(page.limit + 1)), filter)
        .after(sort, after(sort, page)?)
        .ordered(sort, page);
    let rows = spu::select(&text, sort.order(), parameters)?;
    let total = count(filter)?;
    Ok(match sort {
        Sort::Newest => Page::from_rows(page, rows, total, |spu: &Spu| (spu.created, spu.id)),
        // A listing has no one price: this list is never sorted by it.
        Sort::PriceAscending | Sort::PriceDescending | Sort::Id => {
            Page::from_rows(page, rows, total, |spu: &Spu| spu.id)
        }
    })
}

// The beginning of the description is enough for an excerpt even when much of it is markup. One id more than a row carries tells that
// there are more.
const CARDS: &str =
    "SELECT p.id, p.slug, p.account_id, p.category_id, p.name, left(p.description, 1500) AS description, p.is_enabled,
                p.currency, p.date_created, p.date_updated, p.card_price,
                ARRAY(SELECT s.id FROM product_sku s WHERE s.spu_id = p.id LIMIT 51) AS sku_ids
         FROM product_spu p ";

fn cards_where(Conditions { text, parameters }: Conditions) -> Result<Vec<Card>, sql::Error> {
    sql::query(&format!("{CARDS}{text}"), parameters)?
        .iter()
        .map(read_card)
        .collect()
}

fn count(filter: &Filter) -> Result<i64, sql::Error> {
    let Conditions { text, parameters } = conditions(filter);
    sql::query_one(&format!("SELECT count(*) FROM product_spu p {text}"), parameters)?.get(0)
}

/// Where the last page ended. A cursor of another order has another shape and is refused.
fn after(sort: Sort, page: &PageRequest) -> Result<Option<After>, HttpError> {
    Ok(match sort {
        Sort::Newest => page.cursor()?.map(|(created, id)| After::Created(created, id)),
        Sort::PriceAscending | Sort::PriceDescending => page.cursor()?.map(|(price, id)| After::Price(price, id)),
        Sort::Id => page.cursor()?.map(After::Id),
    })
}

fn conditions(filter: &Filter) -> Conditions {
    narrowed(Conditions::default(), filter)
}

fn narrowed(conditions: Conditions, filter: &Filter) -> Conditions {
    let mut conditions = conditions.and("p.date_deleted IS NULL");
    conditions = match filter.viewer {
        None => conditions.and("p.is_enabled"),
        // Their own listings are all enabled or not: no need to look at the flag.
        Some(viewer) if filter.seller == Some(viewer) => conditions,
        Some(viewer) => conditions.with("(p.is_enabled OR p.account_id = ?)", viewer),
    };
    if let Some(seller) = filter.seller {
        conditions = conditions.with("p.account_id = ?", seller);
    }
    if !filter.categories.is_empty() {
        conditions = conditions.with(
            "p.category_id IN (
                WITH RECURSIVE wanted AS (
                    SELECT id FROM category WHERE id = ANY(?::uuid[])
                    UNION SELECT c.id FROM category c JOIN wanted w ON c.parent_id = w.id
                )
                SELECT id FROM wanted)",
            &filter.categories,
        );
    }
    for tag in &filter.tags {
        conditions = conditions.with("p.id IN (SELECT t.spu_id FROM product_spu_tag t WHERE t.tag = ?)", tag);
    }
    if !filter.slugs.is_empty() {
        conditions = conditions.with("p.slug = ANY(?::text[])", &filter.slugs);
    }
    if !filter.enabled.is_empty() {
        conditions = conditions.with("p.is_enabled = ANY(?::boolean[])", &filter.enabled);
    }
    conditions = match &filter.search {
        None => conditions,
        Some(Search::Shown(text)) => conditions.with(
            "concat_ws(E'\\n', p.name, p.slug, p.description) ILIKE ?",
            containing(text),
        ),
        Some(Search::Listing(text)) => {
            conditions.with("concat_ws(E'\\n', p.name, p.slug, p.id) ILIKE ?", containing(text))
        }
    };
    // The ranges overlap: some variant is not cheaper, some variant is not dearer.
    if let Some(price) = filter.price_min {
        conditions = conditions.with("p.price_max >= ?", price);
    }
    if let Some(price) = filter.price_max {
        conditions = conditions.with("p.price_min <= ?", price);
    }
    if let Some(created) = filter.created_from {
        conditions = conditions.with("p.date_created >= ?", created);
    }
    if let Some(created) = filter.created_to {
        conditions = conditions.with("p.date_created <= ?", created);
    }
    conditions
}

impl Sort {
    fn order(self) -> &'static str {
        match self {
            Self::Newest => "p.date_created DESC, p.id DESC",
            Self::PriceAscending => "p.card_price, p.id",
            Self::PriceDescending => "p.card_price DESC, p.id DESC",
            Self::Id => "p.id",
        }
    }
}

/// The end of a statement and its parameters, growing together.
#[derive(Debug, Default)]
struct Conditions {
    text: String,
    parameters: Vec<Value>,
}

impl Conditions {
    /// After a parameter that something before the conditions speaks of.
    fn of(first: impl ToValue) -> Self {
        Self {
            text: String::new(),
            parameters: vec![first.to_value()],
        }
    }

    fn and(mut self, condition: &str) -> Self {
        self.text
            .push_str(if self.text.is_empty() { "WHERE " } else { " AND " });
        self.text.push_str(condition);
        self
    }

    /// The `?` of the condition stands for the parameter.
    fn with(mut self, condition: &str, parameter: impl ToValue) -> Self {
        let condition = condition.replacen('?', &self.place(parameter), 1);
        self.and(&condition)
    }

    /// Only what comes after the last row seen, in that order.
    fn after(mut self, sort: Sort, after: Option<After>) -> Self {
        let Some(after) = after else { return self };
        let (column, key, id) = match after {
            After::Created(created, id) => ("p.date_created", created.to_value(), id),
            After::Price(price, id) => ("p.card_price", price.to_value(), id),
            After::Id(id) => return self.with("p.id > ?", id),
        };
        let beyond = if matches!(sort, Sort::Newest | Sort::PriceDescending) {
            "<"
        } else {
            ">"
        };
        let (key, id) = (self.place(key), self.place(id));
        self.and(&format!("({column}, p.id) {beyond} ({key}, {id})"))
    }

    /// One row more than the page has, which tells whether there is another.
    fn ordered(mut self, sort: Sort, page: &PageRequest) -> Self {
        let order = sort.order();
        let (limit, offset) = (self.place(page.limit + 1), self.place(page.offset()));
        self.text
            .push_str(&format!(" ORDER BY {order} LIMIT {limit} OFFSET {offset}"));
        self
    }

    fn place(&mut self, parameter: impl ToValue) -> String {
        self.parameters.push(parameter.to_value());
        format!("${}", self.parameters.len())
    }
}

fn read_card(row: &Row) -> Result<Card, sql::Error> {
    Ok(Card {
        id: row.get("id")?,
        slug: row.get("slug")?,
        seller: row.get("account_id")?,
        category: row.get("category_id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        is_enabled: row.get("is_enabled")?,
        currency: row.get("currency")?,
        created: row.get("date_created")?,
        updated: row.get("date_updated")?,
        price: row.get("card_price")?,
        skus: row.get("sku_ids")?,
    })
}

#[cfg(test)]
mod tests {
    use sdk::{AccountId, Timestamp, Uuid};

    use super::*;
    use crate::domain::product::CategoryId;

    fn account(number: u128) -> AccountId {
        AccountId(Uuid::from_u128(number))
    }

    #[test]
    fn strangers_see_enabled_listings_and_sellers_their_own() {
        let text = |viewer, seller| {
            conditions(&Filter {
                viewer,
                seller,
                ..Filter::default()
            })
            .text
        };
        assert_eq!(text(None, None), "WHERE p.date_deleted IS NULL AND p.is_enabled");
        assert!(text(Some(account(1)), None).contains("(p.is_enabled OR p.account_id = $1)"));
        assert!(
            text(Some(account(1)), Some(account(2)))
                .contains("(p.is_enabled OR p.account_id = $1) AND p.account_id = $2")
        );
        assert!(!text(Some(account(1)), Some(account(1))).contains("is_enabled"));
    }

    #[test]
    fn every_parameter_has_its_place() {
        let filter = Filter {
            viewer: Some(account(1)),
            seller: Some(account(2)),
            categories: vec![CategoryId(Uuid::NIL)],
            tags: vec!["a".into(), "b".into()],
            slugs: vec!["s".into()],
            enabled: vec![true],
            search: Some(Search::Shown("x".into())),
            price_min: Some(1),
            price_max: Some(2),
            created_from: Some(Timestamp::from_ms(1)),
            created_to: Some(Timestamp::from_ms(2)),
        };
        let after = After::Price(5, SpuId(Uuid::NIL));
        let Conditions { text, parameters } = conditions(&filter)
            .after(Sort::PriceDescending, Some(after))
            .ordered(Sort::PriceDescending, &PageRequest::default());
        assert!(!text.contains('?'), "{text}");
        assert_eq!(parameters.len(), 16);
        assert_eq!(text.matches('$').count(), 16, "{text}");
        assert!(
            text.ends_with(
                "(p.card_price, p.id) < ($13, $14) ORDER BY p.card_price DESC, p.id DESC LIMIT $15 OFFSET $16"
            )
        );
    }

    #[test]
    fn an_empty_list_restricts_nothing() {
        let filter = Filter {
            viewer: None,
            ..Filter::default()
        };
        assert!(conditions(&filter).parameters.is_empty());
    }
}
