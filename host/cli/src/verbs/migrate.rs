//! `nexus migrate`: the host's schema and every module's, forward only.

use std::sync::Arc;

use anyhow::Result;
use host_postgres::DataDir;
use host_types::{Clock, Rng, SystemClock, SystemRng};

use crate::application::Application;
use crate::args::MigrateArgs;
use crate::host::{Opening, open_store, pending_migrations};
use crate::keys::InstallationKey;
use crate::up::start_postgres;

pub(crate) async fn migrate(args: MigrateArgs, json: bool) -> Result<()> {
    let application = Application::load(&args.application.manifest)?;
    let data_dir = DataDir::lock(&args.application.data_dir)?;
    let private = match &args.database_url {
        Some(_) => None,
        None => Some(start_postgres(&data_dir, json).await?),
    };
    let url = args
        .database_url
        .clone()
        .or(private.as_ref().map(|server| server.connection().url()))
        .unwrap_or_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let key = InstallationKey::load(data_dir.path(), &*rng)?;
    let pending = pending_migrations(&application, &url, &key, &clock, &rng).await?;
    if !args.dry_run {
        let opening = Opening {
            data_dir: data_dir.path(),
            is_restored: false,
            force: args.force,
        };
        open_store(&application, &url, opening, &key, &clock, &rng).await?;
    }
    let verb = if args.dry_run { "pending" } else { "applied" };
    if json {
        crate::print_line(&serde_json::json!({ verb: pending }).to_string());
    } else if pending.is_empty() {
        crate::print_line("nothing to do: the database is up to date");
    } else {
        pending
            .iter()
            .for_each(|migration| crate::print_line(&format!("{verb} {migration}")));
    }
    if let Some(server) = private {
        server.stop().await?;
    }
    Ok(())
}
