//! Builds what is measured, in the profile this program was built in.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The workspace this program was built from.
pub(crate) struct Workspace {
    root: PathBuf,
    target_dir: PathBuf,
}

/// A figure of an unoptimised host says nothing.
pub(crate) const IS_OPTIMISED: bool = !cfg!(debug_assertions);
const GUEST_TARGET: &str = "wasm32-wasip2";

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root
            .canonicalize()
            .with_context(|| format!("{}: the sources are gone", root.display()))?;
        let target_dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target_dir })
    }

    /// Builds the host, the benchmark's components, and the components of the marketplace.
    pub(crate) async fn build(&self) -> Result<()> {
        let mut host = vec!["build", "--package", "host-cli", "--bin", "nexus"];
        if IS_OPTIMISED {
            host.push("--release");
        }
        self.cargo(&host, &self.target_dir).await?;
        // The manifest of the benchmark names its components relative to itself, so they are always in the same place.
        let guests = ["--package", "guest-bench-shop", "--package", "guest-bench-callee"];
        let build = ["build", "--profile", "guest", "--target", GUEST_TARGET];
        self.cargo(&[&build[..], &guests[..]].concat(), &self.root.join("target"))
            .await?;
        let mut build = Command::new(self.nexus());
        build
            .args(["build", "--manifest"])
            .arg(self.marketplace())
            .env("CARGO_TARGET_DIR", &self.target_dir);
        self.run(build, "nexus build").await
    }

    /// The host's binary.
    pub(crate) fn nexus(&self) -> PathBuf {
        self.target_dir
            .join(if IS_OPTIMISED { "release" } else { "debug" })
            .join("nexus")
    }

    /// Where the marketplace's components are built.
    pub(crate) fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// The manifest of the application that is measured.
    pub(crate) fn bench_app(&self) -> PathBuf {
        self.root.join("host/bench/app/spin.toml")
    }

    /// The manifest of the application that people use.
    pub(crate) fn marketplace(&self) -> PathBuf {
        self.root.join("spin.toml")
    }

    /// A component of the benchmark.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.root.join("target").join(GUEST_TARGET).join("guest").join(name)
    }

    async fn cargo(&self, arguments: &[&str], target_dir: &Path) -> Result<()> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).env("CARGO_TARGET_DIR", target_dir);
        self.run(cargo, &format!("cargo {}", arguments.join(" "))).await
    }

    async fn run(&self, mut command: Command, name: &str) -> Result<()> {
        // `cargo run` says this about our own package; a build below must not take it for its own.
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(variable);
            }
        }
        // What it says goes where our own progress goes.
        let status = command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await;
        let status = status.with_context(|| format!("run `{name}`"))?;
        ensure!(status.success(), "`{name}` failed");
        Ok(())
    }
}
