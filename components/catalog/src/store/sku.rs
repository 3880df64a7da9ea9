//! Variants.

use sdk::{
    AccountId, Timestamp, Uuid,
    sql::{self, Row, Transaction, params, sql},
};

use crate::domain::{
    attribute::{self, Attribute},
    product::{Sku, SkuId, SpuId},
};

/// A variant with what other modules want to know of its listing; deleted ones are kept for history.
pub(crate) struct Sold {
    pub(crate) sku: Sku,
    pub(crate) seller: AccountId,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) is_enabled: bool,
    pub(crate) currency: String,
    pub(crate) is_deleted: bool,
}

/// Which variants of one listing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SkuFilter {
    pub(crate) price_from: Option<i64>,
    pub(crate) price_to: Option<i64>,
    pub(crate) combinable: Option<bool>,
}

/// Variants that are read at once: the largest fit one answer of the database (1 MiB).
const PORTION: i64 = 250;
/// Ids of variants that are read at once.
const ID_PORTION: i64 = 10_000;

/// The live variants of a live listing, by id.
pub(crate) fn list(spu: SpuId, filter: SkuFilter) -> Result<Vec<Sku>, sql::Error> {
    let mut skus = Vec::new();
    let mut after = None;
    loop {
        let portion = list_after(spu, filter, after)?;
        let is_last = (portion.len() as i64) < PORTION;
        skus.extend(portion);
        if is_last {
            return Ok(skus);
        }
        after = skus.last().map(|sku| sku.id);
    }
}

fn list_after(spu: SpuId, filter: SkuFilter, after: Option<SkuId>) -> Result<Vec<Sku>, sql::Error> {
    let rows = sql::query(
        sql!("SELECT s.id, s.spu_id, s.price, s.shared_packaging, s.attributes, s.package_details, s.version, s.date_created
         FROM product_sku s
         WHERE s.spu_id = $1 AND s.date_deleted IS NULL
           AND ($2::bigint IS NULL OR s.price >= $2)
           AND ($3::bigint IS NULL OR s.price <= $3)
           AND ($4::boolean IS NULL OR s.shared_packaging = $4)
           AND ($5::uuid IS NULL OR s.id > $5)
         ORDER BY s.id
         LIMIT $6"),
        params![spu, filter.price_from, filter.price_to, filter.combinable, after, PORTION],
    )?;
    rows.iter().map(sku).collect()
}

/// The ids of all variants of some listings, deleted ones included.
pub(crate) fn ids_of(spus: &[SpuId]) -> Result<Vec<(SpuId, SkuId)>, sql::Error> {
    let mut ids: Vec<(SpuId, SkuId)> = Vec::new();
    if spus.is_empty() {
        return Ok(ids);
    }
    loop {
        let after = ids.last().copied().unwrap_or((SpuId(Uuid::NIL), SkuId(Uuid::NIL)));
        let rows = sql::query(
            sql!(
                "SELECT spu_id, id
         FROM product_sku
         WHERE spu_id = ANY($1::uuid[]) AND (spu_id, id) > ($2, $3)
         ORDER BY spu_id, id
         LIMIT $4"
            ),
            params![spus, after.0, after.1, ID_PORTION],
        )?;
        for row in &rows {
            ids.push((row.get(0)?, row.get(1)?));
        }
        if (rows.len() as i64) < ID_PORTION {
            return Ok(ids);
        }
    }
}

/// How many variants a listing has, and how many it has with those that were deleted, in a transaction that locked it.
pub(crate) fn count(tx: &Transaction, spu: SpuId) -> Result<(i64, i64), sql::Error> {
    let row = tx.query_one(
        sql!("SELECT count(*) FILTER (WHERE date_deleted IS NULL), count(*) FROM product_sku WHERE spu_id = $1"),
        params![spu],
    )?;
    Ok((row.get(0)?, row.get(1)?))
}

/// With their listings, deleted ones included.
pub(crate) fn list_sold(ids: &[SkuId]) -> Result<Vec<Sold>, sql::Error> {
    let mut sold = Vec::with_capacity(ids.len());
    for portion in ids.chunks(PORTION as usize) {
        sold.extend(list_sold_at_once(portion)?);
    }
    Ok(sold)
}

fn list_sold_at_once(ids: &[SkuId]) -> Result<Vec<Sold>, sql::Error> {
    let rows = sql::query(
        sql!("SELECT s.id, s.spu_id, s.price, s.shared_packaging, s.attributes, s.package_details, s.version, s.date_created,
                p.account_id, p.slug, p.name, p.is_enabled, p.currency,
                (s.date_deleted IS NOT NULL OR p.date_deleted IS NOT NULL) AS is_deleted
         FROM product_sku s
         JOIN product_spu p ON p.id = s.spu_id
         WHERE s.id = ANY($1::uuid[])"),
        params![ids],
    )?;
    rows.iter().map(sold).collect()
}

pub(crate) fn seller(id: SkuId) -> Result<Option<AccountId>, sql::Error> {
    let row = sql::query_opt(
        sql!("SELECT p.account_id FROM product_sku s JOIN product_spu p ON p.id = s.spu_id WHERE s.id = $1"),
        params![id],
    )?;
    row.map(|row| row.get(0)).transpose()
}

/// How many live variants of live listings a seller has in a currency.
pub(crate) fn count_live(seller: AccountId, currency: &str) -> Result<i64, sql::Error> {
    sql::query_one(
        sql!(
            "SELECT count(*)
         FROM product_spu p
         JOIN product_sku s ON s.spu_id = p.id AND s.date_deleted IS NULL
         WHERE p.account_id = $1 AND p.currency = $2 AND p.date_deleted IS NULL"
        ),
        params![seller, currency],
    )?
    .get(0)
}

/// A live variant, in a transaction that locked its listing.
pub(crate) fn read(tx: &Transaction, id: SkuId) -> Result<Option<Sku>, sql::Error> {
    let row = tx.query_opt(
        sql!(
            "SELECT id, spu_id, price, shared_packaging, attributes, package_details, version, date_created
         FROM product_sku
         WHERE id = $1 AND date_deleted IS NULL"
        ),
        params![id],
    )?;
    row.as_ref().map(sku).transpose()
}

/// True when it is a live variant of that listing.
pub(crate) fn belongs(tx: &Transaction, id: SkuId, spu: SpuId) -> Result<bool, sql::Error> {
    let row = tx.query_opt(
        sql!("SELECT 1 FROM product_sku WHERE id = $1 AND spu_id = $2 AND date_deleted IS NULL"),
        params![id, spu],
    )?;
    Ok(row.is_some())
}

pub(crate) fn insert(tx: &Transaction, sku: &Sku) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "INSERT INTO product_sku
            (id, spu_id, price, shared_packaging, attributes, package_details, version, date_created, date_updated)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)"
        ),
        params![
            sku.id,
            sku.spu,
            sku.price,
            sku.combinable,
            attribute::to_json(&sku.attributes),
            sku.package_details,
            sku.version,
            sku.created
        ],
    )?;
    Ok(())
}

/// Writes what a PATCH may have changed, its raised version included.
pub(crate) fn update(tx: &Transaction, sku: &Sku, now: Timestamp) -> Result<(), sql::Error> {
    tx.execute(
        sql!(
            "UPDATE product_sku
         SET price = $2, shared_packaging = $3, attributes = $4, package_details = $5, version = $6, date_updated = $7
         WHERE id = $1"
        ),
        params![
            sku.id,
            sku.price,
            sku.combinable,
            attribute::to_json(&sku.attributes),
            sku.package_details,
            sku.version,
            now
        ],
    )?;
    Ok(())
}

/// Marks a live variant as deleted; false when there is none.
pub(crate) fn delete(tx: &Transaction, id: SkuId, now: Timestamp) -> Result<bool, sql::Error> {
    let deleted = tx.execute(
        sql!(
            "UPDATE product_sku SET date_deleted = $2, date_updated = $2, version = version + 1
         WHERE id = $1 AND date_deleted IS NULL"
        ),
        params![id, now],
    )?;
    Ok(deleted > 0)
}

fn sku(row: &Row) -> Result<Sku, sql::Error> {
    let attributes: Vec<Attribute> = attribute::from_json(row.get("attributes")?);
    Ok(Sku {
        id: row.get("id")?,
        spu: row.get("spu_id")?,
        price: row.get("price")?,
        combinable: row.get("shared_packaging")?,
        attributes,
        package_details: row.get("package_details")?,
        version: row.get("version")?,
        created: row.get("date_created")?,
    })
}

fn sold(row: &Row) -> Result<Sold, sql::Error> {
    Ok(Sold {
        sku: sku(row)?,
        seller: row.get("account_id")?,
        slug: row.get("slug")?,
        name: row.get("name")?,
        is_enabled: row.get("is_enabled")?,
        currency: row.get("currency")?,
        is_deleted: row.get("is_deleted")?,
    })
}
