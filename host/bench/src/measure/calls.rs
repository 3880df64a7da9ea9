//! A call from component to component, into a fresh instance; and an instantiation alone, of the same component in the same
//! kind of engine, in this process.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use host_engine::{Engine, EngineOptions, Limits, StoreLimits, apply_limits};
use host_types::{Clock, SystemClock};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use super::Extent;
use crate::load::Client;
use crate::report::Calls;
use crate::statistics::median;

/// Of one request, which writes nothing.
const CALLS: u32 = 2000;
/// The cost of a request without calls is small beside that of its calls, but varies as much.
const EMPTY_REQUESTS: usize = 50;
const INSTANTIATIONS: u32 = 2000;

/// `callee` is the component that is called.
pub(crate) async fn measure(
    address: SocketAddr,
    callee: &Path,
    extent: Extent,
    progress: &dyn Fn(&str),
) -> Result<Calls> {
    let engine = Engine::new(&EngineOptions::default())?;
    let callee = Component::from_file(engine.wasmtime(), callee)?;
    let mut linker = Linker::new(engine.wasmtime());
    // What the standard library imports and this component does not use.
    linker.define_unknown_imports_as_traps(&callee)?;
    let callee = linker.instantiate_pre(&callee)?;
    let mut client = Client::connect(address).await?;
    // Both are measured warm.
    request_us(&mut client, CALLS).await?;
    instantiation_us(&callee).await?;

    let mut calls = Vec::new();
    let mut instantiations = Vec::new();
    for round in 0..extent.rounds {
        progress(&format!("{CALLS} calls: round {} of {}", round + 1, extent.rounds));
        let mut empty = Vec::new();
        for _ in 0..EMPTY_REQUESTS {
            empty.push(request_us(&mut client, 0).await?);
        }
        let empty = median(empty).context("requests without calls were made")?;
        calls.push((request_us(&mut client, CALLS).await? - empty) / f64::from(CALLS));
        instantiations.push(instantiation_us(&callee).await?);
    }
    let ratio = median(
        calls
            .iter()
            .zip(&instantiations)
            .map(|(call, instantiation)| call / instantiation),
    );
    Ok(Calls {
        calls_per_request: CALLS,
        us_per_call: median(calls).context("a round was measured")?,
        us_per_instantiation: median(instantiations).context("a round was measured")?,
        ratio: ratio.context("a round was measured")?,
    })
}

/// How long a request that makes this many calls takes, microseconds.
async fn request_us(client: &mut Client, calls: u32) -> Result<f64> {
    let path = format!("/bench/calls?count={calls}");
    let began = SystemClock.boot_ns();
    let answer = client.get(&path).await?;
    let passed = SystemClock.boot_ns() - began;
    let answer: Value = serde_json::from_slice(&answer)?;
    // Each call adds its number and the length of its text.
    let sum = (0..calls).fold(0_u32, |sum, number| sum.wrapping_add(number).wrapping_add(10));
    ensure!(
        answer["data"]["sum"] == sum,
        "{calls} calls answered {answer}, not {sum}"
    );
    Ok(passed as f64 / 1e3)
}

/// A store with its limits, an instance in it, and the end of both, microseconds.
async fn instantiation_us(callee: &InstancePre<StoreLimits>) -> Result<f64> {
    let began = SystemClock.boot_ns();
    for _ in 0..INSTANTIATIONS {
        let mut store = Store::new(callee.engine(), StoreLimits::new(Limits::default()));
        apply_limits(&mut store, |limits| limits, |_| false);
        callee.instantiate_async(&mut store).await?;
    }
    Ok((SystemClock.boot_ns() - began) as f64 / 1e3 / f64::from(INSTANTIATIONS))
}
