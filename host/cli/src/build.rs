//! The components, compiled. One cargo run for all of them: they share their dependencies.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::application::Application;

/// The target every component is built for.
const TARGET: &str = "wasm32-wasip2";

/// Runs the manifest's build commands. Cargo commands that differ only in their package run as one.
pub(crate) fn build(application: &Application, quiet: bool) -> Result<()> {
    ensure_target()?;
    let progress = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    progress.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
    progress.enable_steady_tick(Duration::from_millis(120));
    for command in commands(application) {
        progress.set_message(format!("building components: {command}"));
        run(application, &command, &progress)?;
    }
    progress.finish_and_clear();
    Ok(())
}

fn commands(application: &Application) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for component in application.app.components.values() {
        for command in component.build.iter().flat_map(|build| &build.commands) {
            match command.rsplit_once(" -p ") {
                Some((common, package)) if common.starts_with("cargo build ") => {
                    match commands.iter_mut().find(|known| known.starts_with(common)) {
                        Some(known) => known.push_str(&format!(" -p {package}")),
                        None => commands.push(command.clone()),
                    }
                }
                _ => commands.push(command.clone()),
            }
        }
    }
    commands
}

fn run(application: &Application, command: &str, progress: &ProgressBar) -> Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(&application.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running `{command}`"))?;
    let mut output = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            if line.trim_start().starts_with("Compiling") {
                progress.set_message(format!("building components: {}", line.trim()));
            }
            output.push_str(&line);
            output.push('\n');
        }
    }
    if !child.wait()?.success() {
        progress.finish_and_clear();
        bail!("`{command}` failed:\n{output}");
    }
    Ok(())
}

/// Adds the target where rustup can; elsewhere says what is missing.
fn ensure_target() -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot =
        sysroot.context("`rustc` is not on the path: install Rust, see rust-toolchain.toml for the version")?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    if std::path::Path::new(&sysroot).join("lib/rustlib").join(TARGET).exists() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    match added {
        Ok(added) if added.status.success() => Ok(()),
        Ok(added) => bail!(
            "`rustup target add {TARGET}` failed:\n{}",
            String::from_utf8_lossy(&added.stderr)
        ),
        Err(_) => bail!("Rust's standard library for {TARGET} is not installed, and there is no rustup to add it"),
    }
}
