//! A move to another country, and with it to another currency: what is counted in the old one must be over first.

use sdk::{AccountId, now, sql};

use crate::{
    bindings::shop::{catalog::sellers, order::dealings},
    domain::country,
    error::Error,
    store,
};

/// Changes the country of an account; returns the currency that follows from it. To move to where one is changes nothing, and is not refused.
///
/// The wallet is looked at where nothing can be paid into it meanwhile. What the other modules say may have changed by the time the country
/// does: of what is begun in that moment, nothing is lost, but a payment into the wallet waits for a person.
pub(crate) fn move_to(me: AccountId, country: &str) -> Result<&'static str, Error> {
    let currency = country::currency(country).ok_or_else(|| Error::InvalidCountry(country.to_owned()))?;
    let profile = store::profile::get(me)?.ok_or(Error::CallerGone)?;
    if profile.country == country {
        return Ok(currency);
    }
    if let Some((balance, currency)) = store::ledger::filled_wallet(me)? {
        return Err(Error::WalletNotEmpty { balance, currency });
    }
    let old = profile.currency();
    if old != currency {
        let count = sellers::priced_in(&me.to_string(), old);
        if count > 0 {
            return Err(Error::SkusInOldCurrency { count, currency: old });
        }
    }
    if dealings::has_open(&me.to_string()) {
        return Err(Error::OpenDealings);
    }
    let now = now();
    sql::transaction(|tx| {
        let locked = store::profile::lock(tx, me)?.ok_or(Error::CallerGone)?;
        if locked.country != profile.country {
            return Err(Error::MovedMeanwhile);
        }
        if let Some((balance, currency)) = store::ledger::locked_wallet(tx, me)? {
            return Err(Error::WalletNotEmpty { balance, currency });
        }
        store::profile::set_country(tx, me, country, now)?;
        Ok(currency)
    })
}
