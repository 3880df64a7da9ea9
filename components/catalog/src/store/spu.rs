//! Listings.

use sdk::{
    AccountId, Timestamp, Uuid,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    attribute,
    product::{Category, CategoryId, SkuId, Spu, SpuId},
};

/// What is needed to insert a listing.
pub(crate) struct NewSpu<'a> {
    pub(crate) id: SpuId,
    pub(crate) slug: &'a str,
    pub(crate) seller: AccountId,
    pub(crate) category: CategoryId,
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) is_enabled: bool,
    pub(crate) currency: &'a str,
    pub(crate) specifications: &'a [attribute::Attribute],
}

/// A listing whose row this transaction holds, and with it the right to change its variants.
#[derive(Debug, Clone)]
pub(crate) struct Locked {
    pub(crate) id: SpuId,
    pub(crate) seller: AccountId,
    pub(crate) currency: String,
    pub(crate) version: i64,
}

/// The constraint that an unknown category violates.
pub(crate) const CATEGORY_FKEY: &str = "product_spu_category_fkey";

const WHOLE: &str = "
    p.description, p.specifications,
    ARRAY(SELECT t.tag FROM product_spu_tag t WHERE t.spu_id = p.id ORDER BY t.tag) AS tags,
    false AS is_abridged,";

/// For a list, of which each listing has its share: its bytes as JSON, `$1`. One that takes more has less of everything that may be long.
const FOR_A_LIST: &str = "
    CASE WHEN size.is_over THEN left(p.description, 600) ELSE p.description END AS description,
    CASE WHEN size.is_over THEN '[]'::jsonb ELSE p.specifications END AS specifications,
    ARRAY(SELECT t.tag FROM product_spu_tag t WHERE t.spu_id = p.id ORDER BY t.tag
          LIMIT CASE WHEN size.is_over THEN 5 END) AS tags,
    size.is_over AS is_abridged,";

const SIZE: &str = "
    CROSS JOIN LATERAL (
        SELECT octet_length(to_json(p.description)::text) + octet_length(p.specifications::text)
               + COALESCE((SELECT sum(octet_length(to_json(t.tag)::text) + 1)::bigint FROM product_spu_tag t WHERE t.spu_id = p.id), 0)
               > $1::bigint AS is_over
        OFFSET 0 -- once for each row, not once for each mention
    ) size";

/// Bytes of what may be long in all listings of a page; the rest of a megabyte is for what is short.
const LIST_BYTES: i64 = 700_000;

const COLUMNS: &str = "
    p.id, p.slug, p.account_id, p.featured_sku_id, p.name, p.is_enabled, p.currency,
    p.version, p.date_created, p.date_updated,
    c.id AS category_id, c.name AS category_name, c.description AS category_description, c.parent_id AS category_parent_id,
    COALESCE(y.is_stale_embedding, false) AS is_stale_embedding,
    COALESCE(y.is_stale_metadata, false) AS is_stale_metadata";

const JOINS: &str = "
    JOIN category c ON c.id = p.category_id
    LEFT JOIN search_sync y ON y.ref_type = 'ProductSpu' AND y.ref_id = p.id";

const BY_ID: &str = sql!(
    "SELECT ",
    WHOLE,
    COLUMNS,
    " FROM product_spu p ",
    JOINS,
    " WHERE p.id = $1 AND p.date_deleted IS NULL"
);

pub(crate) fn find(id: SpuId) -> Result<Option<Spu>, sql::Error> {
    sql::query_opt(BY_ID, params![id])?.as_ref().map(spu).transpose()
}

pub(crate) fn find_by_slug(slug: &str) -> Result<Option<Spu>, sql::Error> {
    let statement = sql!(
        "SELECT ",
        WHOLE,
        COLUMNS,
        " FROM product_spu p ",
        JOINS,
        " WHERE p.slug = $1 AND p.date_deleted IS NULL"
    );
    sql::query_opt(statement, params![slug])?.as_ref().map(spu).transpose()
}

/// The same inside a transaction that locked or inserted the row.
pub(crate) fn read(tx: &Transaction, id: SpuId) -> Result<Spu, sql::Error> {
    spu(&tx.query_one(BY_ID, params![id])?)
}

/// What each of so many listings on one page may take, for the parameter `$1` of [`select`].
pub(super) const fn share_bytes(rows: i64) -> i64 {
    LIST_BYTES / rows
}

/// By the condition, order and limit of `rest`, which speaks of `p`, as does `order`. The first parameter is what each may take.
pub(super) fn select(rest: &str, order: &str, parameters: Vec<sql::Value>) -> Result<Vec<Spu>, sql::Error> {
    let page = format!("(SELECT p.* FROM product_spu p {rest}) p");
    let statement = format!("SELECT {FOR_A_LIST}{COLUMNS} FROM {page} {JOINS} {SIZE} ORDER BY {order}");
    sql::query(&statement, parameters)?.iter().map(spu).collect()
}

/// Locks a live listing. What else is read of it is read after: a statement that had to wait for the lock sees the other tables as
/// they were before.
pub(crate) fn lock(tx: &Transaction, id: SpuId) -> Result<Option<Locked>, sql::Error> {
    let row = tx.query_opt(
        sql!("SELECT id, account_id, currency, version FROM product_spu WHERE id = $1 AND date_deleted IS NULL FOR UPDATE"),
        params![id],
    )?;
    row.as_ref().map(locked).transpose()
}

/// Locks the live listing that a variant belongs to; a variant never moves to another one.
pub(crate) fn lock_of_sku(tx: &Transaction, sku: SkuId) -> Result<Option<Locked>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT id, account_id, currency, version
         FROM product_spu
         WHERE id = (SELECT spu_id FROM product_sku WHERE id = $1) AND date_deleted IS NULL
         FOR UPDATE"
        ),
        params![sku],
    )?;
    row.as_ref().map(locked).transpose()
}

pub(crate) fn insert(tx: &Transaction, new: &NewSpu<'_>, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO product_spu
            (id, slug, account_id, category_id, name, description, is_enabled, currency, specifications,
             date_created, date_updated)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)"
        ),
        params![
            new.id,
            new.slug,
            new.seller,
            new.category,
            new.name,
            new.description,
            new.is_enabled,
            new.currency,
            attribute::to_json(new.specifications),
            now
        ],
    )?;
    Ok(())
}

/// Writes what a PATCH may have changed and raises the version.
pub(crate) fn update(tx: &Transaction, spu: &Spu, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "UPDATE product_spu
         SET slug = $2, category_id = $3, featured_sku_id = $4, name = $5, description = $6, is_enabled = $7,
             currency = $8, specifications = $9, version = version + 1, date_updated = $10
         WHERE id = $1"
        ),
        params![
            spu.id,
            spu.slug,
            spu.category.id,
            spu.featured_sku,
            spu.name,
            spu.description,
            spu.is_enabled,
            spu.currency,
            attribute::to_json(&spu.specifications),
            now
        ],
    )?;
    Ok(())
}

/// Brings the featured variant and the prices in line with the live variants: the featured one stays while it lives, else the
/// cheapest takes its place.
pub(crate) fn refresh_prices(tx: &Transaction, id: SpuId) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "UPDATE product_spu p
         SET featured_sku_id = featured.id, card_price = COALESCE(featured.price, 0),
             price_min = bounds.lowest, price_max = bounds.highest
         FROM (
             SELECT min(price) AS lowest, max(price) AS highest
             FROM product_sku WHERE spu_id = $1 AND date_deleted IS NULL
         ) bounds
         LEFT JOIN LATERAL (
             SELECT s.id, s.price
             FROM product_sku s
             WHERE s.spu_id = $1 AND s.date_deleted IS NULL
             ORDER BY s.id IS DISTINCT FROM (SELECT featured_sku_id FROM product_spu WHERE id = $1), s.price, s.id
             LIMIT 1
         ) featured ON true
         WHERE p.id = $1"
        ),
        params![id],
    )?;
    Ok(())
}

/// Marks a listing and its variants as deleted; returns those that were live.
pub(crate) fn delete(tx: &Transaction, id: SpuId, now: Timestamp) -> Result<Vec<SkuId>, sql::Error> {
    let skus = tx.query(
        sql!(
            "UPDATE product_sku SET date_deleted = $2, date_updated = $2, version = version + 1
         WHERE spu_id = $1 AND date_deleted IS NULL
         RETURNING id"
        ),
        params![id, now],
    )?;
    tx.execute(
        sql!("UPDATE product_spu SET date_deleted = $2, date_updated = $2, version = version + 1 WHERE id = $1"),
        params![id, now],
    )?;
    skus.iter().map(|row| row.get(0)).collect()
}

fn locked(row: &Row) -> Result<Locked, sql::Error> {
    Ok(Locked {
        id: row.get("id")?,
        seller: row.get("account_id")?,
        currency: row.get("currency")?,
        version: row.get("version")?,
    })
}

fn spu(row: &Row) -> Result<Spu, sql::Error> {
    Ok(Spu {
        id: row.get("id")?,
        slug: row.get("slug")?,
        seller: row.get("account_id")?,
        category: Category {
            id: row.get("category_id")?,
            name: row.get("category_name")?,
            description: row.get("category_description")?,
            parent_id: row.get::<Option<Uuid>>("category_parent_id")?.map(CategoryId),
        },
        featured_sku: row.get("featured_sku_id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        is_enabled: row.get("is_enabled")?,
        currency: row.get("currency")?,
        specifications: attribute::from_json(row.get("specifications")?),
        tags: row.get("tags")?,
        version: row.get("version")?,
        created: row.get("date_created")?,
        updated: row.get("date_updated")?,
        is_stale_embedding: row.get("is_stale_embedding")?,
        is_stale_metadata: row.get("is_stale_metadata")?,
        is_abridged: row.get("is_abridged")?,
    })
}
