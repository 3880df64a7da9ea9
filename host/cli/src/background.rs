//! What a host does besides answering: looking whether it is ready, following keys that are replaced, remembering how late it was in the
//! database, and the upkeep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use host_basic::{MasterKey, Services};
use host_engine::CompileCache;
use host_http::{Check, Readiness};
use host_invoker::Invoker;
use host_manifest::App;
use host_store::{Retentions, Store, Upkeep};
use tokio::sync::watch;

use crate::host::TOKENS;

/// How often keys are looked for that others made.
const KEY_LOOK: Duration = Duration::from_secs(10);
/// How long compiled code is kept that is not loaded.
const COMPILED_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The file of the data directory that holds when the last heartbeat was.
const LAST_SEEN: &str = "database-seen";

/// Publishes what `/ready` answers.
pub(crate) async fn look_after(store: Arc<Store>, ready: Arc<watch::Sender<Readiness>>) {
    let mut look = tokio::time::interval(Duration::from_secs(2));
    loop {
        look.tick().await;
        let (ok, detail) = match store.next_due().await {
            Ok(_) => (true, "answers".to_owned()),
            Err(error) => (false, error.to_string()),
        };
        ready.send_replace(Readiness {
            checks: vec![Check {
                name: "database",
                ok,
                detail,
            }],
        });
    }
}

/// Follows when keys are replaced.
pub(crate) async fn look_for_keys(store: Arc<Store>, services: Arc<Services>) {
    let mut look = tokio::time::interval(KEY_LOOK);
    loop {
        look.tick().await;
        let looked = async {
            store.refresh_keys().await?;
            services.tokens.replace(token_keys(&store).await?);
            anyhow::Ok(())
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "keys cannot be looked for; going on with those known");
        }
    }
}

/// The keys of tokens, the one that signs first.
pub(crate) async fn token_keys(store: &Store) -> Result<Vec<MasterKey>> {
    let versions = store.secret(TOKENS).await?;
    Ok(versions.iter().map(MasterKey::new).collect())
}

/// Keeps in the data directory how late it was in the database.
pub(crate) async fn remember(store: Arc<Store>, data_dir: PathBuf) {
    let mut look = tokio::time::interval(Duration::from_secs(10));
    loop {
        look.tick().await;
        keep_last_seen(&data_dir, store.last_heartbeat_ms());
    }
}

/// The last heartbeat that an earlier process of this data directory saw in the database, milliseconds since 1970-01-01 UTC; 0 without one.
pub(crate) fn last_seen(data_dir: &Path) -> u64 {
    let kept = std::fs::read_to_string(data_dir.join(LAST_SEEN));
    kept.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

pub(crate) fn keep_last_seen(data_dir: &Path, ms: u64) {
    let path = data_dir.join(LAST_SEEN);
    let temporary = path.with_extension("new");
    // Half of it would be another time.
    let written = std::fs::write(&temporary, ms.to_string()).and_then(|()| std::fs::rename(&temporary, &path));
    if let Err(error) = written {
        tracing::warn!(%error, path = %path.display(), "a restore of the database to an earlier moment might not be noticed");
    }
}

/// How long the invocations of each component are kept.
pub(crate) fn retentions(app: &App, default: Duration) -> Retentions {
    let own = app.components.values();
    let own = own.filter_map(|component| Some((component.id.clone(), component.retention.invocations_ms?)));
    Retentions {
        default_ms: default.as_millis() as u64,
        of: own.collect(),
    }
}

/// Makes partitions ahead, and forgets what is past its time.
pub(crate) async fn upkeep(store: Arc<Store>, retentions: Retentions) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hourly.tick().await;
        match store.upkeep(&retentions).await {
            Ok(None) => tracing::debug!("another node does the upkeep"),
            Ok(Some(done)) if done == Upkeep::default() => {}
            Ok(Some(done)) => tracing::info!(
                created = done.created, expired = done.expired, forgotten = done.forgotten, dropped = ?done.dropped,
                "the upkeep of the database is done",
            ),
            Err(error) => tracing::warn!(%error, "the upkeep of the database failed; trying again in an hour"),
        }
    }
}

/// Removes compiled code that was not needed for long.
pub(crate) async fn tidy_compiled(cache: CompileCache, store: Arc<Store>, invoker: Invoker) {
    let mut daily = tokio::time::interval(Duration::from_secs(24 * 60 * 60));
    loop {
        daily.tick().await;
        let tidied = async {
            // A host that runs for months has loaded it when it began.
            let in_use = match invoker.deployment() {
                Some(current) => store.deployment(current.number()).await?.components,
                None => Vec::new(),
            };
            let in_use = in_use.into_iter().map(|(_, revision)| revision).collect();
            anyhow::Ok(cache.remove_unused(COMPILED_KEPT, in_use).await?)
        };
        match tidied.await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "compiled code that was not needed for long is removed"),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "compiled code that is not needed could not be removed; trying again in a day"
            ),
        }
    }
}
