//! What this module asks of catalog: who sells a SKU, and so may see and change its stock.

use std::collections::BTreeSet;

use sdk::{AccountId, Uuid};

use crate::{
    bindings::shop::catalog::products::{self, Sku},
    domain::owner::{Owner, OwnerKind},
    error::Error,
};

/// Refuses everybody but the seller of the SKU. A SKU that catalog does not know has no stock as far as anybody is told; nobody owns
/// the stock of a promotion. Asks catalog.
pub(crate) fn check(owner: Owner, account: AccountId) -> Result<(), Error> {
    sold(owner, account).map(drop)
}

/// The same for what changes a stock: a SKU that was deleted has none either.
pub(crate) fn check_live(owner: Owner, account: AccountId) -> Result<(), Error> {
    if sold(owner, account)?.deleted {
        Err(unknown(owner))
    } else {
        Ok(())
    }
}

fn sold(owner: Owner, account: AccountId) -> Result<Sku, Error> {
    let sku = match owner.kind {
        OwnerKind::Promotion => None,
        OwnerKind::ProductSku => products::get_skus(&[owner.id.to_string()]).pop(),
    };
    let sku = sku.ok_or_else(|| unknown(owner))?;
    if sku.product.seller_id == account.to_string() {
        Ok(sku)
    } else {
        Err(Error::NotTheSeller)
    }
}

fn unknown(owner: Owner) -> Error {
    Error::StockNotFound(owner.id.to_string())
}

/// SKUs asked for in one call, whose answer is one message.
const ASKED_AT_ONCE: usize = 200;

/// Those of the SKUs that the account sells, without deleted ones. Asks catalog, unless there is nothing to ask for.
pub(crate) fn sold_by(account: AccountId, skus: &BTreeSet<Uuid>) -> BTreeSet<Uuid> {
    if skus.is_empty() {
        return BTreeSet::new();
    }
    let ids: Vec<String> = skus.iter().map(Uuid::to_string).collect();
    let account = account.to_string();
    let answered = ids.chunks(ASKED_AT_ONCE).flat_map(products::get_skus);
    let skus = answered.filter(|sku| sku.product.seller_id == account && !sku.deleted);
    skus.filter_map(|sku| sku.id.parse().ok()).collect()
}
