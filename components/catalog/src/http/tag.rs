//! Tags, created by the listings that use them.

use sdk::{
    AccountId, Checks,
    http::{Error as HttpError, Request, Response},
};
use serde::Serialize;

use crate::{domain::tag::normalise, error::Error, store};

#[derive(Serialize)]
struct TagView {
    id: String,
    account_id: AccountId,
    name: String,
    description: Option<String>,
}

impl From<store::tag::Tag> for TagView {
    fn from(tag: store::tag::Tag) -> Self {
        Self {
            id: tag.id,
            account_id: tag.account,
            name: tag.name,
            description: tag.description,
        }
    }
}

pub(super) fn list(request: &Request) -> Result<Response, HttpError> {
    let page = request.page()?;
    let search: Option<String> = request.query().get("search")?;
    let mut checks = Checks::new();
    checks.text("search", search.as_deref()).max(100);
    checks.finish()?;
    let tags = store::tag::list(search.as_deref(), &page)?;
    Response::page(&page, &tags.map(TagView::from))
}

pub(super) fn get(request: &Request) -> Result<Response, HttpError> {
    let tag: String = request.param("tag")?;
    let mut checks = Checks::new();
    checks.text("tag", tag.as_str()).min(1).max(100);
    checks.finish()?;
    request.account()?;
    let tag = store::tag::find(&normalise(&tag))?.ok_or(Error::EntityNotFound("tag"))?;
    Response::data(&TagView::from(tag))
}
