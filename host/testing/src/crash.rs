//! `crash_at_each_entry`: whatever a flow makes durable, the process ends right before it and right after it.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};

use crate::TestHost;

/// No flow has more moments: one that never ends would be a bug of the test.
const MOMENTS: u32 = 500;

/// Runs a flow undisturbed, then once for every moment at which something becomes durable: before each append, each fence and each
/// COMMIT of a module, and after each. The process ends there, another one takes over, and the flow is run again.
///
/// The flow is told which run it is, and is called a second time with the same number after the end of a process: so it sends its
/// requests under keys that are made from the number, waits until the host has [settled](TestHost::settled), and returns what its
/// client was told and what is in the database, in a form that is the same for every run. Any difference is an error that names the
/// moment. Returns how many moments there were.
pub async fn crash_at_each_entry<T: PartialEq + Debug>(
    host: &mut TestHost,
    mut flow: impl AsyncFnMut(&TestHost, u32) -> Result<T>,
) -> Result<u32> {
    let undisturbed = flow(host, 0).await.context("undisturbed")?;
    for moment in 1..=MOMENTS {
        let disturbance = host.disturbance().clone();
        disturbance.end_at(moment);
        let ran = tokio::select! {
            biased;
            () = disturbance.ended() => None,
            // What a process says in its last moment, nobody hears.
            ran = flow(host, moment) => Some(ran).filter(|_| !disturbance.is_over()),
        };
        disturbance.disarm();
        let is_over = ran.is_some();
        let came_to = match ran {
            Some(ran) => ran,
            None => {
                host.restart().await?;
                flow(host, moment).await
            }
        };
        let came_to = came_to.with_context(|| format!("the process ended at moment {moment}"))?;
        ensure!(
            came_to == undisturbed,
            "the process ended at moment {moment}: it came to {came_to:#?}, undisturbed to {undisturbed:#?}"
        );
        if is_over {
            ensure!(moment > 1, "nothing becomes durable in this flow");
            return Ok(moment - 1);
        }
    }
    bail!("the flow has more than {MOMENTS} moments")
}
