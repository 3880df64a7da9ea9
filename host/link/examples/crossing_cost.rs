//! What a crossing costs, beside wasmtime's `Val`: a loop inside the calling component, whose import the host answers with
//! an instance of the other one. Both instances live on, so that only calls are measured.
//!
//! `cargo run --release --package host-link --example crossing_cost`

#[path = "../tests/support/guests.rs"]
mod guests;

use std::io::Write;

use anyhow::Result;
use guests::{Guests, Import, VALUES, find};
use host_types::{Clock, SystemClock};
use wasmtime::component::Val;

const ROUNDS: &str = "test:values/rounds@1.0.0";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let guests = Guests::load()?;
    assert!(
        guests.functions()?.iter().any(|(name, _)| name == "bytes"),
        "the guests have {VALUES}"
    );
    let mut output = std::io::stdout().lock();
    writeln!(output, "us per call, there and back                 encoded      Val")?;
    let times = |count: u32| Val::U32(count);
    let cases = [
        ("u32", "numbers", vec![times(100_000)]),
        ("64 B list<u8>", "bytes", vec![Val::U32(64), times(20_000)]),
        ("1 KB list<u8>", "bytes", vec![Val::U32(1 << 10), times(10_000)]),
        ("16 KB list<u8>", "bytes", vec![Val::U32(16 << 10), times(1_000)]),
        ("256 KB list<u8>", "bytes", vec![Val::U32(256 << 10), times(100)]),
        ("order of 1 line", "orders", vec![Val::U32(1), times(10_000)]),
        ("order of 20 lines", "orders", vec![Val::U32(20), times(2_000)]),
    ];
    for (title, function, arguments) in cases {
        let mut costs = Vec::new();
        for import in [Import::Encoded, Import::Val] {
            let cost = runtime.block_on(async {
                let (mut store, instance) = guests.link(import).await?;
                let function = find(&mut store, &instance, ROUNDS, function)?;
                let mut best = f64::INFINITY;
                for _ in 0..5 {
                    let started = SystemClock.boot_ns();
                    function.call_async(&mut store, &arguments, &mut []).await?;
                    let Some(Val::U32(times)) = arguments.last() else {
                        unreachable!("the last argument is the count")
                    };
                    best = f64::min(best, (SystemClock.boot_ns() - started) as f64 / 1e3 / f64::from(*times));
                }
                anyhow::Ok(best)
            })?;
            costs.push(cost);
        }
        writeln!(output, "{title:40} {:>10.2} {:>8.2}", costs[0], costs[1])?;
    }
    Ok(())
}
