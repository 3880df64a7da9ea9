//! A server that is reached over TCP, with TLS.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use crate::TemporaryServer;
use crate::connection::PORT;
use crate::error::{Attempting, Result};
use crate::random;

/// What a server shows, and whom it believes, as PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Its own certificate.
    pub certificate: String,
    /// The key of that.
    pub key: String,
    /// Who signs the certificates of clients.
    pub authority: String,
}

impl TemporaryServer {
    /// An address of this machine at which nobody else listens: every server has the same port.
    pub fn own_address() -> Result<Ipv4Addr> {
        // Not 127.0.0.1, where a server of the system may be.
        let [a, b] = [random::hex::<1>()?, random::hex::<1>()?].map(|hex| u8::from_str_radix(&hex, 16).unwrap_or(0));
        Ok(Ipv4Addr::new(127, 77, a, b.clamp(1, 254)))
    }

    /// Starts again and takes connections at `address` too: with TLS, and from those alone whom a line of `access`, as pg_hba.conf has
    /// them, lets in. At its socket it asks for a password as before.
    pub async fn listen(&mut self, address: Ipv4Addr, certificates: &Certificates, access: &str) -> Result<()> {
        let Certificates {
            certificate,
            key,
            authority,
        } = certificates;
        self.put("server.crt", certificate)?;
        self.put("server.key", key)?;
        self.put("authority.crt", authority)?;
        self.admit(access)?;
        let settings = [
            ("listen_addresses", address.to_string()),
            ("ssl", "on".to_owned()),
            ("ssl_ca_file", "authority.crt".to_owned()),
        ];
        self.restart_with(settings).await
    }

    /// Lets others in than before, once it is told to look (`pg_reload_conf()`) or starts again.
    pub fn admit(&self, access: &str) -> Result<()> {
        self.put("pg_hba.conf", &format!("local all all scram-sha-256\n{access}\n"))
    }

    /// The URL of a database at such an address, for the superuser, with these parameters.
    pub fn tcp_url(&self, host: &str, database: &str, parameters: &str) -> String {
        let url = self.server().connection().with_database(database).url();
        let (user, _) = url.rsplit_once('@').unwrap_or((&url, ""));
        format!("{user}@{host}:{PORT}/{database}?{parameters}")
    }

    /// A file of the cluster that nobody else may read.
    fn put(&self, name: &str, contents: &str) -> Result<()> {
        let path = self.server().home().data.join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| {
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(contents.as_bytes())
            })
            .attempting("write", &path)?;
        self.server().user().own(&path)
    }
}
