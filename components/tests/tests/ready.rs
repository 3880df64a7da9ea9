//! `/ready` says 503 for as long as the node refuses work, and what of it is missing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use component_tests::{Nexus, NexusOptions};
use tokio_postgres::Client;

/// An application of one module, with a schema.
const APPLICATION: &str = "components/tests/waiting/spin.toml";
/// How long a lease may take to run out, and a look to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions. Nobody tells when an answer changes.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until `/ready` says that these are missing and nothing else: whatever is cut off meanwhile may be missing for a look.
async fn until(nexus: &Nexus, missing: &[&str]) -> Result<()> {
    let client = nexus.client();
    let asked = async {
        loop {
            let answer = client.get("/ready").await?;
            let report: serde_json::Value = serde_json::from_slice(&answer.bytes)?;
            let checks = report["checks"].as_array().context("it lists checks")?;
            let failed = checks.iter().filter(|check| check["ok"] == false);
            let failed: Vec<&str> = failed.filter_map(|check| check["name"].as_str()).collect();
            let status = if missing.is_empty() { 200 } else { 503 };
            if failed == missing && answer.status == status {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .with_context(|| format!("/ready never said that {missing:?} were missing"))?
}

async fn superuser(nexus: &Nexus) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(nexus.database_url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Ends every other session of the database: those that come next are under its new settings.
const ANEW: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_database_takes_no_writes_is_not_ready() -> Result<()> {
    let nexus = Nexus::start_application(Path::new(APPLICATION), NexusOptions::default()).await?;
    until(&nexus, &[]).await?;
    let database = superuser(&nexus).await?;
    let name: String = database.query_one("SELECT current_database()", &[]).await?.get(0);
    let read_only = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    database.batch_execute(&read_only).await?;
    database.batch_execute(ANEW).await?;
    until(&nexus, &["lease"]).await?;

    let writable = format!(
        "SET default_transaction_read_only = off; ALTER DATABASE \"{name}\" RESET default_transaction_read_only"
    );
    database.batch_execute(&writable).await?;
    database.batch_execute(ANEW).await?;
    until(&nexus, &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_modules_have_no_sessions_is_not_ready() -> Result<()> {
    let nexus = Nexus::start_application(Path::new(APPLICATION), NexusOptions::default()).await?;
    until(&nexus, &[]).await?;
    let database = superuser(&nexus).await?;
    let name: String = database.query_one("SELECT current_database()", &[]).await?.get(0);
    let role = format!("\"{name}_waiter\"");
    database.batch_execute(&format!("ALTER ROLE {role} NOLOGIN")).await?;
    database.batch_execute(ANEW).await?;
    until(&nexus, &["sessions"]).await?;

    database.batch_execute(&format!("ALTER ROLE {role} LOGIN")).await?;
    until(&nexus, &[]).await?;
    Ok(())
}
