//! The queues of exclusive keys. The waits of the simulated market close no cycles: a place is never refused here.

use host_journal::{ExclusiveKey, KeyId};
use host_store::KeyPlace;
use host_types::InvocationId;

use super::Tables;

impl Tables {
    /// At the end of the queue; one that the invocation has stays where it is.
    pub(super) fn take_place(&mut self, key: &ExclusiveKey, invocation: InvocationId) {
        let queue = self.queues.entry(key.id).or_default();
        if !queue.contains(&invocation) {
            self.queued += usize::from(!queue.is_empty());
            queue.push(invocation);
        }
    }

    /// Gives up the invocation's places for these keys, or all, and wakes those who stand first then.
    pub(crate) fn give_up_places(&mut self, invocation: InvocationId, keys: &[KeyId], all: bool) {
        for (key, queue) in &mut self.queues {
            if queue.contains(&invocation) && (all || keys.contains(key)) {
                queue.retain(|waiting| *waiting != invocation);
                self.wakeups.extend(queue.first());
            }
        }
        self.queues.retain(|_, queue| !queue.is_empty());
    }

    /// How many keys somebody holds.
    pub(crate) fn held_keys(&self) -> usize {
        self.queues.len()
    }

    /// The keys that it has a place for.
    pub(crate) fn places(&self, invocation: InvocationId) -> Vec<KeyId> {
        let queues = self.queues.iter().filter(|(_, queue)| queue.contains(&invocation));
        queues.map(|(key, _)| *key).collect()
    }

    pub(crate) fn key_place(&self, key: KeyId, invocation: InvocationId) -> KeyPlace {
        let queue = self.queues.get(&key).map_or(&[][..], Vec::as_slice);
        match queue.iter().position(|waiting| *waiting == invocation) {
            None => KeyPlace::None,
            Some(0) => KeyPlace::Holds,
            Some(_) => KeyPlace::Waits,
        }
    }
}
