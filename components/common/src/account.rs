//! What this module asks of account: whether somebody may act.

use crate::{bindings::shop::account::profiles, error::Error};

sdk::standing!(profiles, Error::Account);
