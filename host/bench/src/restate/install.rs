//! Restate's server: its program, from the npm package of the release that is compared.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

/// The release that is compared.
pub(super) const VERSION: &str = "1.7.12";
/// The package; the program lies in another one per platform, which npm picks.
const PACKAGE: &str = "@restatedev/restate-server";

/// The program, installed into `cache` unless it is there already.
pub(super) async fn program(cache: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let folder = cache.join(format!("restate-server-{VERSION}"));
    let program = folder.join(format!(
        "node_modules/{PACKAGE}-{}/bin/restate-server",
        platform().context("Restate's server comes as a program for Linux and macOS, on x86-64 and arm64")?
    ));
    if !program.exists() {
        progress(&format!("installing Restate {VERSION} from npm"));
        install(&folder).await?;
    }
    let told = version(&program).await?;
    ensure!(
        told.ends_with(VERSION),
        "{} is {told}, not {VERSION}: remove {} and start again",
        program.display(),
        folder.display()
    );
    Ok(program)
}

/// Such as "restate-server 1.7.12".
pub(super) async fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} does not run here: {}: {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn install(folder: &Path) -> Result<()> {
    // Moved into place as a whole: an install that was interrupted is not one.
    let parent = folder.parent().context("the cache is a folder")?;
    std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let partial = tempfile::tempdir_in(parent).with_context(|| parent.display().to_string())?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix"])
        .arg(partial.path())
        .arg(format!("{PACKAGE}@{VERSION}"))
        .current_dir(partial.path())
        .stdin(Stdio::null());
    let output = match npm.output().await {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "Restate's server comes as an npm package, and there is no npm here: install Node.js, or name the program of \
             Restate {VERSION} with --restate-server"
        ),
        Err(error) => return Err(error).context("run npm"),
    };
    ensure!(
        output.status.success(),
        "npm could not install {PACKAGE}@{VERSION}:\n{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    match std::fs::rename(partial.path(), folder) {
        Err(error) if !folder.exists() => Err(error).with_context(|| folder.display().to_string()),
        // Now it is there; if another one was faster, his is as good.
        _ => Ok(()),
    }
}

/// As npm names it.
fn platform() -> Option<String> {
    let os = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("{os}-{processor}"))
}
