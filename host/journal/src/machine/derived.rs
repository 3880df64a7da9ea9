//! What follows from the seed and the position, and time, which is the only thing observed inside a transaction.

use host_types::{Fault, InvocationId, Position, Scope};
use uuid::Uuid;

use super::{Machine, Step};
use crate::{ArgumentHash, Body, CommandKind, Payload};

impl Machine {
    /// A value derived from the seed: takes a number, leaves no entry.
    pub fn derive(&mut self, scope: &Scope, buffer: &mut [u8]) -> Result<(), Fault> {
        let position = self.derived_position(scope)?;
        self.header.seed.fill(&position, buffer);
        Ok(())
    }

    /// A version 7 UUID derived from the seed; its time is the last `now` of its scope.
    pub fn derive_uuid(&mut self, scope: &Scope) -> Result<Uuid, Fault> {
        let position = self.derived_position(scope)?;
        let now_ms = self.cursors.get(scope).map_or(0, |cursor| cursor.now_ms);
        Ok(self.header.seed.uuid(&position, now_ms.max(self.header.started_ms)))
    }

    fn derived_position(&mut self, scope: &Scope) -> Result<Position, Fault> {
        let (position, _) = self.advance(scope)?;
        if let Some(record) = self.records.get(&position) {
            let Body::Command { kind, target, .. } = &self.log[record.command].body else {
                unreachable!("a record points at a command");
            };
            let recorded = format!("{kind} {target}");
            return Err(Fault::Mismatch {
                position,
                recorded,
                asked: "a derived value".into(),
            });
        }
        Ok(position)
    }

    /// `now`: recorded, and never below an earlier one. `observed_ms` is what the clock says.
    pub fn now(&mut self, scope: &Scope, observed_ms: u64) -> Result<u64, Fault> {
        let arguments = ArgumentHash([0; 16]);
        let now_ms = match self.command(scope, CommandKind::Observation, NOW, arguments)? {
            Step::Recorded(answer) => {
                told_ms(&answer).ok_or_else(|| Fault::Guest("a recorded time is malformed".into()))?
            }
            Step::Perform(position) | Step::InDoubt(position) => {
                let now_ms = observed_ms.max(self.now_floor_ms);
                let answer = Payload::copy_from_slice(&now_ms.to_be_bytes());
                self.complete(&position, CommandKind::Observation, NOW, arguments, answer)?;
                // Also where the entry is held until its transaction ends.
                self.now_floor_ms = now_ms;
                now_ms
            }
        };
        if let Some(cursor) = self.cursors.get_mut(scope) {
            cursor.now_ms = cursor.now_ms.max(now_ms);
        }
        Ok(now_ms)
    }

    /// The key a foreign system can recognise a repetition of this effect by.
    pub fn effect_key(&self, invocation: InvocationId, position: &Position) -> String {
        self.header.seed.effect_key(invocation, position)
    }

    /// The same of the effect that this scope's next command is, if it is one.
    pub fn next_effect_key(&self, invocation: InvocationId, scope: &Scope) -> String {
        let number = self.cursors.get(scope).map_or(0, |cursor| cursor.next);
        let scope = scope.clone();
        self.effect_key(invocation, &Position { scope, number })
    }
}

/// The target of `now`, the one observation allowed inside a transaction.
pub(super) const NOW: &str = "nexus:durable/invocation.now-ms";

/// The time that was told, from its record.
pub(super) fn told_ms(answer: &[u8]) -> Option<u64> {
    answer.try_into().ok().map(u64::from_be_bytes)
}
