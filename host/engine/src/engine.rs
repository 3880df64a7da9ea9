//! The engine: every wasmtime setting of the platform, in one constructor.

use std::thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{Error, Kind, Pace};

/// The epoch's length, milliseconds: how often a running guest yields, and the grain of time limits.
pub const TICK_MS: u64 = 10;

/// The largest linear memory there can be, bytes: what is reserved for each of a pool. Compiled code depends on it.
pub const MAX_MEMORY_BYTES: usize = 128 << 20;

/// Pages of a slot that stay with it between instances, bytes: what a request usually writes to.
const KEPT_MEMORY_BYTES: usize = 256 << 10;
const KEPT_TABLE_BYTES: usize = 32 << 10;

/// What may differ from one host to another. None of it changes what compiled code looks like, but for the kind.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Which components it runs: those of the stock engine may do several things at once.
    pub kind: Kind,
    /// Component instances alive at once. A component with adapters takes a few core instances and memories of its own.
    pub instances: u32,
    /// The largest linear memory of a pool, bytes: at most [`MAX_MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// The stack of one guest call, bytes; deeper recursion traps.
    pub stack_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            kind: Kind::Plain,
            instances: 2000,
            memory_bytes: MAX_MEMORY_BYTES,
            stack_bytes: 512 << 10,
        }
    }
}

impl EngineOptions {
    /// What the stock engine begins with. Its requests hold their instance for as long as their client reads.
    pub fn stock() -> Self {
        Self {
            kind: Kind::Stock,
            instances: 500,
            ..Self::default()
        }
    }
}

/// Where instances live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// In slots reserved at start: an instance costs microseconds.
    Pooled,
    /// Mapped one by one: several times slower, but nothing is reserved.
    OnDemand,
}

/// Wasmtime, configured. Cheap to clone; the ticker ends when the last clone is gone.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    kind: Kind,
    allocation: Allocation,
    pace: Pace,
}

impl Engine {
    /// Builds the engine with pooled instances, or with instances on demand where the address space for the pool
    /// cannot be reserved, and starts its epoch ticker.
    pub fn new(options: &EngineOptions) -> Result<Self, Error> {
        let pooled = InstanceAllocationStrategy::Pooling(pool(options));
        let (inner, allocation) = match wasmtime::Engine::new(&config(options, pooled)) {
            Ok(inner) => (inner, Allocation::Pooled),
            Err(reason) => {
                tracing::warn!(
                    error = format!("{reason:#}"),
                    instances = options.instances,
                    "no pool of instances, allocating on demand"
                );
                (Self::on_demand(options)?, Allocation::OnDemand)
            }
        };
        let pace = Pace::new();
        start_ticker(&inner, pace.clone())?;
        Ok(Self {
            inner,
            kind: options.kind,
            allocation,
            pace,
        })
    }

    fn on_demand(options: &EngineOptions) -> Result<wasmtime::Engine, Error> {
        wasmtime::Engine::new(&config(options, InstanceAllocationStrategy::OnDemand)).map_err(Error::Engine)
    }

    /// The engine itself, for linkers and stores.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The turns of its guests.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Which components it runs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the pool could be reserved.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("kind", &self.kind)
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}

/// Everything that compiled code depends on is the same for both strategies, so that they share a compile cache.
fn config(options: &EngineOptions, allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(allocation)
        // A slot of 4 GiB would spare bounds checks but not fit two thousand times.
        .memory_reservation(MAX_MEMORY_BYTES as u64)
        .memory_guard_size(64 << 20)
        .memory_init_cow(true)
        .max_wasm_stack(options.stack_bytes)
        // Host functions run on the guest's fiber: what they need comes on top.
        .async_stack_size(options.stack_bytes + (1 << 20))
        .epoch_interruption(true)
        .consume_fuel(false)
        // No plain component has async functions; the bookkeeping for them costs microseconds per call.
        .concurrency_support(options.kind == Kind::Stock)
        // A replay must compute what the first run computed, on any machine. Threads are not even compiled in: wasmtime's
        // cargo feature for them is off.
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true);
    config
}

fn pool(options: &EngineOptions) -> PoolingAllocationConfig {
    let instances = options.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // The component's module, its WASI adapter, and the shims between the two.
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .total_stacks(match options.kind {
            Kind::Plain => instances,
            // Each of the calls an instance has under way may need one.
            Kind::Stock => instances.saturating_mul(4),
        })
        .max_memory_size(options.memory_bytes)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_unused_warm_slots(200)
        .total_gc_heaps(0);
    // Where the kernel names the pages an instance wrote to, those alone are put back, in place. Elsewhere a slot gives its
    // pages back and takes them anew: two system calls and a page fault for each, a third of what an instance costs.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
            .table_keep_resident(KEPT_TABLE_BYTES);
    }
    pool
}

/// Advances the epoch until the engine is gone. A thread, since guests may keep every executor thread busy.
fn start_ticker(engine: &wasmtime::Engine, pace: Pace) -> Result<(), Error> {
    let engine = engine.weak();
    #[expect(
        clippy::disallowed_methods,
        reason = "a clock of its own thread: the passing of time is the event"
    )]
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            pace.tick();
            thread::sleep(Duration::from_millis(TICK_MS));
        }
    };
    thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(tick)
        .map_err(Error::Ticker)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_reserved_with_the_defaults() {
        let engine = Engine::new(&EngineOptions::default()).unwrap();
        assert_eq!(engine.allocation(), Allocation::Pooled);
        let stock = Engine::new(&EngineOptions::stock()).unwrap();
        assert_eq!((stock.allocation(), stock.kind()), (Allocation::Pooled, Kind::Stock));
    }

    #[test]
    fn a_pool_that_does_not_fit_is_given_up() {
        let options = EngineOptions {
            instances: 4_000_000,
            ..EngineOptions::default()
        };
        assert_eq!(Engine::new(&options).unwrap().allocation(), Allocation::OnDemand);
    }

    #[test]
    fn both_strategies_share_compiled_code() {
        let options = EngineOptions::default();
        let pooled = Engine::new(&options).unwrap();
        let on_demand = Engine::on_demand(&options).unwrap();
        let code = pooled.wasmtime().precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        // SAFETY: the bytes come from `precompile_component` just above.
        #[expect(
            unsafe_code,
            reason = "the point of the test is that another engine takes this engine's code"
        )]
        let loaded = unsafe { wasmtime::component::Component::deserialize(&on_demand, &code) };
        loaded.unwrap();
    }

    #[test]
    fn the_ticker_does_not_keep_the_engine() {
        let engine = Engine::new(&EngineOptions::default()).unwrap();
        let weak = engine.wasmtime().weak();
        drop(engine);
        // The ticker holds a strong reference for nanoseconds every tick, so the engine may go a moment later.
        while weak.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
