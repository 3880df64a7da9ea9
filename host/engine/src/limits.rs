//! What one store may use: memory, and time in guest code.

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::{LimitExceeded, TICK_MS};

/// The bounds of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, bytes.
    pub memory_bytes: usize,
    /// Guest code, milliseconds, in grains of [`TICK_MS`]. Waiting in a host call costs at most one grain per wait.
    pub time_ms: u64,
    /// The same for guest code that does again what it did in earlier attempts: however much that was by now, it takes nothing from
    /// the time for what is new.
    pub replay_ms: u64,
    /// Bytes a single host call may take out of the guest: what it can make the host allocate.
    pub transfer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            time_ms: 10_000,
            replay_ms: 60_000,
            transfer_bytes: 64 << 20,
        }
    }
}

/// Table elements are indices of functions: the component's code gives their number, not its input.
const TABLE_ELEMENTS: usize = 100_000;

/// A component is a handful of core instances.
const CORE_INSTANCES: usize = 32;

/// What a store has used of its [`Limits`]. It lives in the store's data; [`apply_limits`] puts it to work.
#[derive(Debug)]
pub struct StoreLimits {
    limits: Limits,
    memory_bytes: usize,
    /// The last growth that was permitted, to take back if it then fails for another reason.
    growth_bytes: usize,
    ticks: u64,
    replay_ticks: u64,
    exceeded: Option<LimitExceeded>,
}

impl StoreLimits {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory_bytes: 0,
            growth_bytes: 0,
            ticks: 0,
            replay_ticks: 0,
            exceeded: None,
        }
    }

    /// The limit the guest ran into, if any. A refused `memory.grow` is recorded here although the guest may have gone
    /// on: when it then traps (Rust's allocator aborts), this is why.
    pub fn exceeded(&self) -> Option<LimitExceeded> {
        self.exceeded
    }

    /// Size of all linear memories now, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Time in guest code so far, but for replay, milliseconds, rounded up to whole ticks in which the guest was seen running.
    pub fn guest_ms(&self) -> u64 {
        self.ticks * TICK_MS
    }

    fn tick(&mut self, replays: bool) -> Result<(), LimitExceeded> {
        let (ticks, limit_ms) = match replays {
            false => (&mut self.ticks, self.limits.time_ms),
            true => (&mut self.replay_ticks, self.limits.replay_ms),
        };
        *ticks += 1;
        // The first tick is seen after anything between nothing and a whole one: in favour of the guest.
        if (*ticks - 1) * TICK_MS < limit_ms {
            return Ok(());
        }
        let exceeded = match replays {
            false => LimitExceeded::Time { limit_ms },
            true => LimitExceeded::Replay { limit_ms },
        };
        self.exceeded = Some(exceeded);
        Err(exceeded)
    }

    fn refuse_memory(&mut self) {
        self.exceeded = Some(LimitExceeded::Memory {
            limit_bytes: self.limits.memory_bytes,
        });
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(growth);
        self.growth_bytes = 0;
        if total > self.limits.memory_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            self.refuse_memory();
            return Ok(false);
        }
        self.memory_bytes = total;
        self.growth_bytes = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::warn!(error = format!("{error:#}"), "a permitted growth of memory failed");
        self.memory_bytes -= std::mem::take(&mut self.growth_bytes);
        self.refuse_memory();
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES
    }
}

/// Holds a store to the limits in its data. Its guest must be instantiated and called with the `_async` functions: it
/// yields to the executor every tick, and traps with [`LimitExceeded::Time`] when its time is used up. `replays` says whether what it
/// does now was done before.
///
/// The epoch goes on while the guest waits in a host call, but its deadline is only noticed once by the code after it.
pub fn apply_limits<T: 'static>(
    store: &mut Store<T>,
    access: impl Fn(&mut T) -> &mut StoreLimits + Copy + Send + Sync + 'static,
    replays: impl Fn(&T) -> bool + Send + Sync + 'static,
) {
    let transfer_bytes = access(store.data_mut()).limits.transfer_bytes;
    store.set_hostcall_fuel(transfer_bytes);
    store.limiter(move |data| access(data));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        let replays = replays(context.data());
        access(context.data_mut()).tick(replays)?;
        Ok(UpdateDeadline::Yield(1))
    });
}
