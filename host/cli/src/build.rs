//! The components, compiled. One cargo run for all of them: they share their dependencies.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host_manifest::App;
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
    for step in steps(&application.app) {
        progress.set_message(format!("building components: {}", step.command));
        run(&application.root, &step, &progress)?;
    }
    progress.finish_and_clear();
    Ok(())
}

/// A command of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    command: String,
    /// Where it runs, relative to the application's folder; that folder itself when none.
    workdir: Option<PathBuf>,
}

fn steps(app: &App) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for build in app.components.values().filter_map(|component| component.build.as_ref()) {
        for command in &build.commands {
            let merges = |(common, _): &(&str, &str)| *common == "cargo build" || common.starts_with("cargo build ");
            if let Some((common, package)) = command.rsplit_once(" -p ").filter(merges)
                && let Some(known) = steps.iter_mut().find(|known| {
                    let known_common = known.command.split_once(" -p ").map(|(common, _)| common);
                    known.workdir == build.workdir && known_common == Some(common)
                })
            {
                known.command.push_str(&format!(" -p {package}"));
                continue;
            }
            steps.push(Step {
                command: command.clone(),
                workdir: build.workdir.clone(),
            });
        }
    }
    steps
}

fn run(root: &Path, step: &Step, progress: &ProgressBar) -> Result<()> {
    let Step { command, workdir } = step;
    let folder = workdir.as_ref().map_or(root.to_owned(), |workdir| root.join(workdir));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running `{command}` in {}", folder.display()))?;
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
    if Path::new(&sysroot).join("lib/rustlib").join(TARGET).exists() {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// One component for each command and its folder.
    fn steps_of(builds: &[(&str, &str)]) -> Vec<Step> {
        let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n[trigger]\n".to_owned();
        for (number, (command, workdir)) in builds.iter().enumerate() {
            manifest += &format!(
                "[component.c{number}]\nsource = \"c.wasm\"\n[component.c{number}.build]\ncommand = \"{command}\"\n"
            );
            if !workdir.is_empty() {
                manifest += &format!("workdir = \"{workdir}\"\n");
            }
        }
        steps(&App::load("spin.toml", &manifest, &BTreeMap::new()).unwrap())
    }

    fn step(command: &str, workdir: Option<&str>) -> Step {
        Step {
            command: command.into(),
            workdir: workdir.map(PathBuf::from),
        }
    }

    #[test]
    fn cargo_commands_of_one_folder_run_as_one() {
        let found = steps_of(&[
            ("cargo build -p cart", ""),
            ("cargo build -p stock", ""),
            ("cargo build -p plugin", "plugins/one"),
            ("make", ""),
        ]);
        let expected = [
            step("cargo build -p cart -p stock", None),
            step("cargo build -p plugin", Some("plugins/one")),
            step("make", None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_command_runs_in_its_folder() {
        let root = std::env::temp_dir().join(format!("nexus-build-{}", std::process::id()));
        std::fs::create_dir_all(root.join("plugin")).unwrap();
        run(&root, &step("touch built", Some("plugin")), &ProgressBar::hidden()).unwrap();
        run(&root, &step("touch built", None), &ProgressBar::hidden()).unwrap();
        assert!(root.join("plugin/built").exists() && root.join("built").exists());
        let missing = run(&root, &step("true", Some("none")), &ProgressBar::hidden()).unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
        std::fs::remove_dir_all(root).unwrap();
    }
}
