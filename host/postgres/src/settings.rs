//! The server's settings, and the file they are written to.

use std::path::Path;

/// What the server is told. Everything not here is PostgreSQL's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Memory for cached pages, in MiB.
    pub shared_buffers_mib: u32,
    /// Connections at once.
    pub max_connections: u32,
    /// How much write-ahead log may gather between checkpoints, in MiB.
    pub max_wal_size_mib: u32,
    /// Whether commits reach the disk. Without it a power cut loses the cluster; only tests may do without.
    pub fsync: bool,
    /// Further settings by name; they win over the ones above.
    pub extra: Vec<(String, String)>,
}

impl Default for Settings {
    /// For a marketplace on one machine.
    fn default() -> Self {
        Self {
            shared_buffers_mib: 256,
            max_connections: 100,
            max_wal_size_mib: 4096,
            fsync: true,
            extra: Vec::new(),
        }
    }
}

impl Settings {
    /// For tests: less memory, more connections, as durable as the real thing.
    pub fn test() -> Self {
        Self {
            shared_buffers_mib: 64,
            max_connections: 300,
            max_wal_size_mib: 1024,
            // A test that ends while it logs in, on a thread that then drops its database, would hold up every CREATE and DROP DATABASE
            // of the server for a minute.
            extra: vec![("authentication_timeout".to_owned(), "5s".to_owned())],
            ..Self::default()
        }
    }

    /// The contents of the configuration file that listens in `socket_dir` only.
    pub(crate) fn to_conf(&self, socket_dir: &Path) -> String {
        let on = |value: bool| if value { "on" } else { "off" }.to_owned();
        let ours = [
            ("listen_addresses", String::new()),
            ("unix_socket_directories", socket_dir.display().to_string()),
            ("unix_socket_permissions", "0700".to_owned()),
            ("password_encryption", "scram-sha-256".to_owned()),
            ("fsync", on(self.fsync)),
            ("synchronous_commit", on(true)),
            ("full_page_writes", on(self.fsync)),
            ("shared_buffers", format!("{}MB", self.shared_buffers_mib)),
            ("max_connections", self.max_connections.to_string()),
            ("max_wal_size", format!("{}MB", self.max_wal_size_mib)),
            // Compiling a query costs more than any of ours takes.
            ("jit", on(false)),
            // Times in SQL and in the log mean the same on every machine.
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("logging_collector", on(false)),
            ("log_destination", "stderr".to_owned()),
            ("cluster_name", "nexus".to_owned()),
        ];
        let extra = self.extra.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut conf = String::from("# Written at every start; changes are lost.\n");
        for (name, value) in ours.into_iter().chain(extra) {
            conf.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_listens_on_its_socket_only_and_commits_reach_the_disk() {
        let conf = Settings::default().to_conf(Path::new("/run/x"));
        for line in [
            "listen_addresses = ''",
            "unix_socket_directories = '/run/x'",
            "fsync = 'on'",
        ] {
            assert!(conf.lines().any(|it| it == line), "{line} is not in\n{conf}");
        }
        assert!(Settings::test().fsync);
    }

    #[test]
    fn a_quote_in_a_value_does_not_end_it() {
        let settings = Settings {
            extra: vec![("search_path".into(), "it's".into())],
            ..Settings::default()
        };
        assert!(
            settings
                .to_conf(Path::new("/run/x"))
                .ends_with("search_path = 'it''s'\n")
        );
    }
}
