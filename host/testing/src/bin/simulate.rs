//! Plays simulated worlds by their seeds: `simulate --seed 17`, `simulate --from 1000 --count 50000`.
//!
//! `simulate --seed 17 --record FOLDER` writes the journals of that world, a file each, in the form of `host/journal/tests/histories/`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use host_testing::simulation::{journals, play};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let given = |name: &str| text(name)?.parse().ok();
    if let (Some(seed), Some(folder)) = (given("--seed"), text("--record")) {
        return match record(seed, Path::new(folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&format!("{folder}: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    let (from, count): (u64, u64) = match given("--seed") {
        Some(seed) => (seed, 1),
        None => (given("--from").unwrap_or(0), given("--count").unwrap_or(1_000)),
    };
    let mut violations = 0;
    for seed in from..from.saturating_add(count) {
        match play(seed, None) {
            Ok(played) if count == 1 => tell(&format!("{played:?}")),
            Ok(_) => {}
            Err(violation) => {
                violations += 1;
                tell(&violation.to_string());
            }
        }
    }
    tell(&format!("{count} seeds from {from}: {violations} violations"));
    ExitCode::from(u8::from(violations > 0))
}

fn record(seed: u64, folder: &Path) -> std::io::Result<()> {
    for (number, bodies) in journals(seed).iter().enumerate() {
        let mut text = format!("# seed {seed}, invocation {number}\n");
        for body in bodies {
            // Into a String: there is nothing that could fail.
            let _ = body.iter().try_for_each(|byte| write!(text, "{byte:02x}"));
            text.push('\n');
        }
        std::fs::write(folder.join(format!("{seed}-{number}.journal")), text)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn tell(text: &str) {
    println!("{text}");
}
