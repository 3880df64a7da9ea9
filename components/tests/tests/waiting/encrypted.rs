//! A database that lets nobody in without TLS.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_tests::Nexus;
use host_postgres::test_support::{Certificates, TestDatabase, TestServer};
use host_postgres::{Programs, Settings};
use serde_json::json;

use crate::world::{MANIFEST, told};

/// As files hold it: in lines of 64 letters.
fn pem(label: &str, bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes.chunks(48).map(|line| STANDARD.encode(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_host_are_encrypted_where_the_database_wants_it() -> Result<()> {
    let mut server = TestServer::start(&Programs::find().await?, Settings::test()).await?;
    let address = TestServer::own_address()?;
    let own = rcgen::generate_simple_self_signed([address.to_string()])?;
    let certificate = pem("CERTIFICATE", own.cert.der());
    let certificates = Certificates {
        certificate: certificate.clone(),
        key: pem("PRIVATE KEY", &own.signing_key.serialize_der()),
        authority: certificate.clone(),
    };
    let encrypted = "hostssl all all 127.0.0.0/8 scram-sha-256";
    server.listen(address, &certificates, encrypted).await?;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root.crt");
    std::fs::write(&root, &certificate)?;
    let [closed, open] = [
        TestDatabase::create(&server.url(), "closed").await?,
        TestDatabase::create(&server.url(), "open").await?,
    ];
    let (superuser, connection) = tokio_postgres::connect(open.url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let verified = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let by = |database: &TestDatabase| server.tcp_url(&address.to_string(), database.name(), &verified);

    // What the host may and its modules may not fails its start, and not each request.
    server.admit("hostssl all nexus 127.0.0.0/8 scram-sha-256")?;
    superuser.batch_execute("SELECT pg_reload_conf()").await?;
    let url = by(&closed);
    let refused = Nexus::start_application_by(Path::new(MANIFEST), closed, &url).await;
    let refused = format!(
        "{:#}",
        refused.err().context("a start without sessions for its modules")?
    );
    ensure!(
        refused.contains("waiter cannot reach the database as this host can"),
        "{refused}"
    );

    server.admit(encrypted)?;
    superuser.batch_execute("SELECT pg_reload_conf()").await?;
    let url = by(&open);
    let nexus = Nexus::start_application_by(Path::new(MANIFEST), open, &url).await?;
    let answer = nexus
        .client()
        .post("/waiter/sleep", json!({ "ticket": "nap", "ms": 1 }))
        .await?;
    told(&answer);
    let sessions = "SELECT usename::text, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
        WHERE application_name LIKE 'nexus/%'";
    let sessions = superuser.query(sessions, &[]).await?;
    let sessions: Vec<(String, bool)> = sessions.iter().map(|row| (row.get(0), row.get(1))).collect();
    ensure!(
        sessions.iter().any(|(user, _)| user.ends_with("_waiter")),
        "{sessions:?}"
    );
    ensure!(sessions.iter().all(|(_, is_encrypted)| *is_encrypted), "{sessions:?}");
    Ok(())
}
