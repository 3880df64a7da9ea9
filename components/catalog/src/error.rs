//! The module's failures, and the only place that gives them codes.

use sdk::{http, sql};

use crate::domain::product::CategoryId;

/// What a request or a call of another module can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0} not found")]
    EntityNotFound(&'static str),
    #[error("product not found")]
    ProductNotFound,
    #[error("category {0} not found")]
    CategoryNotFound(CategoryId),
    #[error("some of the resources do not exist")]
    ResourceNotFound,
    #[error("only the seller may change this product")]
    NotTheSeller,
    #[error("product currency {given} is not the seller's currency {seller}")]
    CurrencyMismatch { given: String, seller: String },
    #[error("the product has variants that are priced in {0}, and keeps that currency")]
    ListingPriced(String),
    #[error("the featured SKU does not belong to this product")]
    SkuNotOfSpu,
    #[error(
        "has {live} variants, and {ever} with those that were deleted: a listing has at most 500, and 1000 with those"
    )]
    TooManyVariants { live: i64, ever: i64 },
    #[error("changed by somebody else: version {seen} was seen, version {current} is current")]
    VersionConflict { seen: i64, current: i64 },
    #[error("ask the account module: {0}")]
    Account(String),
    #[error("create the stock record: {0}")]
    Stock(String),
    #[error(transparent)]
    Sql(#[from] sql::Error),
}

impl From<Error> for http::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::EntityNotFound(_) => Self::not_found("entity_not_found", text),
            Error::ProductNotFound => Self::not_found("product_not_found", text),
            Error::CategoryNotFound(_) => Self::not_found("category_not_found", text),
            Error::ResourceNotFound => Self::not_found("resource_not_found", text),
            Error::NotTheSeller => Self::forbidden(text),
            Error::CurrencyMismatch { .. } | Error::ListingPriced(_) => Self::bad_request("currency_mismatch", text),
            Error::SkuNotOfSpu => Self::bad_request("sku_not_belong_to_spu", text),
            Error::TooManyVariants { .. } => Self::invalid("spu_id", text),
            Error::VersionConflict { .. } => Self::conflict("version_conflict", text),
            Error::Account(_) | Error::Stock(_) | Error::Sql(_) => Self::internal(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_status_and_code_clients_know() {
        let mismatch = Error::CurrencyMismatch {
            given: "USD".into(),
            seller: "VND".into(),
        };
        for (error, status, code) in [
            (Error::EntityNotFound("product"), 404, "entity_not_found"),
            (Error::ProductNotFound, 404, "product_not_found"),
            (Error::ResourceNotFound, 404, "resource_not_found"),
            (Error::NotTheSeller, 403, "forbidden"),
            (mismatch, 400, "currency_mismatch"),
            (Error::ListingPriced("VND".into()), 400, "currency_mismatch"),
            (Error::SkuNotOfSpu, 400, "sku_not_belong_to_spu"),
            (Error::VersionConflict { seen: 1, current: 2 }, 409, "version_conflict"),
            (Error::Stock("no".into()), 500, "internal"),
        ] {
            let answer = http::Error::from(error);
            assert_eq!((answer.status(), answer.code()), (status, code));
        }
    }
}
