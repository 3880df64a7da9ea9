//! `nexus keys`: which keys there are, and replacing them, with nodes running.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use host_postgres::DataDir;
use host_store::Store;
use host_types::{Clock, Rng, SystemClock, SystemRng};
use serde_json::json;

use crate::args::{KeysArgs, KeysVerb};
use crate::database::Database;
use crate::host::{TOKENS, connect};
use crate::keys::{InstallationKey, NEXT, OLD, OWN, put_in_place};
use crate::patience::LEASE;
use crate::print_line;
use crate::stop::StopSignals;

pub(crate) async fn keys(args: KeysArgs, json: bool) -> Result<()> {
    let stop = StopSignals::listen()?;
    let (_lock, database) = match args.database.url()? {
        Some(url) => (None, Database::Named(url)),
        None => {
            let lock = DataDir::lock(&args.data_dir).context(
                "the private PostgreSQL of this data directory is another process's: stop the host first, or name a database with --database-url",
            )?;
            let private = Database::private(&lock, &stop, json).await?;
            (Some(lock), private)
        }
    };
    let url = database.url();
    let done = stop.unless_asked(keys_on(&url, args, json)).await;
    let said = database.close(done).await?;
    print_line(&if json && !said.starts_with('{') {
        json!({ "done": said }).to_string()
    } else {
        said
    });
    Ok(())
}

async fn keys_on(url: &str, args: KeysArgs, json: bool) -> Result<String> {
    let data_dir = &args.data_dir;
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = InstallationKey::load(data_dir, &*rng)?;
    let store = connect(url, LEASE, &key, &clock, &rng).await?;
    store.migrate_host().await?;
    let said = match args.verb {
        KeysVerb::List => list(&store, json).await?,
        KeysVerb::Rotate { tokens: false } => {
            store.rotate_data_key().await?;
            "a new key seals from now on; the old one goes with the last that it sealed".to_owned()
        }
        KeysVerb::Rotate { tokens: true } => {
            store.rotate_secret(TOKENS).await?;
            "a new key signs tokens in half a minute; what the old one signed is good for 31 days".to_owned()
        }
        KeysVerb::RotateMaster { new } => rotate_master(&store, data_dir, new, &*rng).await?,
    };
    store.close().await;
    Ok(said)
}

async fn list(store: &Store, json: bool) -> Result<String> {
    let keys = store.data_keys().await?;
    let lines = keys.iter().map(|key| match json {
        true => json!({ "data_key": key.id, "created_ms": key.created_ms, "retired_ms": key.retired_ms }).to_string(),
        false => format!(
            "data key {:<4} {}",
            key.id,
            if key.retired_ms.is_none() { "seals" } else { "opens" }
        ),
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The new key lies in a file before the database knows of it, and takes the place of the old one, which is never empty, after: whenever this
/// dies, it can be repeated.
async fn rotate_master(store: &Store, data_dir: &Path, new: Option<PathBuf>, rng: &dyn Rng) -> Result<String> {
    let of_data_dir = data_dir.join(OWN);
    let in_environment = ["NEXUS_MASTER_KEY", "NEXUS_MASTER_KEY_FILE"]
        .iter()
        .find(|name| std::env::var_os(name).is_some());
    let path = new.unwrap_or_else(|| data_dir.join(NEXT));
    let next = InstallationKey::load_or_make(&path, rng)?;
    store.rotate_master_key(&next.derive("store")).await?;
    if let Some(name) = in_environment {
        return Ok(format!(
            "the new master key lies in {}: give it to every node in {name}, one after the other; the old one is good until the last has it",
            path.display()
        ));
    }
    if path.parent() != Some(data_dir) {
        return Ok(format!(
            "the new master key lies in {}: put it in the place of {} on every node, and start them again, one after the other; the old one is \
             good until the last has it",
            path.display(),
            of_data_dir.display()
        ));
    }
    put_in_place(data_dir, &path)?;
    Ok(format!(
        "{} is the new master key, {} the old one: copy the new one to the other nodes and start all of them again, one after the other; the old \
         one is good until the last has started",
        of_data_dir.display(),
        data_dir.join(OLD).display()
    ))
}
