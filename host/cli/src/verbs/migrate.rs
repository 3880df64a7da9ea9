//! `nexus migrate`: the host's schema and every module's, forward only.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use host_postgres::DataDir;
use host_types::{Clock, Rng, SystemClock, SystemRng};

use crate::application::Application;
use crate::args::MigrateArgs;
use crate::database::Database;
use crate::host::{Opening, open_store, pending_migrations};
use crate::keys::InstallationKey;
use crate::patience::LEASE;
use crate::stop::StopSignals;

pub(crate) async fn migrate(args: MigrateArgs, json: bool) -> Result<()> {
    let application = Application::load(&args.application.manifest)?;
    let named = args.database.url()?;
    let data_dir = DataDir::lock(&args.application.data_dir)?;
    let stop = StopSignals::listen()?;
    let database = Database::open(named, &data_dir, &stop, json).await?;
    let url = database.url();
    let work = migrate_on(&url, &application, data_dir.path(), &args);
    let migrated = stop.unless_asked(work).await;
    let migrations = database.close(migrated).await?;

    let verb = if args.dry_run { "pending" } else { "applied" };
    if json {
        crate::print_line(&serde_json::json!({ verb: migrations }).to_string());
    } else if migrations.is_empty() {
        crate::print_line("nothing to do: the database is up to date");
    } else {
        migrations
            .iter()
            .for_each(|migration| crate::print_line(&format!("{verb} {migration}")));
    }
    Ok(())
}

/// What is missing in this database. It is no longer when this returns, unless it was only to be listed.
async fn migrate_on(url: &str, application: &Application, data_dir: &Path, args: &MigrateArgs) -> Result<Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let key = InstallationKey::load(data_dir, &*rng)?;
    let pending = pending_migrations(application, url, &key, &clock, &rng).await?;
    if !args.dry_run {
        let opening = Opening {
            data_dir,
            lease: LEASE,
            is_restored: false,
            force: args.force,
        };
        open_store(application, url, opening, &key, &clock, &rng).await?;
    }
    Ok(pending)
}
