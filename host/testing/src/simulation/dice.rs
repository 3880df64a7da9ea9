//! Every choice of a simulated world, from its seed.

use std::sync::Arc;
use std::time::Duration;

use host_types::Rng;
use parking_lot::Mutex;

/// A source of choices: the same seed chooses the same, as long as it is asked in the same order. Clones share it.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Seeds that follow each other are to have nothing in common.
        let dice = Self(Arc::new(Mutex::new(seed ^ 0x9e37_79b9_7f4a_7c15)));
        dice.next();
        dice
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `low..high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// True this often in a thousand times.
    pub(crate) fn per_mille(&self, often: u64) -> bool {
        often > 0 && self.between(0, 1_000) < often
    }

    /// A time between these two, milliseconds.
    pub(crate) fn time_ms(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// One of them; `None` of nothing.
    pub(crate) fn one_of<T: Clone>(&self, choices: &[T]) -> Option<T> {
        match choices.len() {
            0 => None,
            count => choices.get(self.between(0, count as u64) as usize).cloned(),
        }
    }
}

impl Rng for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
