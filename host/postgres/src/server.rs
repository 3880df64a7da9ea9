//! The server: created once, started or adopted, stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::connection::{Connection, NAME, Probe};
use crate::data_dir::DataDir;
use crate::error::{Attempting, Error, Result};
use crate::home::Home;
use crate::password;
use crate::pid_file::{PidFile, Process};
use crate::programs::Programs;
use crate::settings::Settings;
use crate::user::User;

/// The file in the cluster with our settings.
const CONF: &str = "nexus.conf";
/// Between two attempts to connect to a server that is starting: an attempt takes a fraction of this.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// What PostgreSQL logs when children of an earlier server still use the cluster.
const STILL_IN_USE: &str = "pre-existing shared memory block";
/// Between two starts, when that is why the first failed.
const RELAUNCH_INTERVAL: Duration = Duration::from_millis(100);
/// How much of the log an error carries.
const TAIL_BYTES: u64 = 4096;
/// A log longer than this is put aside at the next start.
const LOG_LIMIT_BYTES: u64 = 16 << 20;

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// As whom it runs; [`User::suitable`] when `None`.
    pub run_as: Option<User>,
    /// What it is told. A server that already runs keeps what it was told.
    pub settings: Settings,
    /// How long to wait for it to answer, recovery from a crash included; and for it to end.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            run_as: None,
            settings: Settings::default(),
            timeout: Duration::from_secs(120),
        }
    }
}

/// A running server that answers. Dropping it leaves it running; the next start on the data directory adopts it.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    user: User,
    home: Home,
    connection: Connection,
    timeout: Duration,
    is_adopted: bool,
}

impl Server {
    /// Makes the server of `dir` run and answer: creates its cluster when there is none, adopts the server that a killed
    /// process left behind, else starts one. It runs in a session of its own, so it survives this process.
    pub async fn start(programs: &Programs, dir: &DataDir, options: &Options) -> Result<Self> {
        let user = options.run_as.clone().map_or_else(User::suitable, Ok)?;
        let home = Home::locate(dir, &user)?;
        if !home.data.exists() {
            create(programs, &home, &user).await?;
        }
        let programs = programs.for_cluster(cluster_version(&home.data)?, &home.data).await?;
        let connection = Connection::new(&home.socket_dir, password::read(&home.password, &home.data)?);
        let mut server = Self {
            programs,
            user,
            home,
            connection,
            timeout: options.timeout,
            is_adopted: false,
        };

        let startup = async {
            server.is_adopted = server.adopt().await?;
            if server.is_adopted {
                return Ok(());
            }
            // Children of a server that was itself killed end by themselves, a little later.
            loop {
                match server.launch(&options.settings).await {
                    Err(Error::Start { tail, .. }) if tail.contains(STILL_IN_USE) => {
                        tokio::time::sleep(RELAUNCH_INTERVAL).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        let outcome = tokio::time::timeout(options.timeout, startup).await;
        outcome.unwrap_or_else(|_| {
            let Home { log, .. } = &server.home;
            Err(Error::NotReady {
                limit: options.timeout,
                log: log.clone(),
                tail: tail(log, 0),
            })
        })?;
        tracing::info!(adopted = server.is_adopted, socket = %server.connection.socket_dir.display(), "PostgreSQL runs");
        Ok(server)
    }

    /// How to connect to its database `nexus`, as superuser.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether it already ran.
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Its process, as long as there is one.
    pub fn pid(&self) -> Option<u32> {
        PidFile::read(&self.home.data).and_then(|file| file.pid.try_into().ok())
    }

    /// Where it logs.
    pub fn log(&self) -> &Path {
        &self.home.log
    }

    /// Ends all connections, lets it write out everything, and waits until it has ended.
    pub async fn stop(self) -> Result<()> {
        self.pg_ctl_stop("fast").await?;
        self.home.remove_socket_dir();
        Ok(())
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// The command that stops it in `mode`.
    pub(crate) fn stop_command(&self, mode: &str) -> std::process::Command {
        let mut command = self.user.command(self.programs.pg_ctl());
        command
            .env("PGDATA", &self.home.data)
            .args(["stop", "--wait", "--silent", "--mode", mode]);
        command.arg("--timeout").arg(self.timeout.as_secs().max(1).to_string());
        command
    }

    pub(crate) async fn pg_ctl_stop(&self, mode: &str) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let output = Command::from(self.stop_command(mode))
            .output()
            .await
            .attempting("run", self.programs.pg_ctl())?;
        // Without its pid file it has ended, whatever pg_ctl made of that.
        if output.status.success() || self.pid().is_none() {
            return Ok(());
        }
        Err(Error::Stop {
            pid,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Waits for a server that runs already. `false` when there is none, or it ends meanwhile.
    async fn adopt(&mut self) -> Result<bool> {
        while let Some(file) = PidFile::read(&self.home.data) {
            match file.process() {
                Process::Gone => return Ok(false),
                Process::Foreign => {
                    file.disown()?;
                    return Ok(false);
                }
                Process::Server => {}
            }
            if let Some(socket_dir) = &file.socket_dir {
                self.connection.socket_dir.clone_from(socket_dir);
                if file.is_ready && !self.connection.socket().exists() {
                    // Its socket was removed, so nobody can talk to it any more.
                    self.pg_ctl_stop("fast").await?;
                    break;
                }
            }
            if self.answers().await? {
                return Ok(true);
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        self.connection.socket_dir.clone_from(&self.home.socket_dir);
        Ok(false)
    }

    /// Starts the server and waits until it answers, or has ended.
    async fn launch(&mut self, settings: &Settings) -> Result<()> {
        self.connection.socket_dir.clone_from(&self.home.socket_dir);
        self.clear_socket()?;
        let conf = self.home.data.join(CONF);
        fs::write(&conf, settings.to_conf(&self.home.socket_dir)).attempting("write", &conf)?;
        self.user.own(&conf)?;

        let (log, log_start) = open_log(&self.home.log)?;
        let mut pg_ctl = self.spawn(log)?;
        let mut is_up = false;
        while !self.answers().await? {
            tokio::select! {
                // It waits for the server, too, and notices when that ends.
                status = pg_ctl.wait(), if !is_up => {
                    is_up = status.attempting("wait for", self.programs.pg_ctl())?.success();
                    if !is_up {
                        let log = self.home.log.clone();
                        return Err(Error::Start { tail: tail(&log, log_start), log });
                    }
                }
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
        Ok(())
    }

    /// Removes what an earlier server left in the socket's folder, which only servers of this cluster use: the lock beside
    /// the socket may name a process id that is taken again.
    fn clear_socket(&self) -> Result<()> {
        let socket = self.connection.socket();
        let lock = socket.with_added_extension("lock");
        for file in [socket, lock] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).attempting("remove", file),
                _ => {}
            }
        }
        Ok(())
    }

    /// `pg_ctl start`, with the server's output going to `log`. The cluster goes into the environment because `pg_ctl`
    /// would pass it on through a shell, where a `$` in a path means something.
    fn spawn(&self, log: File) -> Result<Child> {
        let errors = log.try_clone().attempting("open", &self.home.log)?;
        let mut command = self.user.command(self.programs.pg_ctl());
        command
            .env("PGDATA", &self.home.data)
            .args(["start", "--wait", "--silent"]);
        command.arg("--timeout").arg(self.timeout.as_secs().max(1).to_string());
        command.stdout(log).stderr(errors);
        Command::from(command).spawn().attempting("run", self.programs.pg_ctl())
    }

    /// Whether it takes connections to our database, which is made on the way when it is missing.
    async fn answers(&self) -> Result<bool> {
        match self.connection.probe().await {
            Probe::Ready => Ok(true),
            Probe::NotYet => Ok(false),
            Probe::NoDatabase => {
                let client = self.connection.with_database("postgres").connect().await?;
                client.batch_execute(&format!("CREATE DATABASE {NAME}")).await?;
                Ok(true)
            }
            Probe::PasswordRefused => Err(Error::PasswordRefused {
                file: self.home.password.clone(),
                data: self.home.data.clone(),
            }),
            Probe::Failed(error) => Err(error.into()),
        }
    }
}

/// Makes the cluster. It gets its final name last, so a cluster under that name is complete.
async fn create(programs: &Programs, home: &Home, user: &User) -> Result<()> {
    let unfinished = home.base.join("data.unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).attempting("remove", unfinished),
        _ => {}
    }
    let password = password::create(&home.password)?;
    let handover = password::Handover::new(home.base.join("password"), &password, user)?;

    // Order by code point, the same everywhere; the plain C locale where the other does not exist.
    let mut output = initdb(programs, user, &unfinished, handover.path(), "C.UTF-8").await?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("invalid locale") {
        output = initdb(programs, user, &unfinished, handover.path(), "C").await?;
    }
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Create {
            data: home.data.clone(),
            output,
        });
    }

    let conf = unfinished.join("postgresql.conf");
    let include = |mut file: File| writeln!(file, "\ninclude = '{CONF}'").and_then(|()| file.sync_all());
    OpenOptions::new()
        .append(true)
        .open(&conf)
        .and_then(include)
        .attempting("write", conf)?;
    fs::rename(&unfinished, &home.data).attempting("rename", unfinished)?;
    File::open(&home.base)
        .and_then(|dir| dir.sync_all())
        .attempting("write", &home.base)
}

async fn initdb(
    programs: &Programs,
    user: &User,
    data: &Path,
    password: &Path,
    locale: &str,
) -> Result<std::process::Output> {
    let mut command = user.command(programs.initdb());
    command.args([
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--data-checksums",
        "--no-instructions",
    ]);
    command
        .arg(format!("--username={NAME}"))
        .arg(format!("--locale={locale}"))
        .arg("--lc-messages=C");
    command.arg("--pwfile").arg(password).arg("--pgdata").arg(data);
    Command::from(command)
        .output()
        .await
        .attempting("run", programs.initdb())
}

fn cluster_version(data: &Path) -> Result<u32> {
    let file = data.join("PG_VERSION");
    let text = fs::read_to_string(&file).attempting("read", &file)?;
    let version = text
        .trim()
        .parse()
        .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "not a version"));
    version.attempting("read", file)
}

/// Opens the log to append to it, and says how long it is so far.
fn open_log(path: &Path) -> Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|it| it.len() > LOG_LIMIT_BYTES) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, PathBuf::from(old)).attempting("rename", path)?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .attempting("open", path)?;
    let length = log.metadata().attempting("look at", path)?.len();
    Ok((log, length))
}

/// The end of the log from `start` on. Empty when it cannot be read: it only adds to an error.
fn tail(log: &Path, start: u64) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(start)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_default()
}
