//! How to connect to the server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

/// The superuser, and the database that `nexus` uses unless told otherwise.
pub(crate) const NAME: &str = "nexus";
/// Only part of the socket's name: nothing listens on TCP.
pub(crate) const PORT: u16 = 5432;
/// A server that took a connection and then says nothing is not ready.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server listens and who may come in.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// The folder with the server's socket.
    pub socket_dir: PathBuf,
    /// Part of the socket's name.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database.
    pub database: String,
}

impl Connection {
    pub(crate) fn new(socket_dir: &Path, password: String) -> Self {
        let socket_dir = socket_dir.to_owned();
        Self {
            socket_dir,
            port: PORT,
            user: NAME.to_owned(),
            password,
            database: NAME.to_owned(),
        }
    }

    /// The connection as a URL, password included. The socket's folder stands percent-encoded in the host's place: the
    /// one form that sqlx, tokio-postgres and libpq all read, and none of them takes for a TCP address.
    pub fn url(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let Self {
            socket_dir,
            port,
            user,
            password,
            database,
        } = self;
        let host = encode(&socket_dir.display().to_string());
        format!(
            "postgres://{}:{}@{host}:{port}/{}",
            encode(user),
            encode(password),
            encode(database)
        )
    }

    /// The socket, as PostgreSQL names it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// Connects; a task of the current runtime drives the connection until the client is dropped.
    pub(crate) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host_path(&self.socket_dir)
            .port(self.port)
            .user(&self.user)
            .password(&self.password);
        connect(config.dbname(&self.database)).await
    }

    /// Tries to connect, and says what came of it.
    pub(crate) async fn probe(&self) -> Probe {
        let error = match self.connect().await {
            Ok(_) => return Probe::Ready,
            Err(error) => error,
        };
        // "The system is starting up", "is shutting down", "too many clients": all of them pass.
        const PASSING: [&SqlState; 4] = [
            &SqlState::CANNOT_CONNECT_NOW,
            &SqlState::ADMIN_SHUTDOWN,
            &SqlState::CRASH_SHUTDOWN,
            &SqlState::TOO_MANY_CONNECTIONS,
        ];
        match error.code() {
            Some(&SqlState::INVALID_PASSWORD) => Probe::PasswordRefused,
            Some(&SqlState::UNDEFINED_DATABASE) => Probe::NoDatabase,
            Some(code) if PASSING.contains(&code) => Probe::NotYet,
            None if !is_permission_denied(&error) => Probe::NotYet, // Nobody listens there, or hung up.
            _ => Probe::Failed(error),
        }
    }
}

/// Connects as `config` says. A task of the current runtime drives the connection until the client is dropped.
pub(crate) async fn connect(config: &mut Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect_timeout(CONNECT_TIMEOUT).connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the private PostgreSQL ended");
        }
    });
    Ok(client)
}

/// Whether the socket is closed to us, which waiting does not change.
fn is_permission_denied(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// What came of an attempt to connect.
pub(crate) enum Probe {
    Ready,
    NotYet,
    NoDatabase,
    PasswordRefused,
    Failed(tokio_postgres::Error),
}

/// Without the password: this ends up in logs.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            socket_dir,
            port,
            user,
            database,
            ..
        } = self;
        let mut debug = f.debug_struct("Connection");
        debug
            .field("socket_dir", socket_dir)
            .field("port", port)
            .field("user", user)
            .field("database", database);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn connection() -> Connection {
        Connection::new(Path::new("/tmp/with space/Run"), "p@ss/w?rd".to_owned())
    }

    #[test]
    fn tokio_postgres_reads_the_url() {
        let config: Config = connection().with_database("a/b").url().parse().unwrap();
        assert_eq!(config.get_hosts(), [Host::Unix("/tmp/with space/Run".into())]);
        assert_eq!(config.get_ports(), [5432]);
        assert_eq!(config.get_user(), Some("nexus"));
        assert_eq!(config.get_password(), Some(&b"p@ss/w?rd"[..]));
        assert_eq!(config.get_dbname(), Some("a/b"));
    }

    #[test]
    fn sqlx_reads_the_url() {
        let options: sqlx::postgres::PgConnectOptions = connection().with_database("a/b").url().parse().unwrap();
        assert_eq!(
            options.get_socket().map(PathBuf::as_path),
            Some(Path::new("/tmp/with space/Run"))
        );
        assert_eq!(options.get_port(), 5432);
        assert_eq!(options.get_username(), "nexus");
        assert_eq!(options.get_database(), Some("a/b"));
    }

    #[test]
    fn the_password_stays_out_of_logs() {
        assert!(!format!("{:?}", connection()).contains("p@ss"));
    }
}
