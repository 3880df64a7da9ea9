//! Backups, taken with PostgreSQL's own programs while the host serves: a dump that is restored on another server, and a base backup with its log
//! that is recovered to an earlier moment (point-in-time recovery).

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Edited, Nexus, NexusOptions};
use host_postgres::test_support::{TestDatabase, TestServer};
use host_postgres::{Programs, Settings};
use serde_json::json;

use crate::world::{MANIFEST, World};

/// How long a host may take to have its database again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs one of PostgreSQL's programs. What it says wrong is the error; `pg_restore` and `psql` end with 1 for what was there already.
fn run(programs: &Programs, program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(programs.dir().join(program))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {said}");
    Ok(output.stdout)
}

/// A person has looked at what is paused, and all of it goes on.
fn resume_all(nexus: &Nexus) -> Result<()> {
    let arguments = "invocations resume --status paused --yes --reason looked-at";
    nexus.run(&arguments.split(' ').collect::<Vec<_>>()).map(drop)
}

/// The same server's URL with another database.
fn with_database(url: &str, database: &str) -> Result<String> {
    let (server, _) = url.rsplit_once('/').context("a URL with a database")?;
    Ok(format!("{server}/{database}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_what_was_open_waits_for_a_person_and_then_goes_on() -> Result<()> {
    let mut world = World::start().await?;
    let client = world.nexus.client();
    ensure!(
        client
            .post("/crowd/note", json!({ "ticket": "done", "ms": 0 }))
            .await?
            .status
            == 200
    );
    world.send_jobs("later", 2, 0).await?;
    let napping = {
        let client = client.keyed("nap");
        tokio::spawn(async move { client.post("/crowd/nap", json!({ "ticket": "nap", "ms": 7_000 })).await })
    };
    let suspended = "SELECT count(*) FROM host.invocation WHERE status = 'suspended'";
    world.audit.becomes(suspended, 1).await?;

    let programs = Programs::find().await?;
    let original = world.nexus.database_url().to_owned();
    let folder = tempfile::tempdir()?;
    let (roles, dump) = (folder.path().join("roles.sql"), folder.path().join("dump"));
    let (roles, dump) = (roles.to_str().context("a path")?, dump.to_str().context("a path")?);
    run(
        &programs,
        "pg_dumpall",
        &[
            "--roles-only",
            "--no-role-passwords",
            "--file",
            roles,
            "--dbname",
            &original,
        ],
    )?;
    run(
        &programs,
        "pg_dump",
        &["--format=custom", "--file", dump, "--dbname", &original],
    )?;
    // What came after the backup is lost with the original.
    ensure!(
        client
            .post("/crowd/note", json!({ "ticket": "lost", "ms": 0 }))
            .await?
            .status
            == 200
    );
    world.nexus.kill()?;
    let _ = napping.await?;

    let server = TestServer::start(&programs, Settings::test()).await?;
    let (_, database) = original.rsplit_once('/').context("a URL with a database")?;
    let restored = with_database(&server.url(), database)?;
    // The roles of the server's own superuser are there already.
    let _ = run(
        &programs,
        "psql",
        &["--quiet", "--file", roles, "--dbname", &server.url()],
    );
    let create = format!("CREATE DATABASE \"{database}\"");
    run(
        &programs,
        "psql",
        &["--quiet", "--command", &create, "--dbname", &server.url()],
    )?;
    run(
        &programs,
        "pg_restore",
        &["--exit-on-error", "--dbname", &restored, dump],
    )?;

    let nexus = world.nexus.start_elsewhere(&restored).await?;
    let audit = Audit::open(&restored).await?;
    let paused = "SELECT count(*) FROM host.invocation WHERE status = 'paused' AND cause LIKE 'the database was restored from a backup%'";
    ensure!(audit.count(paused).await? == 3);
    ensure!(
        nexus.log()?.contains("the database was restored from a backup"),
        "it is said"
    );
    let noted = "SELECT count(*) FROM crowd.note WHERE ticket = 'lost' OR what = 'after'";
    ensure!(audit.count(noted).await? == 0, "nothing goes on by itself");
    // New requests are served; the key of the old one leads to what is paused.
    ensure!(nexus.client().get("/crowd/greeting").await?.status == 200);
    let answer = nexus
        .client()
        .keyed("nap")
        .post("/crowd/nap", json!({ "ticket": "nap", "ms": 7_000 }))
        .await?;
    answer.failed(409, "idempotency_key_in_use");

    resume_all(&nexus)?;
    audit
        .becomes(
            "SELECT count(*) FROM crowd.note WHERE ticket = 'nap' AND what = 'after'",
            1,
        )
        .await?;
    ensure!(
        audit
            .count("SELECT count(*) FROM crowd.note WHERE ticket = 'nap' AND what = 'before'")
            .await?
            == 1
    );
    let waiting =
        "SELECT count(*) FROM host.invocation WHERE status = 'running' AND due_at > now() + interval '50 minutes'";
    audit.becomes(waiting, 2).await?;
    ensure!(audit.count("SELECT count(*) FROM host.restoration").await? == 1);

    // The next start finds nothing to pause.
    let mut nexus = nexus;
    nexus.kill()?;
    nexus.restart(NexusOptions::default()).await?;
    ensure!(
        audit
            .count("SELECT count(*) FROM host.invocation WHERE status = 'paused'")
            .await?
            == 0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_to_an_earlier_moment_is_noticed_by_a_host_that_has_never_seen_the_server() -> Result<()> {
    // Of its own, since it is recovered as a whole.
    let mut server = TestServer::start(&Programs::find().await?, Settings::test()).await?;
    let database = TestDatabase::create(&server.url(), "crowd").await?;
    let database_url = database.url().to_owned();
    let crowd = Edited::application(MANIFEST.as_ref(), str::to_owned)?;
    let mut nexus = Nexus::start_application_on(crowd, database, NexusOptions::default()).await?;
    // With the host running.
    server.archive_log().await?;

    let note = async |ticket: &str| {
        let (client, body) = (nexus.client().keyed(ticket), json!({ "ticket": ticket, "ms": 0 }));
        let answer = client.post_until_answered("/crowd/note", &body, PATIENCE).await?;
        ensure!(answer.status == 200, "{ticket}: {}", answer.json);
        anyhow::Ok(())
    };
    note("kept").await?;
    let napping = {
        let client = nexus.client().keyed("nap");
        tokio::spawn(async move { client.post("/crowd/nap", json!({ "ticket": "nap", "ms": 7_000 })).await })
    };
    let audit = Audit::open(&database_url).await?;
    audit
        .becomes("SELECT count(*) FROM host.invocation WHERE status = 'suspended'", 1)
        .await?;
    // What was answered has ended, too.
    audit
        .becomes("SELECT count(*) FROM host.invocation WHERE ended_at IS NULL", 1)
        .await?;
    let moment = audit.texts("SELECT clock_timestamp()::text").await?.concat();
    note("lost").await?;
    nexus.kill()?;
    let _ = napping.await?;
    server.recover_to(&moment).await?;

    let elsewhere = nexus.start_elsewhere(&database_url).await?;
    let audit = Audit::open(&database_url).await?;
    ensure!(
        elsewhere
            .log()?
            .contains("the server was recovered to an earlier moment"),
        "it is said why: {}",
        elsewhere.log()?
    );
    let notes = audit
        .texts("SELECT ticket || ' ' || what FROM crowd.note ORDER BY 1")
        .await?;
    ensure!(notes == ["kept noted", "nap before"], "{notes:?}");
    let open = audit
        .texts("SELECT status FROM host_view.invocation WHERE ended_at IS NULL")
        .await?;
    ensure!(open == ["paused"], "{open:?}");
    resume_all(&elsewhere)?;
    let ended = "SELECT count(*) FROM host.invocation WHERE ended_at IS NULL";
    audit.becomes(ended, 0).await?;
    let notes = audit
        .texts("SELECT ticket || ' ' || what FROM crowd.note ORDER BY 1")
        .await?;
    ensure!(notes == ["kept noted", "nap after", "nap before"], "{notes:?}");
    Ok(())
}
