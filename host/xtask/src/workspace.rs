//! What cargo says about the workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

use crate::step::Steps;

/// What guests are built for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";
/// Where guests lie: the marketplace's components, and the ones that only tests use.
const GUEST_FOLDERS: [&str; 2] = ["components", "host/guests"];

/// The workspace this program works on.
pub(crate) struct Workspace {
    root: PathBuf,
    target_dir: PathBuf,
    guests: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that the current folder is in.
    pub(crate) async fn load(steps: &mut Steps) -> anyhow::Result<Self> {
        let question = ["metadata", "--no-deps", "--format-version", "1"];
        let answer = steps.output(cargo(Path::new("."), question)).await?.stdout;
        Self::parse(&answer)
    }

    fn parse(metadata: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(metadata).context("read the output of `cargo metadata`")?;
        let folders = GUEST_FOLDERS.map(|folder| metadata.workspace_root.join(folder));
        let is_guest = |package: &Package| {
            let is_in = |folder| package.manifest_path.parent().and_then(Path::parent) == Some(folder);
            // Libraries and test crates lie there, too; a component is the one that makes a dynamic library.
            let is_component = package
                .targets
                .iter()
                .any(|it| it.crate_types.iter().any(|kind| kind == "cdylib"));
            is_component && folders.iter().any(|folder| is_in(folder))
        };
        let guests = metadata
            .packages
            .into_iter()
            .filter(is_guest)
            .map(|package| package.name)
            .collect();
        Ok(Self {
            root: metadata.workspace_root,
            target_dir: metadata.target_directory,
            guests,
        })
    }

    /// The packages that are built to WebAssembly.
    pub(crate) fn guests(&self) -> &[String] {
        &self.guests
    }

    /// Cargo's target folder.
    pub(crate) fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Where they are then.
    pub(crate) fn guests_dir(&self) -> PathBuf {
        self.target_dir.join(GUEST_TARGET).join("guest")
    }

    /// Cargo in the workspace's root.
    pub(crate) fn cargo<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        cargo(&self.root, arguments)
    }

    /// Another program in the workspace's root.
    pub(crate) fn program<I: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(name);
        command.current_dir(&self.root).args(arguments);
        command
    }
}

fn cargo<I: AsRef<OsStr>>(dir: &Path, arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(dir).args(arguments);
    // `cargo run` says this about our own package; a build below must not take it for its own.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_the_components_and_not_their_libraries() {
        let package = |folder: &str, kind: &str| {
            let name = folder.replace('/', "-");
            format!(
                r#"{{"name":"{name}","manifest_path":"/w/{folder}/Cargo.toml","targets":[{{"crate_types":["{kind}"]}}]}}"#
            )
        };
        let packages = [
            package("components/order", "cdylib"),
            package("components/sdk", "lib"),
            package("host/guests/echo", "cdylib"),
            package("host/plugin", "cdylib"),
        ];
        let metadata = format!(
            r#"{{"packages":[{}],"workspace_root":"/w","target_directory":"/t"}}"#,
            packages.join(",")
        );
        let workspace = Workspace::parse(metadata.as_bytes()).unwrap();
        assert_eq!(workspace.guests(), ["components-order", "host-guests-echo"]);
        assert_eq!(workspace.guests_dir(), Path::new("/t/wasm32-wasip2/guest"));
    }
}
