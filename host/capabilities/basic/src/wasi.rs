//! WASI's clocks and randomness under the journal's rules: what a replay reads is what was read, what it draws is what was drawn.
//!
//! They stand before those of the WASI implementation, under the version that one uses: the linker answers any 0.2 with it.

use host_types::Fault;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::BasicView;

const MS_PER_S: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;
/// The clock is recorded in milliseconds.
const RESOLUTION_NS: u64 = NS_PER_MS;
/// At most so many random bytes in one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// `wasi:clocks/wall-clock.datetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Puts recorded clocks and derived randomness before those of `wasmtime_wasi`, whose interfaces must be in the linker already.
pub fn shadow_wasi<T: 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> BasicView<'_>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let shadowed = shadow(linker, get);
    linker.allow_shadowing(false);
    shadowed
}

fn shadow<T: 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> BasicView<'_>) -> wasmtime::Result<()> {
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.12")?;
    wall.func_wrap("now", move |mut store: StoreContextMut<'_, T>, (): ()| {
        let now_ms = get(store.data_mut()).0.recorder.now_ms()?;
        Ok((Datetime {
            seconds: now_ms / MS_PER_S,
            nanoseconds: (now_ms % MS_PER_S * NS_PER_MS) as u32,
        },))
    })?;
    wall.func_wrap("resolution", |_: StoreContextMut<'_, T>, (): ()| {
        Ok((Datetime {
            seconds: 0,
            nanoseconds: RESOLUTION_NS as u32,
        },))
    })?;

    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    // The recorded clock never runs backwards within an invocation: it serves as the monotonic one too.
    monotonic.func_wrap("now", move |mut store: StoreContextMut<'_, T>, (): ()| {
        let now_ms = get(store.data_mut()).0.recorder.now_ms()?;
        Ok((now_ms.saturating_mul(NS_PER_MS),))
    })?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, T>, (): ()| Ok((RESOLUTION_NS,)))?;
    for function in ["subscribe-instant", "subscribe-duration"] {
        // A wait that is not recorded would hold the instance and whatever it has open, and be waited for again by a replay.
        monotonic.func_new(function, move |mut store, _, _, _| {
            let fault = "sleeping is not possible in an invocation unless it is recorded: wait with nexus:durable/invocation.sleep \
                         (sdk::sleep), or schedule later work with nexus:durable/timer";
            Err(get(store.data_mut()).0.fault(Fault::Guest(fault.into())))
        })?;
    }

    let bytes = move |mut store: StoreContextMut<'_, T>, (length,): (u64,)| {
        let view = get(store.data_mut());
        if length > MAX_RANDOM_BYTES {
            let text = format!("{length} random bytes were asked for; at most {MAX_RANDOM_BYTES} are given at once");
            return Err(view.0.fault(Fault::Guest(text)));
        }
        let mut bytes = vec![0; length as usize];
        view.0.recorder.derive(&mut bytes)?;
        Ok((bytes,))
    };
    let number = move |mut store: StoreContextMut<'_, T>, (): ()| {
        let mut bytes = [0; 8];
        get(store.data_mut()).0.recorder.derive(&mut bytes)?;
        Ok((u64::from_le_bytes(bytes),))
    };
    let mut random = linker.instance("wasi:random/random@0.2.12")?;
    random.func_wrap("get-random-bytes", bytes)?;
    random.func_wrap("get-random-u64", number)?;
    let mut insecure = linker.instance("wasi:random/insecure@0.2.12")?;
    insecure.func_wrap("get-insecure-random-bytes", bytes)?;
    insecure.func_wrap("get-insecure-random-u64", number)?;
    let mut seed = linker.instance("wasi:random/insecure-seed@0.2.12")?;
    seed.func_wrap("insecure-seed", move |mut store: StoreContextMut<'_, T>, (): ()| {
        Ok((get(store.data_mut()).0.recorder.instance_seed(),))
    })
}
