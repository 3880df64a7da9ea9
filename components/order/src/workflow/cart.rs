//! Changing a cart and showing it.

use sdk::AccountId;

use crate::{
    domain::{cart::Change, id::SkuId},
    error::Error,
    peers::{
        catalog::{self, Variant},
        inventory,
    },
    store::cart::{self, CartLine},
};

/// A cart line as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownLine {
    pub(crate) variant: Variant,
    pub(crate) quantity: i64,
    /// Free to buy.
    pub(crate) stock: i64,
}

/// Changes one line. What is put into a cart must exist; taking out works always.
pub(crate) fn change(account: AccountId, sku_id: SkuId, change: Change) -> Result<(), Error> {
    let is_changed = match change {
        Change::Remove => {
            cart::remove(account, sku_id)?;
            true
        }
        Change::Set(quantity) => {
            check_exists(sku_id)?;
            cart::set(account, CartLine { sku_id, quantity })?
        }
        Change::Add(quantity) => {
            check_exists(sku_id)?;
            cart::add(account, CartLine { sku_id, quantity })?
        }
    };
    if is_changed { Ok(()) } else { Err(Error::CartFull) }
}

fn check_exists(sku_id: SkuId) -> Result<(), Error> {
    let offers = catalog::offers(&[sku_id])?;
    if offers.iter().any(|offer| !offer.deleted) {
        Ok(())
    } else {
        Err(Error::ItemNotFound)
    }
}

/// The cart with what catalog and inventory say about it. Lines whose SKU is gone are left out.
pub(crate) fn show(account: AccountId) -> Result<Vec<ShownLine>, Error> {
    let lines = cart::list(account)?;
    let skus: Vec<SkuId> = lines.iter().map(|line| line.sku_id).collect();
    let variants = catalog::variants(&skus)?;
    let stocks = inventory::available(&skus)?;
    let shown = lines.into_iter().filter_map(|line| {
        let variant = variants
            .iter()
            .find(|variant| variant.offer.sku_id == line.sku_id && !variant.offer.deleted)?;
        let stock = stocks.get(&line.sku_id).copied().unwrap_or(0);
        Some(ShownLine {
            variant: variant.clone(),
            quantity: line.quantity,
            stock,
        })
    });
    Ok(shown.collect())
}
