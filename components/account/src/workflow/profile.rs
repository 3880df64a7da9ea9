//! A change of one's own profile.

use sdk::{AccountId, now, sql};

use crate::{
    domain::profile::{Profile, ProfileChange},
    error::Error,
    store,
};

/// Changes what is given; returns the profile as it is then.
pub(crate) fn change(me: AccountId, change: &ProfileChange) -> Result<Profile, Error> {
    if change.is_empty() {
        return store::profile::get(me)?.ok_or(Error::CallerGone);
    }
    // No resource can be attached before there are any: an id that is given is unknown, and would be kept from its owner.
    if change.avatar_rs_id.is_some() {
        return Err(Error::ResourceNotFound);
    }
    let now = now();
    sql::transaction(|tx| store::profile::update(tx, me, change, now)?.ok_or(Error::CallerGone))
}
