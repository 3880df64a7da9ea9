//! As whom the server runs. PostgreSQL refuses root, so root runs it as somebody else.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Attempting, Error, Result};

/// Who root runs the server as, best first. `postgres` comes with the package; `nobody` is everywhere.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The account the server runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    uid: u32,
    /// `None`: we are that user already, and change nothing.
    switch_to: Option<Ids>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    uid: u32,
    gid: u32,
}

impl User {
    /// The user of this process; as root `postgres` if there is one, else `nobody`.
    pub fn suitable() -> Result<Self> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self {
                uid: uid.as_raw(),
                switch_to: None,
            });
        }
        let [preferred, fallback] = CANDIDATES;
        Self::named(preferred).or_else(|_| Self::named(fallback))
    }

    /// The account `name`. Only root can run a server as somebody else.
    pub fn named(name: &str) -> Result<Self> {
        const ACCOUNTS: &str = "/etc/passwd";
        let accounts = std::fs::read_to_string(ACCOUNTS).attempting("read", ACCOUNTS)?;
        let ids = accounts.lines().find_map(|line| ids_of(line, name));
        let ids = ids.ok_or_else(|| Error::NoUser { name: name.to_owned() })?;
        let is_us = rustix::process::geteuid().as_raw() == ids.uid;
        Ok(Self {
            uid: ids.uid,
            switch_to: (!is_us).then_some(ids),
        })
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// `program`, to be run as this user, undisturbed by what this process was told about PostgreSQL and language.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_misleading(name)) {
            command.env_remove(name);
        }
        // Our own working directory may be closed to that user.
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some(Ids { uid, gid }) = self.switch_to {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives `path` to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        let Some(Ids { uid, gid }) = self.switch_to else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).attempting("give to the server's user", path)
    }

    /// Whether this user gets into `dir`; asked by trying, since every folder above it has a say.
    pub(crate) fn can_enter(&self, dir: &Path) -> Result<bool> {
        if self.switch_to.is_none() {
            return Ok(true);
        }
        let mut shell = self.command("sh");
        shell
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(shell.status().attempting("run", "sh")?.success())
    }
}

/// Whether a variable changes what PostgreSQL's programs do: where they look for a cluster, their language, whom they
/// report their start to.
fn is_misleading(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PG") || name.starts_with("LC_") || ["LANG", "LANGUAGE", "NOTIFY_SOCKET"].contains(&&*name)
}

/// The ids in a line of `/etc/passwd`, when it is the line of `name`.
fn ids_of(line: &str, name: &str) -> Option<Ids> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let _password = fields.next()?;
    Some(Ids {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        assert_eq!(ids_of(line, "postgres"), Some(Ids { uid: 101, gid: 104 }));
        assert_eq!(ids_of(line, "post"), None);
        assert!(matches!(User::named("no-such-account"), Err(Error::NoUser { .. })));
    }

    #[test]
    fn the_server_never_runs_as_root() {
        assert_ne!(User::suitable().unwrap().uid(), 0);
    }
}
