//! Running what a cancelled invocation has to undo: newest first, each as a recorded call into a fresh instance.

use std::sync::Arc;

use host_journal::{Compensation, Payload};
use host_recorder::{Attempt, CallStep};
use host_types::Fault;

use crate::handlers::Handlers;

/// Which call this is in the record.
const FUNCTION: &str = "nexus:durable/compensate.run";

/// Whether this is the call of a compensation.
pub(crate) fn is_compensation(target: &str) -> bool {
    target.split_once(':').is_some_and(|(_, function)| function == FUNCTION)
}

/// Runs all of them. One that fails ends the attempt, and the next one goes on with it: what has run is answered from its record.
pub(crate) async fn run(
    deployment: &Arc<dyn Handlers>,
    attempt: &Arc<Attempt>,
    compensations: &[Compensation],
) -> Result<(), Fault> {
    let compensator = attempt.compensator();
    for Compensation {
        position,
        component,
        pushed,
    } in compensations
    {
        let target = format!("{component}:{FUNCTION}");
        // Where it was pushed belongs to it: two of one name and argument are two.
        let mut arguments = position.to_string().into_bytes();
        for part in [pushed.name.as_bytes(), &pushed.argument] {
            arguments.extend_from_slice(&(part.len() as u64).to_be_bytes());
            arguments.extend_from_slice(part);
        }
        match compensator.call(&target, &arguments)? {
            CallStep::Recorded(_) => {}
            CallStep::Enter(entered) => {
                attempt.write_compensation().await?;
                let undone = Arc::clone(deployment)
                    .call_compensate(entered.callee(), component, &pushed.name, &pushed.argument)
                    .await?;
                // Not recorded as an answer: it would be the answer for ever.
                undone.map_err(|reason| {
                    Fault::Transient(format!("compensation {} of {component} failed: {reason}", pushed.name))
                })?;
                entered.returned(Payload::new())?;
            }
        }
    }
    Ok(())
}
