//! A migration that takes away what revisions use.

use anyhow::{Result, ensure};
use component_tests::Nexus;

use crate::world::World;

const RENAMES: &str = "ALTER TABLE note RENAME COLUMN what TO told;";

/// What `nexus migrate` says on the data directory of a host that is not there: what it wrote, or why it ended.
fn migrate(world: &World, nexus: &Nexus, further: &[&str]) -> Result<String, String> {
    let manifest = world.edited.manifest();
    let mut arguments = vec!["migrate", "--manifest", manifest.to_str().expect("UTF-8")];
    arguments.extend(["--database-url", nexus.database_url()]);
    arguments.extend(further);
    let output = nexus.output(&arguments).map_err(|error| error.to_string())?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_takes_away_what_is_pinned_waits_until_nothing_is() -> Result<()> {
    let mut world = World::start().await?;
    let waiting = world.waiting("pinned").await?;
    let release = world.edited.add_migration("waiter", "0002_renames.sql", RENAMES)?;
    world.one.kill()?;
    let refused = migrate(&world, &world.one, &[]).expect_err("an invocation is open, and a host runs");
    let told = [
        "waiter/0002_renames.sql was not applied",
        "drops the column note.what",
        " of waiter may use (1 open invocation is pinned to it; run by ",
        "nexus migrate --force",
    ];
    for told in told {
        ensure!(refused.contains(told), "{told:?}: {refused}");
    }
    // Of the two hosts one lives; the other's lease may not have run out, but this is its data directory.
    ensure!(refused.matches("run by ").count() == 1, "{refused}");
    ensure!(!refused.contains("does not say"), "{refused}");
    let starts = world.one.restart(world.guests.options()).await;
    ensure!(
        starts.is_err(),
        "a host that starts applies it no more than the command"
    );

    // The release before it finds everything as it was.
    drop(release);
    world.one.restart(world.guests.options()).await?;
    let noted = world.ended(&waiting, "pinned").await?;
    ensure!(noted.starts_with("before"), "{noted}");
    world.audit.settled().await?;

    let _release = world.edited.add_migration("waiter", "0002_renames.sql", RENAMES)?;
    world.one.kill()?;
    let refused = migrate(&world, &world.one, &[]).expect_err("the other host still runs");
    ensure!(
        refused.contains(" of waiter may use (run by "),
        "no invocation is open: {refused}"
    );
    ensure!(world.two.terminate().await?.success());
    let applied = migrate(&world, &world.one, &[]).map_err(anyhow::Error::msg)?;
    ensure!(applied.contains("applied waiter/0002_renames.sql"), "{applied}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_insist_on_a_migration() -> Result<()> {
    let mut world = World::start().await?;
    world.waiting("pinned").await?;
    let _release = world.edited.add_migration("waiter", "0002_renames.sql", RENAMES)?;
    world.one.kill()?;
    migrate(&world, &world.one, &[]).expect_err("an invocation is open, and a host runs");
    let applied = migrate(&world, &world.one, &["--force"]).map_err(anyhow::Error::msg)?;
    ensure!(applied.contains("applied waiter/0002_renames.sql"), "{applied}");
    Ok(())
}
