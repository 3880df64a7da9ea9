//! The component that speaks to the payment provider.

use host_types::Fault;

use crate::simulation::instance::Instance;
use crate::simulation::provider::{CHARGE, DECLINED, REFUND, REFUNDED, UNKNOWN, UNSENT};

/// Tries, when the provider could not be reached.
const TRIES: u32 = 3;
/// Between two of them.
const PAUSE_MS: u64 = 250;

/// What cannot be told counts as declined: the refund that follows is one for a charge that may have been made.
pub(crate) async fn charge(instance: Instance, order: i64, amount: i64) -> Result<i64, Fault> {
    for _ in 0..TRIES {
        match instance.post(CHARGE, &[order, amount, order]).await? {
            UNSENT => instance.recorder.sleep(PAUSE_MS).await?,
            UNKNOWN => return Ok(DECLINED),
            state => return Ok(state),
        }
    }
    Ok(DECLINED)
}

/// Until it is done: an answer that was recorded stays what it is, so each try is a request of its own.
pub(crate) async fn refund(instance: Instance, order: i64) -> Result<i64, Fault> {
    while instance.post(REFUND, &[order]).await? != REFUNDED {
        instance.recorder.sleep(PAUSE_MS).await?;
    }
    Ok(REFUNDED)
}
