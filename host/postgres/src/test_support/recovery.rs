//! Going back to an earlier moment: a base backup, and the write-ahead log since then.

use std::path::PathBuf;
use std::{fs, io};

use crate::TemporaryServer;
use crate::error::{Attempting, Result};
use crate::home::make_private_dir;

impl TemporaryServer {
    /// From now on it can go back to any moment: starts again, keeps all that it logs, and takes a base backup.
    pub async fn keep_history(&mut self) -> Result<()> {
        let archive = self.beside_the_cluster("archive");
        make_private_dir(&archive, self.server().user())?;
        let kept = archive.display();
        self.restart_with([
            ("archive_mode", "on".to_owned()),
            ("archive_command", format!("test ! -f {kept}/%f && cp %p {kept}/%f")),
        ])
        .await?;
        let backup = self.beside_the_cluster("backup");
        self.run(
            "pg_basebackup",
            &["--pgdata", &backup.display().to_string(), "--dbname", &self.url()],
        )
        .await
    }

    /// Ends as by a power cut and starts as it was at a moment after [`TemporaryServer::keep_history`], given as PostgreSQL writes
    /// a time. Something must have been committed after it.
    pub async fn go_back_to(&mut self, moment: &str) -> Result<()> {
        self.server().pg_ctl_stop("immediate").await?;
        let [data, lost, backup] = ["data", "data.lost", "backup"].map(|name| self.beside_the_cluster(name));
        fs::rename(&data, &lost).attempting("put aside", &data)?;
        fs::rename(&backup, &data).attempting("put in place", &backup)?;
        // The last of the log is not in the archive yet.
        let log = data.join("pg_wal");
        fs::remove_dir_all(&log).attempting("remove", &log)?;
        fs::rename(lost.join("pg_wal"), &log).attempting("put in place", &log)?;
        let signal = data.join("recovery.signal");
        fs::write(&signal, "").attempting("write", &signal)?;
        self.server().user().own(&signal)?;
        let archive = self.beside_the_cluster("archive");
        let settings = [
            ("restore_command", format!("cp {}/%f %p", archive.display())),
            ("recovery_target_time", moment.to_owned()),
            ("recovery_target_action", "promote".to_owned()),
            // Nobody is let in before it is there.
            ("hot_standby", "off".to_owned()),
        ];
        self.restart_with(settings).await
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
