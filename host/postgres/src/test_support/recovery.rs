//! Point-in-time recovery: a base backup, and the write-ahead log since then.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::TemporaryServer;
use crate::error::{Attempting, Result};
use crate::home::make_private_dir;

/// Between two looks whether the server has archived something: nothing tells of it.
const LOOK: Duration = Duration::from_millis(10);

impl TemporaryServer {
    /// From now on it can be recovered to any moment: starts again, archives its write-ahead log, and has a base backup.
    pub async fn archive_log(&mut self) -> Result<()> {
        let archive = self.beside_the_cluster("archive");
        make_private_dir(&archive, self.server().user())?;
        let file = format!("{}/%f", archive.display());
        let command = format!("test ! -f {file} && cp %p {file}.part && mv {file}.part {file}");
        self.restart_with([("archive_mode", "on".to_owned()), ("archive_command", command)])
            .await?;
        let backup = self.beside_the_cluster("backup").display().to_string();
        let arguments = ["--checkpoint=fast", "--pgdata", &backup, "--dbname", &self.url()];
        self.run("pg_basebackup", &arguments).await
    }

    /// Ends as by a power cut and starts as it was at a moment after [`TemporaryServer::archive_log`], given as PostgreSQL writes
    /// a time. Something must have been committed after it.
    pub async fn recover_to(&mut self, moment: &str) -> Result<()> {
        let archive = self.beside_the_cluster("archive");
        // The base backup has ended a segment.
        while names(&archive)?.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        self.server().pg_ctl_stop("immediate").await?;
        let [data, lost, backup] = ["data", "data.lost", "backup"].map(|name| self.beside_the_cluster(name));
        fs::rename(&data, &lost).attempting("put aside", &data)?;
        fs::rename(&backup, &data).attempting("put in place", &backup)?;
        // The last of the log is not in the archive yet; what is there is read from there.
        let log = data.join("pg_wal");
        fs::remove_dir_all(&log).attempting("remove", &log)?;
        fs::rename(lost.join("pg_wal"), &log).attempting("put in place", &log)?;
        for archived in names(&archive)?.iter().map(|name| log.join(name)) {
            if archived.exists() {
                fs::remove_file(&archived).attempting("remove", &archived)?;
            }
        }
        let signal = data.join("recovery.signal");
        fs::write(&signal, "").attempting("write", &signal)?;
        self.server().user().own(&signal)?;
        self.restart_with([
            ("restore_command", format!("cp {}/%f %p", archive.display())),
            ("recovery_target_time", moment.to_owned()),
            ("recovery_target_action", "promote".to_owned()),
            // Nobody is let in before it is there.
            ("hot_standby", "off".to_owned()),
        ])
        .await
    }

    fn beside_the_cluster(&self, name: &str) -> PathBuf {
        self.server().home().base.join(name)
    }

    /// Runs one of PostgreSQL's programs as the server's user.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let path = self.programs().dir().join(program);
        let mut command = self.server().user().command(&path);
        command.args(arguments);
        let output = tokio::process::Command::from(command).output().await;
        let output = output.attempting("run", &path)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(said)).attempting("run", path)
    }
}

/// Of the files in an archive that are whole.
fn names(archive: &Path) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(archive).attempting("read", archive)? {
        let name = PathBuf::from(entry.attempting("read", archive)?.file_name());
        if name.extension().is_none_or(|extension| extension != "part") {
            names.push(name);
        }
    }
    Ok(names)
}
