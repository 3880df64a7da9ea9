//! Installs the distribution's package where that needs nobody's password, else says how.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::error::{Attempting, Error, Result};

const SCRIPT: &str = include_str!("install.sh");
/// How many of the package manager's lines an error carries.
const LAST_LINES: usize = 20;

/// Package managers and the command a person has to type.
const ADVICE: [(&str, &str); 6] = [
    (
        "apt-get",
        "install it with `sudo apt-get install postgresql`, or give a server with --database-url",
    ),
    (
        "dnf",
        "install it with `sudo dnf install postgresql-server`, or give a server with --database-url",
    ),
    (
        "pacman",
        "install it with `sudo pacman -S postgresql`, or give a server with --database-url",
    ),
    (
        "apk",
        "install it with `apk add postgresql`, or give a server with --database-url",
    ),
    (
        "zypper",
        "install it with `sudo zypper install postgresql-server`, or give a server with --database-url",
    ),
    (
        "brew",
        "install it with `brew install postgresql@17`, or give a server with --database-url",
    ),
];

/// What a person can do on this machine.
pub(crate) fn advice() -> &'static str {
    advice_with(is_on_path)
}

/// The same where these package managers are.
pub(crate) fn advice_with(is_there: impl Fn(&str) -> bool) -> &'static str {
    let found = ADVICE.iter().find(|(manager, _)| is_there(manager));
    found.map_or(
        "install PostgreSQL's server package, or give a server with --database-url",
        |(_, advice)| advice,
    )
}

/// Whether [`run`] would get anywhere.
pub(crate) async fn is_possible() -> bool {
    is_on_path("apt-get") && (is_root() || sudo(["true"]).status().await.is_ok_and(|status| status.success()))
}

/// Installs the package. It must not start a server of its own on the way.
pub(crate) async fn run(progress: &mut (dyn FnMut(&str) + Send)) -> Result<()> {
    let mut command = if is_root() { Command::new("sh") } else { sudo(["sh"]) };
    let mut child = command
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .attempting("run", "apt-get")?;

    let (sender, mut lines) = mpsc::unbounded_channel();
    forward(child.stdout.take(), sender.clone());
    forward(child.stderr.take(), sender);
    let mut last = Vec::new();
    while let Some(line) = lines.recv().await {
        progress(&line);
        last.push(line);
    }

    let status = child.wait().await.attempting("wait for", "apt-get")?;
    if status.success() {
        return Ok(());
    }
    let output = last.split_off(last.len().saturating_sub(LAST_LINES)).join("\n");
    Err(Error::Install {
        status: status.to_string(),
        output,
    })
}

/// Sends every line of `stream` until it ends.
fn forward(stream: Option<impl AsyncRead + Unpin + Send + 'static>, sender: mpsc::UnboundedSender<String>) {
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// `sudo`, failing instead of asking for a password.
fn sudo<const N: usize>(command: [&str; N]) -> Command {
    let mut sudo = Command::new("sudo");
    sudo.arg("-n")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sudo
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
