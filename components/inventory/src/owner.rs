//! What this module asks of catalog: who sells a SKU, and so may see and change its stock.

use std::collections::BTreeSet;

use sdk::{AccountId, Uuid};

use crate::{
    bindings::shop::catalog::products,
    domain::owner::{Owner, OwnerKind},
    error::Error,
};

/// Refuses everybody but the seller of the SKU. A SKU that catalog does not know has no stock as far as anybody is told; nobody owns
/// the stock of a promotion. Asks catalog.
pub(crate) fn check(owner: Owner, account: AccountId) -> Result<(), Error> {
    let unknown = || Error::StockNotFound(owner.id.to_string());
    match owner.kind {
        OwnerKind::Promotion => Err(unknown()),
        OwnerKind::ProductSku => {
            let seller = products::seller_of_sku(&owner.id.to_string()).ok_or_else(unknown)?;
            if seller == account.to_string() {
                Ok(())
            } else {
                Err(Error::NotTheSeller)
            }
        }
    }
}

/// SKUs asked for in one call, whose answer is one message.
const ASKED_AT_ONCE: usize = 200;

/// Those of the SKUs that the account sells. Asks catalog, unless there is nothing to ask for.
pub(crate) fn sold_by(account: AccountId, skus: &BTreeSet<Uuid>) -> BTreeSet<Uuid> {
    if skus.is_empty() {
        return BTreeSet::new();
    }
    let ids: Vec<String> = skus.iter().map(Uuid::to_string).collect();
    let account = account.to_string();
    let answered = ids.chunks(ASKED_AT_ONCE).flat_map(products::get_skus);
    let skus = answered.filter(|sku| sku.product.seller_id == account);
    skus.filter_map(|sku| sku.id.parse().ok()).collect()
}
