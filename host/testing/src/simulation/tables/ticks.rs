//! The clock's ticks: a row for each that was met.

use host_journal::{AppendError, Body, Entry, Start, encode};
use host_store::{Met, Tick};
use host_types::{InvocationId, NodeId};

use super::Tables;
use crate::seal::Plain;
use crate::simulation::sabotage::Sabotage;

/// A tick that was met.
pub(crate) struct MetTick {
    pub(crate) name: String,
    pub(crate) tick_ms: u64,
    /// None where counting began, and where the run before was open.
    pub(crate) invocation: Option<InvocationId>,
}

impl Tables {
    pub(crate) fn last_tick(&self, name: &str) -> Option<u64> {
        let ticks = self.ticks.iter().filter(|tick| tick.name == name);
        ticks.map(|tick| tick.tick_ms).max()
    }

    /// From now on the ticks of this line count.
    pub(crate) fn count_ticks(&mut self, name: &str, now_ms: u64) {
        if self.last_tick(name).is_none() {
            self.ticks.push(MetTick {
                name: name.to_owned(),
                tick_ms: now_ms,
                invocation: None,
            });
        }
    }

    /// Meets a tick, and begins its invocation in the same commit.
    pub(crate) fn meet_tick(&mut self, node: NodeId, tick: Tick, now_ms: u64) -> Result<Met, AppendError> {
        self.may_write(node)?;
        let met = self
            .ticks
            .iter()
            .any(|met| met.name == tick.name && met.tick_ms >= tick.tick_ms);
        if met && !self.has(Sabotage::TickWithoutFence) {
            return Ok(Met::Before);
        }
        let runs = self
            .ticks
            .iter()
            .filter(|met| met.name == tick.name)
            .filter_map(|met| met.invocation);
        let skips = tick.skips && runs.into_iter().any(|run| self.open.contains(&run));
        self.ticks.push(MetTick {
            name: tick.name,
            tick_ms: tick.tick_ms,
            invocation: (!skips).then_some(tick.invocation),
        });
        if skips {
            return Ok(Met::Skipped);
        }
        let start = Start {
            component: tick.header.component.clone(),
            function: tick.header.function.clone(),
            deployment: tick.header.deployment,
            erasure_salt: None,
            parent: None,
        };
        let body = Body::Started(Box::new(tick.header));
        let started = encode(&Entry { index: 0, body }, &Plain);
        self.insert(tick.invocation, &start, None, Some(tick.tick_ms), now_ms);
        self.write_bodies(tick.invocation, 0, &[started]);
        Ok(Met::Begun)
    }
}
