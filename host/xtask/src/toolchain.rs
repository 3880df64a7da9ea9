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

/// One that the workspace's Rust builds.
const NEXTEST_VERSION: &str = "0.9.143";

/// Makes sure that cargo-nextest is there.
pub(crate) async fn nextest(steps: &mut Steps, workspace: &Workspace) -> anyhow::Result<()> {
    let mut version = workspace.cargo(["nextest", "--version"]);
    version
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let status = steps.unless_interrupted(version.status()).await?.context("run cargo")?;
    if status.success() {
        return Ok(());
    }
    // Without what it updates itself with, and unoptimised: it starts processes and waits for them. That is half of the time to build it.
    let mut install = workspace.cargo([
        "install",
        "cargo-nextest",
        "--locked",
        "--version",
        NEXTEST_VERSION,
        "--no-default-features",
        "--features",
        "default-no-update",
        "--profile",
        "dev",
    ]);
    install.env("CARGO_PROFILE_DEV_DEBUG", "none");
    steps
        .run("installing cargo-nextest (once, some minutes)", install)
        .await
}
