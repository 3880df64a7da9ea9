//! Tags and which listing carries them.

use sdk::{
    AccountId, Page, PageRequest,
    http::Error as HttpError,
    sql::{self, Row, Transaction, params, sql},
};

use super::containing;
use crate::domain::product::SpuId;

pub(crate) struct Tag {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
}

pub(crate) fn find(id: &str) -> Result<Option<Tag>, sql::Error> {
    let row = sql::query_opt(
        sql!("SELECT id, account_id, name, description FROM tag WHERE id = $1"),
        params![id],
    )?;
    row.as_ref().map(tag).transpose()
}

/// By id; no `search` means all.
pub(crate) fn list(search: Option<&str>, page: &PageRequest) -> Result<Page<Tag>, HttpError> {
    let pattern = search.map(containing);
    let after: Option<String> = page.cursor()?;
    let rows = sql::query(
        sql!(
            "SELECT id, account_id, name, description
         FROM tag
         WHERE ($1::text IS NULL OR id ILIKE $1 OR description ILIKE $1)
           AND ($2::text IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3 OFFSET $4"
        ),
        params![pattern, after, page.limit + 1, page.offset()],
    )?;
    let total: i64 = sql::query_one(
        sql!("SELECT count(*) FROM tag WHERE ($1::text IS NULL OR id ILIKE $1 OR description ILIKE $1)"),
        params![pattern],
    )?
    .get(0)?;
    let tags = rows.iter().map(tag).collect::<Result<_, _>>()?;
    Ok(Page::from_rows(page, tags, total, |tag: &Tag| tag.id.clone()))
}

/// Gives the listing exactly these tags; those nobody used before are created in the seller's name.
pub(crate) fn replace(tx: &Transaction, spu: SpuId, seller: AccountId, tags: &[String]) -> Result<(), sql::Error> {
    // In alphabetical order, so that two listings with the same new tags do not wait for each other.
    tx.execute(
        sql!(
            "INSERT INTO tag (id, account_id, name)
         SELECT tag, $2, tag FROM unnest($1::text[]) AS tag ORDER BY tag
         ON CONFLICT (id) DO NOTHING"
        ),
        params![tags, seller],
    )?;
    tx.execute(
        sql!("DELETE FROM product_spu_tag WHERE spu_id = $1 AND tag <> ALL($2::text[])"),
        params![spu, tags],
    )?;
    tx.execute(
        sql!(
            "INSERT INTO product_spu_tag (spu_id, tag)
         SELECT $1, tag FROM unnest($2::text[]) AS tag
         ON CONFLICT (spu_id, tag) DO NOTHING"
        ),
        params![spu, tags],
    )?;
    Ok(())
}

fn tag(row: &Row) -> Result<Tag, sql::Error> {
    Ok(Tag {
        id: row.get("id")?,
        account: row.get("account_id")?,
        name: row.get("name")?,
        description: row.get("description")?,
    })
}
