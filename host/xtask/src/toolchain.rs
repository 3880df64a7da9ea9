//! What has to be installed besides Rust itself.

use anyhow::Context;

use crate::step::Steps;
use crate::workspace::{GUEST_TARGET, Workspace};

/// Makes sure that the compiler can build guests.
pub(crate) async fn check(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    let libraries = ["--print", "target-libdir", "--target", GUEST_TARGET];
    let libdir = steps.output(workspace.program("rustc", libraries)).await?.stdout;
    let libdir = String::from_utf8(libdir).context("read the output of rustc")?;
    if std::path::Path::new(libdir.trim_end()).is_dir() {
        return Ok(());
    }
    let add = workspace.program("rustup", ["target", "add", GUEST_TARGET]);
    steps
        .run(&format!("installing the target {GUEST_TARGET}"), add)
        .await
        .with_context(|| {
            format!(
                "the target {GUEST_TARGET} is missing; without rustup, install it the way the compiler was installed"
            )
        })
}

/// A program that cargo calls, in a version that the workspace's Rust builds.
struct Tool {
    /// What cargo calls it as.
    command: &'static str,
    /// Its package.
    package: &'static str,
    version: &'static str,
    /// What it is built with.
    features: &'static [&'static str],
}

const NEXTEST: Tool = Tool {
    command: "nextest",
    package: "cargo-nextest",
    version: "0.9.143",
    // Without what it updates itself with, which is half of it to build.
    features: &["--no-default-features", "--features", "default-no-update"],
};

const DENY: Tool = Tool {
    command: "deny",
    package: "cargo-deny",
    version: "0.20.2",
    features: &[],
};

/// Makes sure that cargo-nextest is there.
pub(crate) async fn nextest(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    install(steps, workspace, &NEXTEST).await
}

/// Makes sure that cargo-deny is there.
pub(crate) async fn deny(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    install(steps, workspace, &DENY).await
}

async fn install(steps: &mut Steps, workspace: &Workspace, tool: &Tool) -> anyhow::Result<()> {
    let mut version = workspace.cargo([tool.command, "--version"]);
    version
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let status = steps.unless_interrupted(version.status()).await?.context("run cargo")?;
    if status.success() {
        return Ok(());
    }
    let mut install = workspace.cargo(["install", tool.package, "--locked", "--version", tool.version]);
    install.args(tool.features);
    let title = format!("installing {} (once, some minutes)", tool.package);
    steps.run(&title, install).await
}
