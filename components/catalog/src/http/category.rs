//! Categories, read only.

use sdk::http::{Error as HttpError, Request, Response};
use serde::Serialize;

use super::shape::{CategoryRow, Nothing};
use crate::{
    domain::product::{Category, CategoryId},
    error::Error,
    store,
};

#[derive(Serialize)]
struct CategoryWithResources {
    #[serde(flatten)]
    category: CategoryRow,
    resources: [Nothing; 0],
}

impl From<Category> for CategoryWithResources {
    fn from(category: Category) -> Self {
        Self {
            category: category.into(),
            resources: [],
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let page = request.page()?;
    let ids: Vec<CategoryId> = request.query().list("id")?;
    let search: Option<String> = request.query().get("search")?;
    let categories = store::category::list(&ids, search.as_deref(), &page)?;
    Response::page(&page, &categories.map(CategoryWithResources::from))
}

pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let id: CategoryId = request.param("id")?;
    let category = store::category::find(id)?.ok_or(Error::CategoryNotFound(id))?;
    Response::data(&CategoryWithResources::from(category))
}
