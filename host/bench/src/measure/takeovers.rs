//! A host with thousands of open invocations is killed, and another one on the same database finishes them: how soon somebody owns them again,
//! and how fast they go on, beside the same jobs on a host that nobody kills.
//!
//! Then the other one is killed, and started again on its data directory: how soon it owns what it had.
//!
//! A job is two transactions with a sleep between them. Half of those that are open sleep, and are nobody's; the other half is the killed host's.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_postgres::test_support::TestDatabase;

use super::Extent;
use crate::database::{Database, Jobs};
use crate::load::Client;
use crate::nexus::{Nexus, NexusOptions};
use crate::report::Takeovers;
use crate::workspace::Workspace;

/// Before jobs are timed.
const WARM_UP: u32 = 500;
/// How much longer than it should take the sleepers may need to fall asleep: the machine is busy with them.
const SLACK: f64 = 3.0;
/// What sending the running half takes, at most, with its host alive.
const SENDING_S: f64 = 2.0;
/// Between two looks at the database, which tells nobody that jobs have ended, but when they have.
const LOOK: Duration = Duration::from_millis(250);
/// When somebody owns all again is known by looking alone.
const CLOSE_LOOK: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(300);
const PROBE: &str = "/crowd/greeting";

/// On a database of its own.
pub(crate) async fn measure(
    workspace: &Workspace,
    server_url: &str,
    scratch: &Path,
    extent: Extent,
    progress: &dyn Fn(&str),
) -> Result<Takeovers> {
    let own = TestDatabase::create(server_url, "bench_takeovers").await?;
    let database = Database::open(own.url()).await?;
    let (first_dir, second_dir) = (scratch.join("killed"), scratch.join("heir"));
    let options = NexusOptions {
        binary: &workspace.nexus(),
        manifest: &workspace.crowd_app(),
        data_dir: &first_dir,
        target_dir: workspace.target_dir(),
        database_url: Some(own.url()),
        probe: PROBE,
    };
    let first = Nexus::start(&options).await?;
    let lease = database.only_lease().await?;
    let half = extent.open / 2;

    progress(&format!("{half} jobs in normal running"));
    send(&first, WARM_UP, 0.0).await?;
    ended(&database).await?;
    send(&first, half, 0.0).await?;
    // All are there, as they are after a kill.
    let began_s = database.now_s().await?;
    let normal = ended(&database).await?;
    let normal_per_second = f64::from(half) / (normal.last_ended_s - began_s);

    first.second_data_dir(&second_dir)?;
    let second = Nexus::start(&NexusOptions {
        data_dir: &second_dir,
        ..options.clone()
    })
    .await?;
    progress(&format!("{half} jobs fall asleep"));
    // They wake when the lease runs out of the host that is killed.
    let asleep_s = f64::from(half) / normal_per_second * SLACK;
    let wake_s = database.now_s().await? + asleep_s + SENDING_S + lease.s;
    send(&first, half, wake_s - database.now_s().await?).await?;
    until(LOOK, || async {
        let jobs = database.jobs(&lease.node).await?;
        Ok((jobs.suspended == i64::from(half)).then_some(()))
    })
    .await
    .context("the jobs did not fall asleep")?;
    let left_s = wake_s - lease.s - SENDING_S - database.now_s().await?;
    ensure!(
        left_s > 0.0,
        "the jobs needed so long to fall asleep that the first are about to wake: the machine is too busy"
    );
    tokio::time::sleep(Duration::from_secs_f64(left_s)).await;

    progress(&format!("{half} jobs are sent, and their host is killed"));
    send(&first, half, 0.0).await?;
    let killed_s = database.now_s().await?;
    first.kill()?;
    database.give_jobs(&lease.node).await?;
    let at_kill = database.jobs(&lease.node).await?;
    ensure!(
        at_kill.owned > 0 && at_kill.suspended == i64::from(half),
        "{at_kill:?} when the host was killed"
    );
    let owned_again_s = until(CLOSE_LOOK, || database.owns_nothing_s(&lease.node))
        .await
        .context("nobody took over")?;
    let gone_s = database.gone_s(&lease.node).await?;
    progress("another host finishes them");
    let finished = ended(&database).await?;

    let before = i64::from(WARM_UP + 3 * half);
    ensure!(
        finished.completed == before,
        "{before} jobs were sent, and {finished:?}"
    );

    progress(&format!(
        "{} jobs are sent, their host is killed and started again",
        2 * half
    ));
    let lease_of_second = database.only_lease().await?;
    // The module sends no more than that many at once.
    for _ in 0..2 {
        send(&second, half, 0.0).await?;
    }
    second.kill()?;
    database.give_jobs(&lease_of_second.node).await?;
    let at_restart = database.jobs(&lease_of_second.node).await?;
    let restarted_s = database.now_s().await?;
    let again = NexusOptions {
        data_dir: &second_dir,
        ..options
    };
    let looking = until(CLOSE_LOOK, || database.owns_nothing_s(&lease_of_second.node));
    let (third, owned_after_restart_s) = tokio::join!(Nexus::start(&again), looking);
    let (third, owned_after_restart_s) = (third?, owned_after_restart_s.context("nobody took over")?);
    progress("it finishes them");
    let finished_again = ended(&database).await?;
    let all = before + i64::from(2 * half);
    ensure!(
        finished_again.completed == all,
        "{all} jobs were sent, and {finished_again:?}"
    );
    database.check_notes(all).await?;
    third.stop()?;
    let taken = (at_kill.owned + at_kill.suspended) as f64;
    let recovered_per_second = taken / (finished.last_ended_s - gone_s);
    let finished_s = finished.last_ended_s - killed_s;
    Ok(Takeovers {
        lease_ms: lease.s * 1e3,
        owned: at_kill.owned,
        suspended: at_kill.suspended,
        owned_again_ms: (owned_again_s - gone_s) * 1e3,
        owned_at_restart: at_restart.owned,
        owned_after_restart_ms: (owned_after_restart_s - restarted_s) * 1e3,
        finished_ms: finished_s * 1e3,
        finished_leases: finished_s / lease.s,
        recovered_per_second,
        normal_per_second,
        throughput: recovered_per_second / normal_per_second,
    })
}

/// Has the module send itself jobs that sleep so long.
async fn send(nexus: &Nexus, count: u32, sleep_s: f64) -> Result<()> {
    let ms = (sleep_s * 1e3) as u64;
    let mut client = Client::connect(nexus.address).await?;
    let begin = format!(r#"{{"ticket":"jobs","count":{count},"delay_ms":0,"ms":{ms}}}"#);
    client.post("/crowd/begin", begin).await?;
    Ok(())
}

/// Waits until no job is open.
async fn ended(database: &Database) -> Result<Jobs> {
    until(LOOK, || async { Ok((!database.is_open().await?).then_some(())) })
        .await
        .context("the jobs did not end")?;
    database.jobs("").await
}

/// Looks until there is something to see.
async fn until<T, F: Future<Output = Result<Option<T>>>>(look: Duration, mut see: impl FnMut() -> F) -> Result<T> {
    let seen = async {
        loop {
            if let Some(seen) = see().await? {
                return Ok(seen);
            }
            tokio::time::sleep(look).await;
        }
    };
    let seen = tokio::time::timeout(LONGEST, seen).await;
    seen.with_context(|| format!("within {LONGEST:?}"))?
}
