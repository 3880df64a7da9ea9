//! What can go wrong, each with what to do about it: these messages are read by a person at a terminal.

use std::path::PathBuf;
use std::time::Duration;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable `initdb`, `postgres` and `pg_ctl` on this machine.
    #[error("PostgreSQL {minimum} or newer was not found (searched {searched}); {advice}")]
    ProgramsMissing {
        /// The oldest major version that will do.
        minimum: u32,
        /// The folders that were looked into.
        searched: String,
        /// How to get it.
        advice: String,
    },
    /// The cluster was made by a major version that is not installed.
    #[error(
        "the cluster in {data} was made by PostgreSQL {cluster}, but only version {installed} is installed; install \
         version {cluster}, or dump the data there and remove the folder"
    )]
    WrongMajorVersion {
        /// The cluster's folder.
        data: PathBuf,
        /// The version that made it.
        cluster: u32,
        /// The version found instead.
        installed: u32,
    },
    /// The package manager failed.
    #[error(
        "installing PostgreSQL failed ({status}); install the package `postgresql` by hand. Its last words:\n{output}"
    )]
    Install {
        /// How the package manager ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Another process holds the data directory.
    #[error("{path} is in use by {}; stop it, or choose another --data-dir", holder(*.pid))]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, when it said so.
        pid: Option<u32>,
    },
    /// No user account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `{name}` to run it as; create one, or do not run as root"
    )]
    NoUser {
        /// The account that was looked for.
        name: String,
    },
    /// The socket's folder belongs to somebody else, who could then pose as our server.
    #[error("{path} must be a directory of user id {uid} with mode 0700, and is not; remove it")]
    UnsafeSocketDir {
        /// The folder.
        path: PathBuf,
        /// Who should own it.
        uid: u32,
    },
    /// The cluster is there, its password is not.
    #[error(
        "{file} is missing, so nobody can log in to the cluster in {data}; restore the file, or remove that folder if its \
         data can go"
    )]
    PasswordMissing {
        /// Where the password should be.
        file: PathBuf,
        /// The cluster's folder.
        data: PathBuf,
    },
    /// The server runs and does not accept our password.
    #[error(
        "the PostgreSQL in {data} refuses the password in {file}; restore the file that was written when the cluster was \
         made, or remove that folder if its data can go"
    )]
    PasswordRefused {
        /// Where the refused password came from.
        file: PathBuf,
        /// The cluster's folder.
        data: PathBuf,
    },
    /// `initdb` failed.
    #[error("creating a PostgreSQL cluster in {data} failed; initdb said:\n{output}")]
    Create {
        /// The cluster's folder.
        data: PathBuf,
        /// What `initdb` printed.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL did not start; the end of {log}:\n{tail}")]
    Start {
        /// The server's log.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// The server did not answer in time. It may still do so, and is then adopted by the next start.
    #[error(
        "PostgreSQL did not answer within {limit:?}; it may be recovering, so try again; the end of {log}:\n{tail}"
    )]
    NotReady {
        /// How long was waited.
        limit: Duration,
        /// The server's log.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// The server did not end.
    #[error("PostgreSQL did not stop; `kill -INT {pid}` stops it at once. pg_ctl said:\n{output}")]
    Stop {
        /// The server's process.
        pid: u32,
        /// What `pg_ctl` printed.
        output: String,
    },
    /// The server answers, but with an error that should not be.
    #[error("PostgreSQL answered with an error: {detail}", detail = in_full(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The file system or a program said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// tokio-postgres prints only "db error" and keeps the server's words in the source.
fn in_full(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => {
            std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        }
    }
}

/// Says of an I/O error what was attempted on which path.
pub(crate) trait Attempting<T> {
    /// Turns the error into [`Error::Io`].
    fn attempting(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Attempting<T> for Result<T, E> {
    fn attempting(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.into(),
            source: source.into(),
        })
    }
}
