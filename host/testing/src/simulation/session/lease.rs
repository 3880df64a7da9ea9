//! Who is alive, and who takes over from whom.

use host_invoker::{AppendFences, KeepLease};
use host_journal::{Body, Entry, FenceReason, InvocationStatus, encode};
use host_recorder::Answer;
use host_store::{Error, Fence, GoneBecause, Heartbeat, InvocationRow, Result};
use host_types::{Clock, ComponentId, InvocationId, NodeId};

use super::{LEASE, MAX_CLOCK_OFFSET_MS, Session};
use crate::seal::Plain;
use crate::simulation::tables::Tables;

impl KeepLease for Session {
    fn node(&self) -> NodeId {
        self.node
    }

    fn heartbeat(&self) -> Answer<'_, Result<Heartbeat>> {
        let node = self.node;
        Box::pin(async move {
            let (asked_ms, asked_ns) = (self.clock.unix_ms(), self.clock.boot_ns());
            let beat = move |tables: &mut Tables, now_ms| {
                let stored = tables.nodes.get_mut(&node).filter(|node| !node.gone)?;
                stored.heard_ms = now_ms;
                Some(now_ms)
            };
            let database_ms = self.ask(beat).await?.ok_or(Error::NodeGone)?;
            let half_ms = ((self.clock.boot_ns() - asked_ns) / 2_000_000).cast_signed();
            let clock_offset_ms = database_ms.cast_signed() - asked_ms.cast_signed() - half_ms;
            Ok(Heartbeat {
                clock_offset_ms,
                may_work: clock_offset_ms.abs() - half_ms <= MAX_CLOCK_OFFSET_MS,
                lease_until_ns: asked_ns + LEASE.as_nanos() as u64,
            })
        })
    }

    fn dead_nodes(&self) -> Answer<'_, Result<Vec<NodeId>>> {
        Box::pin(async move {
            let dead = |tables: &Tables, now_ms| tables.dead_nodes(self.node, LEASE.as_millis() as u64, now_ms);
            Ok(self.look(dead).await?)
        })
    }

    fn mark_gone(&self, node: NodeId, because: GoneBecause) -> Answer<'_, Result<bool>> {
        Box::pin(async move {
            let mark = move |tables: &mut Tables, now_ms: u64| {
                let Some(stored) = tables.nodes.get_mut(&node) else {
                    return true;
                };
                let is_silent = stored.heard_ms + (LEASE.as_millis() as u64) < now_ms;
                stored.gone |= is_silent || because == GoneBecause::ProcessEnded;
                stored.gone
            };
            Ok(self.ask(mark).await?)
        })
    }

    fn end_backends(&self, node: NodeId) -> Answer<'_, Result<()>> {
        Box::pin(async move { Ok(self.ask(move |tables, _| tables.end_backends(node)).await?) })
    }

    fn take_over(&self, node: NodeId, limit: u32) -> Answer<'_, Result<Vec<(InvocationId, ComponentId)>>> {
        Box::pin(async move {
            self.takes_work();
            self.end_backends(node).await?;
            let abandoned = self.look(|tables, _| abandoned(tables, node, limit)).await?;
            let mut ours = Vec::new();
            for (row, next_index) in abandoned {
                let taken = (row.invocation, row.component.clone());
                if self.fence(takeover(self.node, row, next_index)).await.is_ok() {
                    ours.push(taken);
                }
            }
            Ok(ours)
        })
    }
}

fn abandoned(tables: &Tables, node: NodeId, limit: u32) -> Vec<(InvocationRow, u32)> {
    let open = tables.open.iter().map(|id| &tables.invocations[id]);
    let theirs = open.filter(|stored| stored.row.node == Some(node)).take(limit as usize);
    theirs
        .map(|stored| (stored.row.clone(), stored.bodies.len() as u32))
        .collect()
}

fn takeover(owner: NodeId, row: InvocationRow, next_index: u32) -> Fence {
    let attempt = row.attempt + 1;
    let body = Body::Fence {
        attempt,
        node: owner,
        reason: FenceReason::TakeOver,
    };
    let entry = Entry {
        index: next_index,
        body,
    };
    Fence {
        invocation: row.invocation,
        next_index,
        bodies: vec![encode(&entry, &Plain)],
        start: None,
        status: InvocationStatus::Running,
        owner: Some(owner),
        attempt,
        failures: row.failures,
        due_ms: None,
        cause: None,
    }
}
