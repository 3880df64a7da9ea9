//! Where PostgreSQL's programs are. Distributions keep them off PATH, and what is on PATH may be a wrapper script that
//! starts something else, so a folder counts only if it holds all three programs themselves.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Error, Result};

mod install;

/// The oldest major version that will do.
const MINIMUM: u32 = 15;
const NAMES: [&str; 3] = ["initdb", "postgres", "pg_ctl"];
/// Where distributions put them: a folder, then one per version, then the programs' folder in it.
const LAYOUTS: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// The programs of one PostgreSQL version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    dir: PathBuf,
    major: u32,
}

impl Programs {
    /// Looks on PATH, then asks `pg_config`, then looks in the distributions' folders, newest first.
    pub async fn find() -> Result<Self> {
        match Self::find_version(|major| major >= MINIMUM).await {
            Some(found) => Ok(found),
            None => Err(missing(install::advice())),
        }
    }

    /// Like [`Programs::find`]; installs the distribution's package when there is nothing and it may, that is with
    /// `apt-get` as root or with a `sudo` that asks no password. `progress` gets the package manager's lines.
    pub async fn find_or_install(progress: &mut (dyn FnMut(&str) + Send)) -> Result<Self> {
        match Self::find().await {
            Err(Error::ProgramsMissing { .. }) if install::is_possible().await => {
                install::run(progress).await?;
                Self::find().await
            }
            found => found,
        }
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The folder the programs are in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(crate) fn pg_ctl(&self) -> PathBuf {
        self.dir.join("pg_ctl")
    }

    /// The programs for a cluster that version `major` made: no other version can read it.
    pub(crate) async fn for_cluster(&self, major: u32, data: &Path) -> Result<Self> {
        if self.major == major {
            return Ok(self.clone());
        }
        let found = Self::find_version(|it| it == major).await;
        found.ok_or_else(|| Error::WrongMajorVersion {
            data: data.to_owned(),
            cluster: major,
            installed: self.major,
        })
    }

    async fn find_version(is_wanted: impl Fn(u32) -> bool) -> Option<Self> {
        let mut dirs = on_path(std::env::var_os("PATH").as_deref());
        dirs.extend(from_pg_config().await);
        dirs.extend(in_system_folders());
        for dir in dirs.into_iter().filter(|dir| holds_programs(dir)) {
            match version_in(&dir).await {
                Some(major) if is_wanted(major) => return Some(Self { dir, major }),
                _ => {}
            }
        }
        None
    }
}

fn missing(advice: &str) -> Error {
    let searched = LAYOUTS.map(|(parent, prefix, _)| format!("{parent}/{prefix}*"));
    Error::ProgramsMissing {
        minimum: MINIMUM,
        searched: format!("PATH, {}", searched.join(", ")),
        advice: advice.to_owned(),
    }
}

/// The folders that the `initdb`s on PATH really lie in.
fn on_path(path: Option<&OsStr>) -> Vec<PathBuf> {
    let dirs = path.into_iter().flat_map(std::env::split_paths);
    dirs.filter_map(|dir| Some(fs::canonicalize(dir.join("initdb")).ok()?.parent()?.to_owned()))
        .collect()
}

async fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
}

fn in_system_folders() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix, bin) in LAYOUTS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let version = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix(prefix)?.parse::<u32>().ok());
            found.extend(version.map(|version| (version, entry.path().join(bin))));
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn holds_programs(dir: &Path) -> bool {
    NAMES.iter().all(|name| is_program(&dir.join(name)))
}

/// An executable that is not a script.
fn is_program(path: &Path) -> bool {
    let is_executable = fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    let mut start = [0; 2];
    is_executable
        && File::open(path)
            .and_then(|mut file| file.read_exact(&mut start))
            .is_ok()
        && &start != b"#!"
}

async fn version_in(dir: &Path) -> Option<u32> {
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    major_of(std::str::from_utf8(&output.stdout).ok()?)
}

/// The 15 in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; also of `16beta1`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    number
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn who_may_not_install_it_is_told_the_package_and_the_command() {
        let with = |managers: &[&str]| missing(install::advice_with(|it| managers.contains(&it))).to_string();
        assert_eq!(
            with(&["apt-get"]),
            "PostgreSQL 15 or newer was not found (searched PATH, /usr/lib/postgresql/*, /usr/pgsql-*, \
             /opt/homebrew/opt/postgresql@*, /usr/local/opt/postgresql@*); install it with \
             `sudo apt-get install postgresql`, or give a server with --database-url"
        );
        for (manager, command) in [
            ("dnf", "`sudo dnf install postgresql-server`"),
            ("pacman", "`sudo pacman -S postgresql`"),
            ("apk", "`apk add postgresql`"),
            ("zypper", "`sudo zypper install postgresql-server`"),
            ("brew", "`brew install postgresql@17`"),
        ] {
            let said = with(&[manager]);
            assert!(said.contains(&format!("; install it with {command}, or ")), "{said}");
        }
        // A distribution's own comes before one that was added to it.
        assert_eq!(with(&["brew", "apt-get"]), with(&["apt-get"]));
        let said = with(&[]);
        assert!(said.contains("; install PostgreSQL's server package, or "), "{said}");
    }

    #[test]
    fn a_folder_of_wrapper_scripts_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in NAMES {
            let path = dir.path().join(name);
            fs::write(&path, "#!/bin/sh\nexec ssh elsewhere \"$0\"\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(!holds_programs(dir.path()));
    }

    #[tokio::test]
    async fn a_link_on_path_leads_to_the_folder_with_all_programs() {
        let installed = Programs::find().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(installed.initdb(), dir.path().join("initdb")).unwrap();
        let found = on_path(Some(dir.path().as_os_str()));
        assert_eq!(found, [fs::canonicalize(installed.dir()).unwrap()]);
        assert!(holds_programs(&found[0]));
    }

    #[tokio::test]
    async fn a_cluster_of_a_version_that_is_not_installed_is_refused() {
        let installed = Programs::find().await.unwrap();
        let error = installed.for_cluster(9, Path::new("/srv/data")).await.unwrap_err();
        assert!(matches!(error, Error::WrongMajorVersion { cluster: 9, .. }), "{error}");
    }
}
