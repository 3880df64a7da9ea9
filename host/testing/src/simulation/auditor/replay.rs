//! W3: every history, and any beginning of one that was durable, leads the same handlers along the same way.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use host_invoker::{Handlers, LeaseTerm};
use host_journal::{Body, Entry, Header, InvocationStatus, KeyId, Machine, WorkflowKey, cancelled};
use host_recorder::{
    Answer, Attempt, AttemptOptions, Delivered, Hold, Place, PromiseState, Promises, SCHEDULED_FUNCTION,
    SUBSCRIBER_FUNCTION, ScheduledInput, Unwritten, Watched,
};
use host_store::Heartbeat;
use host_types::{Fault, HttpRequest, InvocationId, NodeId, PromiseId};

use super::Findings;
use crate::seal::Plain;
use crate::simulation::gate::Gate;
use crate::simulation::instance::NodeView;
use crate::simulation::market::Market;
use crate::simulation::session::Session;
use crate::simulation::tables;
use crate::simulation::world::World;

/// Replays each invocation's whole record, and a beginning of it.
pub(super) fn histories(findings: &mut Findings, world: &World) {
    let recorded: Vec<(InvocationId, InvocationStatus, Vec<usize>, Vec<Entry>)> = {
        let tables = world.database.tables.lock();
        let stored = tables.invocations.iter();
        stored
            .map(|(id, stored)| {
                (
                    *id,
                    stored.row.status,
                    stored.appends.clone(),
                    tables::entries(&stored.bodies),
                )
            })
            .collect()
    };
    let dry = Dry::new(world);
    for (invocation, status, appends, entries) in recorded {
        // What an operator ended is not gone on with: its compensations are.
        if cancelled(&entries).is_some() {
            continue;
        }
        // An append is written whole or not at all.
        // Where a fence is missing, what was written may be gone again.
        let cut = world.dice.one_of(&appends).unwrap_or(entries.len()).min(entries.len());
        let beginning = entries[..cut].to_vec();
        if let Some(Err(fault)) = dry.replay(invocation, beginning) {
            findings.check(false, "W3", || format!("{invocation} up to entry {cut}: {fault}"));
        }
        let output = tables::output(&entries).map(<[u8]>::to_vec);
        let replayed = dry.replay(invocation, entries);
        if status == InvocationStatus::Completed {
            let same = match (&replayed, &output) {
                (Some(Ok(body)), Some(output)) => contains(output, body),
                _ => false,
            };
            findings.check(same, "W3", || {
                format!("{invocation} ended with {output:?}, its replay with {replayed:?}")
            });
        }
    }
}

fn contains(output: &[u8], body: &[u8]) -> bool {
    body.is_empty() || output.windows(body.len()).any(|window| window == body)
}

/// A node whose process is dead: nothing leaves it, so that a replay that asks for anything that is not recorded stops there.
pub(super) struct Dry {
    view: Arc<NodeView>,
}

impl Dry {
    pub(super) fn new(world: &World) -> Self {
        let gate = Arc::new(Gate::closed());
        let node = NodeId::new(0, [0; 10]);
        let session = Session::new(Arc::clone(&world.database), node, gate, 0);
        let ended = Heartbeat {
            clock_offset_ms: 0,
            may_work: false,
            lease_until_ns: u64::MAX,
        };
        let view = NodeView {
            lease: Arc::new(LeaseTerm::new(Arc::clone(&session.clock) as _, ended)),
            session: Arc::new(session),
            provider: Arc::clone(&world.provider),
            dice: world.dice.clone(),
            sabotage: None,
        };
        Self { view: Arc::new(view) }
    }

    /// What the handler returned; `None`: it wants more than is recorded.
    pub(super) fn replay(&self, invocation: InvocationId, entries: Vec<Entry>) -> Option<Result<Vec<u8>, Fault>> {
        let Some(Body::Started(header)) = entries.first().map(|entry| entry.body.clone()) else {
            return Some(Err(Fault::Guest("a history does not begin with its start".into())));
        };
        let machine = match Machine::replay(entries) {
            Ok(machine) => machine,
            Err(reason) => return Some(Err(Fault::Guest(reason))),
        };
        let attempt = Attempt::new(AttemptOptions {
            invocation,
            node: self.view.session.node,
            machine,
            unwritten: Unwritten::default(),
            journal: Arc::clone(&self.view.session) as _,
            seal: Arc::new(Plain),
            clock: Arc::clone(&self.view.session.clock) as _,
            promises: Arc::new(Nobody),
            wait_hold: Duration::ZERO,
            trace: Default::default(),
        });
        let market = Arc::new(Market(Arc::clone(&self.view)));
        self.enter(market, &attempt, &header).now_or_never()
    }

    async fn enter(&self, market: Arc<Market>, attempt: &Arc<Attempt>, header: &Header) -> Result<Vec<u8>, Fault> {
        let recorder = attempt.recorder();
        let component = &header.component;
        if let Ok(request) = minicbor::decode::<HttpRequest>(&header.input) {
            let response = market.call_http(recorder, component, request).await?;
            return Ok(response.body.to_vec());
        }
        if header.function == SCHEDULED_FUNCTION
            && let Ok(input) = minicbor::decode::<ScheduledInput>(&header.input)
        {
            market
                .call_scheduled(recorder, component, input)
                .await?
                .map_err(Fault::Guest)?;
            return Ok(Vec::new());
        }
        if header.function == SUBSCRIBER_FUNCTION
            && let Ok(delivered) = minicbor::decode::<Delivered>(&header.input)
        {
            market.call_subscriber(recorder, component, delivered).await?;
            return Ok(Vec::new());
        }
        let (interface, function) = header.function.rsplit_once('.').unwrap_or_default();
        market
            .call_sent(recorder, component, interface, function, &header.input)
            .await
    }
}

/// Promises that nobody can look at.
struct Nobody;

impl Promises for Nobody {
    fn look(&self, _: PromiseId) -> Answer<'_, Result<PromiseState, Fault>> {
        Box::pin(std::future::pending())
    }

    fn workflow<'a>(&'a self, _: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>, Fault>> {
        Box::pin(std::future::pending())
    }

    fn workflow_promise<'a>(&'a self, _: &'a WorkflowKey, _: &'a str) -> Answer<'a, Result<Option<PromiseId>, Fault>> {
        Box::pin(std::future::pending())
    }

    fn closes_circle(&self, _: InvocationId, _: PromiseId) -> Answer<'_, Result<bool, Fault>> {
        Box::pin(std::future::pending())
    }

    fn place(&self, _: KeyId, _: InvocationId) -> Answer<'_, Result<Place, Fault>> {
        Box::pin(std::future::pending())
    }

    fn changed(&self, _: Watched) -> Answer<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn hold(&self) -> Option<Hold> {
        None
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn announce(&self, _: &[PromiseId], _: &[KeyId], _: bool) {}
}
