//! A database of its own for every test.

use tokio_postgres::Config;

use super::shared_test_server;
use crate::error::Result;
use crate::{connection, random};

/// A database that is dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    server_url: String,
}

/// Makes an empty database on the shared test server. Its name begins with `prefix`, which is lower-case letters, digits
/// and underscores.
pub async fn fresh_database(prefix: &str) -> Result<TestDatabase> {
    let server_url = shared_test_server().await?;
    TestDatabase::create(server_url, prefix).await
}

impl TestDatabase {
    /// Makes an empty database on the server of `server_url`, whose user may do so.
    pub async fn create(server_url: &str, prefix: &str) -> Result<Self> {
        let name = format!("{prefix}_{}", random::hex::<6>()?);
        let url = with_database(server_url, &name);
        // The value first, so that the database is dropped even if we are cancelled after the server made it.
        let database = Self {
            name,
            url,
            server_url: server_url.to_owned(),
        };
        execute(&database.server_url, &format!("CREATE DATABASE \"{}\"", database.name)).await?;
        Ok(database)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL of it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        let url = self.server_url.clone();
        // A thread with a runtime of its own: the test's may be single-threaded, or ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(execute(&url, &statement))
                .map_err(std::io::Error::other)
        });
        if let Ok(Err(error)) = dropping.join() {
            tracing::warn!(%error, database = self.name, "a test database was left behind");
        }
    }
}

async fn execute(url: &str, statement: &str) -> Result<()> {
    let client = connection::connect(&mut url.parse::<Config>()?).await?;
    Ok(client.batch_execute(statement).await?)
}

/// `url` with its path, the database, replaced by `name`; everything else as it was.
fn with_database(url: &str, name: &str) -> String {
    let (rest, query) = url
        .split_once('?')
        .map_or((url, None), |(rest, query)| (rest, Some(query)));
    let authority = rest.find("://").map_or(0, |at| at + "://".len());
    let server = rest[authority..].find('/').map_or(rest, |at| &rest[..authority + at]);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{server}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        let cases = [
            ("postgres://a:b@%2Frun:5432/nexus", "postgres://a:b@%2Frun:5432/fresh"),
            ("postgres://a@localhost", "postgres://a@localhost/fresh"),
            (
                "postgres://a@h/x?sslmode=disable",
                "postgres://a@h/fresh?sslmode=disable",
            ),
            ("postgres:///x?host=/run", "postgres:///fresh?host=/run"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_database(url, "fresh"), expected);
        }
    }
}
