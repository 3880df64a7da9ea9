//! Checkouts under a number of the buyer's choosing: whoever asks for it begins it, unless it is begun, and awaits what becomes of it.

use host_journal::{WorkflowEnd, WorkflowKey};
use host_recorder::{Attached, Outgoing, Waited, Workflow};
use host_types::Fault;

use super::orders::{self, Response};
use super::{decode, desk};
use crate::simulation::instance::Instance;

/// Where one is asked for.
pub(crate) const ORDER: &str = "/order";
/// What runs under the number.
pub(crate) const FLOW: &str = "shop:orders/flows.place";
const INTERFACE: &str = "shop:orders/flows";
const FUNCTION: &str = "place";
/// The promise of its order's id.
pub(super) const OPENED: &str = "opened";
/// Longer than one takes that nothing happens to.
const OPENING_MS: u64 = 5_000;

/// What is known of one that an operator ended.
pub(crate) const GIVEN_UP: u16 = 410;
/// It is opened, or is not yet: more is not asked.
pub(crate) const OPEN: u16 = 202;

pub(super) fn key(number: i64) -> WorkflowKey {
    WorkflowKey::new("orders".into(), INTERFACE, FUNCTION, number.to_string())
}

/// Begins it, unless it is begun; awaits its promise, or its output.
pub(super) async fn order(instance: &Instance, asked: &[i64; 3], until_opened: bool) -> Result<Response, Fault> {
    let recorder = &instance.recorder;
    let key = key(asked[0]);
    let outgoing = Outgoing {
        component: "orders".into(),
        function: FLOW.into(),
        input: minicbor::to_vec(asked).expect("numbers have an encoding").into(),
        memory_limit_bytes: 64 << 20,
        within_ms: None,
    };
    let workflow = Workflow {
        key: key.clone(),
        retention_ms: 3_600_000,
    };
    recorder
        .start_workflow("orders:flows.place", outgoing, workflow)
        .await?;
    if until_opened {
        let waited = recorder.wait_for_named(key, OPENED.into(), Some(OPENING_MS)).await?;
        return Ok(match waited {
            Waited::Value(order) => (OPEN, format!("order {}", decode(&order)?)),
            Waited::TimedOut | Waited::Unknown => (OPEN, "not yet".into()),
        });
    }
    match recorder.attach("orders:flows.attach", key, None, true).await? {
        Attached::Ended(WorkflowEnd::Returned(output)) => {
            minicbor::decode(&output).map_err(|error| Fault::Guest(error.to_string()))
        }
        Attached::Ended(WorkflowEnd::Cancelled) => Ok((GIVEN_UP, "given up".into())),
        Attached::TimedOut | Attached::Unknown | Attached::Circle => {
            Err(Fault::Guest("what was begun is not there".into()))
        }
    }
}

/// The flow: a checkout whose goods are packed at the desk.
pub(super) async fn place(instance: &Instance, input: &[u8]) -> Result<Vec<u8>, Fault> {
    let asked: [i64; 3] = minicbor::decode(input).map_err(|error| Fault::Guest(error.to_string()))?;
    let [number, item, quantity] = asked;
    let response = orders::checkout(instance, number, item, quantity, Some(&key(number))).await?;
    if response.0 == 200 {
        desk::work(instance, number).await?;
    }
    Ok(minicbor::to_vec(response).expect("a response has an encoding"))
}
