//! `postmaster.pid`: who serves a cluster, if anybody.
//!
//! PostgreSQL clears away the file of a dead process by itself. What it cannot tell is a process id that now belongs to
//! something else, as after a reboot; it then refuses to start. Here the process is looked at.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{Attempting, Result};

/// Greater than any process id there can be, so never alive.
const NOBODY: i32 = i32::MAX;

/// The parsed file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    path: PathBuf,
    pub(crate) pid: i32,
    /// Where the server listens, once it does.
    pub(crate) socket_dir: Option<PathBuf>,
    /// The server has said that it takes connections.
    pub(crate) is_ready: bool,
}

/// What the process in the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// Nothing has that id.
    Gone,
    /// The id belongs to something that does not serve this cluster, if only to the remains of a killed server that
    /// nobody has collected yet. PostgreSQL takes either for a living server.
    Foreign,
    /// The server of this cluster.
    Server,
}

impl PidFile {
    /// Reads the file of the cluster in `data`. `None` when there is none, or it is not one.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let path = data.join("postmaster.pid");
        let text = fs::read_to_string(&path).ok()?;
        Self::parse(path, &text)
    }

    /// Lines: process id, data directory, start time, port, socket directory, TCP address, shared memory, status.
    fn parse(path: PathBuf, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let socket_dir = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
        let is_ready = lines.nth(2).is_some_and(|line| line.trim() == "ready");
        Some(Self {
            path,
            pid,
            socket_dir,
            is_ready,
        })
    }

    /// Looks at the process: a server's working directory is its cluster.
    pub(crate) fn process(&self) -> Process {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Process::Gone;
        };
        match test_kill_process(pid) {
            Err(Errno::SRCH) => return Process::Gone,
            // We are root or the server's own user, so our server would not be out of reach.
            Err(_) => return Process::Foreign,
            Ok(()) => {}
        }
        if fs::read_link("/proc/self/cwd").is_err() {
            return Process::Server; // No /proc here: let PostgreSQL be the judge.
        }
        let cluster = self.path.parent().and_then(|data| fs::canonicalize(data).ok());
        // A zombie has no working directory.
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok();
        if cwd.is_some() && cwd == cluster {
            Process::Server
        } else {
            Process::Foreign
        }
    }

    /// Takes the foreign process out of the file, and leaves the rest: PostgreSQL needs the shared memory's key in it to
    /// see whether children of a killed server still write to the cluster.
    pub(crate) fn disown(&self) -> Result<()> {
        let text = fs::read_to_string(&self.path).attempting("read", &self.path)?;
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        fs::write(&self.path, format!("{NOBODY}\n{rest}")).attempting("write", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid_file(dir: &Path, pid: impl std::fmt::Display) -> PidFile {
        let text = format!("{pid}\n/data\n1700000000\n5432\n/run/nexus\n\n  1234  5\nready   \n");
        fs::write(dir.join("postmaster.pid"), text).unwrap();
        PidFile::read(dir).unwrap()
    }

    #[test]
    fn its_lines_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let file = pid_file(dir.path(), 4711);
        assert_eq!((file.pid, file.is_ready), (4711, true));
        assert_eq!(file.socket_dir.as_deref(), Some(Path::new("/run/nexus")));

        let early = PidFile::parse(PathBuf::new(), "4711\n/data\n1700000000\n5432\n").unwrap();
        assert_eq!((early.socket_dir, early.is_ready), (None, false));
        assert_eq!(PidFile::parse(PathBuf::new(), "bogus"), None);
    }

    #[test]
    fn a_living_process_elsewhere_is_not_the_server() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(pid_file(dir.path(), std::process::id()).process(), Process::Foreign);
        assert_eq!(pid_file(dir.path(), NOBODY).process(), Process::Gone);
    }

    #[test]
    fn a_killed_process_that_nobody_collected_is_not_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .current_dir(dir.path())
            .spawn()
            .unwrap();
        let file = pid_file(dir.path(), child.id());
        assert_eq!(file.process(), Process::Server, "as long as it lives there");
        child.kill().unwrap();
        let id = Pid::from_child(&child);
        // Waits for the end, and leaves the remains.
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
        assert_eq!(file.process(), Process::Foreign);
        child.wait().unwrap();
        assert_eq!(file.process(), Process::Gone);
    }

    #[test]
    fn disowning_keeps_the_shared_memory_key() {
        let dir = tempfile::tempdir().unwrap();
        pid_file(dir.path(), std::process::id()).disown().unwrap();
        assert_eq!(PidFile::read(dir.path()).unwrap().process(), Process::Gone);
        assert!(
            fs::read_to_string(dir.path().join("postmaster.pid"))
                .unwrap()
                .contains("  1234  5\n")
        );
    }
}
