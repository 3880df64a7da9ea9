//! What the driver of the host's own sessions reads out of a database URL. That of the modules' sessions reads it by itself, so whoever takes a
//! URL in compares the two.

use std::net::IpAddr;
use std::path::PathBuf;

use sqlx::postgres::PgSslMode;

use crate::Result;
use crate::store::session_options;

/// Where the host's own sessions are opened, and as whom. What a URL does not say is what the environment or the driver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// The database; without one the server takes that of the user's name.
    pub database: Option<String>,
    /// What sessions begin with.
    pub options: Option<String>,
    /// Whether TLS is asked for, and then whether there is no session without it.
    pub tls: Option<bool>,
}

/// A server's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Over the network.
    Tcp(String),
    /// A socket in this folder.
    Unix(PathBuf),
}

impl Host {
    /// A name of the network, or an address however it is written.
    pub fn tcp(name: &str) -> Self {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let bare = bare.unwrap_or(name);
        let address = bare.parse().map(|address: IpAddr| address.to_string());
        Self::Tcp(address.unwrap_or_else(|_| bare.to_owned()))
    }
}

impl Server {
    /// Reads a URL.
    pub fn read(url: &str) -> Result<Self> {
        let options = session_options(url)?;
        let host = match options.get_socket() {
            Some(folder) => Host::Unix(folder.clone()),
            None if options.get_host().starts_with('/') => Host::Unix(options.get_host().into()),
            None => Host::tcp(options.get_host()),
        };
        Ok(Self {
            host,
            port: options.get_port(),
            user: options.get_username().to_owned(),
            database: options.get_database().map(str::to_owned),
            options: options.get_options().map(str::to_owned),
            tls: match options.get_ssl_mode() {
                PgSslMode::Disable => None,
                PgSslMode::Allow | PgSslMode::Prefer => Some(false),
                PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => Some(true),
            },
        })
    }
}
