//! Categories: seeded by a migration, only read here.

use sdk::{
    Page, PageRequest,
    http::Error as HttpError,
    sql::{self, Row, params, sql},
};

use super::containing;
use crate::domain::product::{Category, CategoryId};

pub(crate) fn find(id: CategoryId) -> Result<Option<Category>, sql::Error> {
    let row = sql::query_opt(
        sql!("SELECT id, name, description, parent_id FROM category WHERE id = $1"),
        params![id],
    )?;
    row.as_ref().map(category).transpose()
}

/// By id; empty `ids` and no `search` mean all.
pub(crate) fn list(ids: &[CategoryId], search: Option<&str>, page: &PageRequest) -> Result<Page<Category>, HttpError> {
    let ids = (!ids.is_empty()).then(|| ids.to_vec());
    let pattern = search.map(containing);
    let after: Option<CategoryId> = page.cursor()?;
    let rows = sql::query(
        sql!(
            "SELECT id, name, description, parent_id
         FROM category
         WHERE ($1::uuid[] IS NULL OR id = ANY($1))
           AND ($2::text IS NULL OR name ILIKE $2 OR description ILIKE $2)
           AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id
         LIMIT $4 OFFSET $5"
        ),
        params![ids, pattern, after, page.limit + 1, page.offset()],
    )?;
    let total: i64 = sql::query_one(
        sql!(
            "SELECT count(*)
         FROM category
         WHERE ($1::uuid[] IS NULL OR id = ANY($1))
           AND ($2::text IS NULL OR name ILIKE $2 OR description ILIKE $2)"
        ),
        params![ids, pattern],
    )?
    .get(0)?;
    let categories = rows.iter().map(category).collect::<Result<_, _>>()?;
    Ok(Page::from_rows(page, categories, total, |category: &Category| {
        category.id
    }))
}

fn category(row: &Row) -> Result<Category, sql::Error> {
    Ok(Category {
        id: row.get("id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        parent_id: row.get("parent_id")?,
    })
}
