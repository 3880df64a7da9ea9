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
/// The folder that cargo puts it into.
const PROFILE: &str = if IS_OPTIMISED { "release" } else { "debug" };
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
        self.build_host().await?;
        self.build_guests(&["bench-shop", "bench-callee", "crowd"]).await?;
        let mut build = Command::new(self.nexus());
        build
            .args(["build", "--manifest"])
            .arg(self.marketplace())
            .env("CARGO_TARGET_DIR", &self.target_dir);
        self.run(build, "nexus build").await
    }

    /// Builds the host, the components of the comparison with Restate, and the service that does their work there.
    pub(crate) async fn build_comparison(&self) -> Result<()> {
        self.build_host().await?;
        self.build_guests(&[
            "bench-checkout",
            "bench-link",
            "bench-leaf",
            "bench-stock",
            "bench-orders",
        ])
        .await?;
        let mut service = vec![
            "build",
            "--locked",
            "--manifest-path",
            "host/bench/restate-service/Cargo.toml",
        ];
        if IS_OPTIMISED {
            service.push("--release");
        }
        self.cargo(&service, &self.restate_target_dir()).await
    }

    async fn build_host(&self) -> Result<()> {
        let mut host = vec!["build", "--package", "host-cli", "--bin", "nexus"];
        if IS_OPTIMISED {
            host.push("--release");
        }
        self.cargo(&host, &self.target_dir).await
    }

    /// The manifests of the benchmark name their components relative to themselves, so they are always in the same place.
    async fn build_guests(&self, names: &[&str]) -> Result<()> {
        let packages: Vec<String> = names.iter().map(|name| format!("guest-{name}")).collect();
        let mut build = vec!["build", "--profile", "guest", "--target", GUEST_TARGET];
        for package in &packages {
            build.extend(["--package", package]);
        }
        self.cargo(&build, &self.root.join("target")).await
    }

    /// The host's binary.
    pub(crate) fn nexus(&self) -> PathBuf {
        self.target_dir.join(PROFILE).join("nexus")
    }

    /// The service on Restate.
    pub(crate) fn restate_service(&self) -> PathBuf {
        self.restate_target_dir().join(PROFILE).join("restate-service")
    }

    /// Of its own: it is another workspace, with other versions of the same crates.
    fn restate_target_dir(&self) -> PathBuf {
        self.target_dir.join("restate-service")
    }

    /// For what is downloaded once and used by every checkout of the sources.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        let from_home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(from_home);
        cache.map_or_else(
            || self.target_dir.join("bench-cache"),
            |cache| cache.join("nexus-bench"),
        )
    }

    /// Where the marketplace's components are built.
    pub(crate) fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// The manifest of the application that is measured.
    pub(crate) fn bench_app(&self) -> PathBuf {
        self.root.join("host/bench/app/spin.toml")
    }

    /// The manifest of the application whose invocations are taken over.
    pub(crate) fn crowd_app(&self) -> PathBuf {
        self.root.join("host/bench/crowd/spin.toml")
    }

    /// The manifest of the application that is compared with Restate.
    pub(crate) fn market_app(&self) -> PathBuf {
        self.root.join("host/bench/market/spin.toml")
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
