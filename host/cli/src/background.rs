//! What a host does besides answering: looking whether it is ready, following keys that are replaced, remembering how late it was in the
//! database, and the upkeep.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use host_basic::{MasterKey, Services};
use host_engine::CompileCache;
use host_http::{Check, Readiness};
use host_invoker::{Invoker, MayWork};
use host_manifest::App;
use host_sql::ModulePool;
use host_store::{LastSeen, Retentions, Store, Upkeep};
use host_types::ComponentId;
use tokio::sync::watch;

use crate::host::TOKENS;

/// How often readiness is looked at, and how long a look may take.
const READY_LOOK: Duration = Duration::from_secs(2);
/// How often keys are looked for that others made.
const KEY_LOOK: Duration = Duration::from_secs(10);
/// How long compiled code is kept that is not loaded.
const COMPILED_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The file of the data directory that holds when the last heartbeat was, and in which database.
const LAST_SEEN: &str = "database-seen";

/// What readiness depends on.
pub(crate) struct Needs {
    pub(crate) store: Arc<Store>,
    pub(crate) invoker: Invoker,
    /// Of every module with a schema.
    pub(crate) pools: Vec<(ComponentId, Arc<ModulePool>)>,
}

/// Publishes what `/ready` answers.
pub(crate) async fn look_after(needs: Needs, ready: Arc<watch::Sender<Readiness>>) {
    let mut look = tokio::time::interval(READY_LOOK);
    // One module's sessions a look: to ask for those of all would keep more of them open than are needed.
    let mut modules = (0..needs.pools.len()).cycle();
    loop {
        look.tick().await;
        let module = modules.next().map(|next| &needs.pools[next]);
        let (database, sessions) = tokio::join!(database(&needs.store), sessions(module));
        let standing = standing(needs.invoker.may_work());
        let checks = std::iter::once(database).chain(standing).chain(sessions);
        ready.send_modify(|readiness| readiness.found(checks.collect()));
    }
}

async fn database(store: &Store) -> Check {
    let (ok, detail) = match tokio::time::timeout(READY_LOOK, store.next_due()).await {
        Ok(Ok(_)) => (true, "answers".to_owned()),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("does not answer within {} s", READY_LOOK.as_secs())),
    };
    Check {
        name: "database",
        ok,
        detail,
    }
}

/// A module's requests run on sessions of its own role, which may be refused while the host's are not.
async fn sessions(module: Option<&(ComponentId, Arc<ModulePool>)>) -> Option<Check> {
    let (component, pool) = module?;
    let (ok, detail) = match tokio::time::timeout(READY_LOOK, pool.probe()).await {
        Ok(Ok(())) => (true, "can be had".to_owned()),
        // The server's own words are for the log: everybody reads this.
        Ok(Err(error)) => {
            tracing::warn!(component.id = %component, error = &error as &dyn Error, "a module has no session");
            (false, format!("{component} can have none"))
        }
        Err(_) => (false, format!("{component} has none within {} s", READY_LOOK.as_secs())),
    };
    Some(Check {
        name: "sessions",
        ok,
        detail,
    })
}

/// A heartbeat is a write: where the database takes none, nothing that changes something can be answered.
fn standing(may_work: MayWork) -> [Check; 2] {
    let MayWork {
        lease_left,
        is_on_time,
        clock_offset_ms,
    } = may_work;
    let holds = !lease_left.is_zero();
    [
        Check {
            name: "lease",
            ok: holds,
            detail: match holds {
                true => format!("holds for {} ms", lease_left.as_millis()),
                false => "ran out: the database takes no heartbeat".to_owned(),
            },
        },
        Check {
            name: "clock",
            ok: is_on_time,
            detail: format!("{} ms off the database's", clock_offset_ms.unsigned_abs()),
        },
    ]
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
        keep_last_seen(&data_dir, &store);
    }
}

/// What an earlier process of this data directory saw last.
pub(crate) fn last_seen(data_dir: &Path) -> Option<LastSeen> {
    let kept = std::fs::read_to_string(data_dir.join(LAST_SEEN));
    kept.ok().and_then(|text| text.parse().ok())
}

pub(crate) fn keep_last_seen(data_dir: &Path, store: &Store) {
    let Some(seen) = store.last_seen() else { return };
    let path = data_dir.join(LAST_SEEN);
    let temporary = path.with_extension("new");
    // Half of it would be another time.
    let written = std::fs::write(&temporary, seen.to_string()).and_then(|()| std::fs::rename(&temporary, &path));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_may_take_no_work_says_why() {
        let told = |lease_left, is_on_time| {
            standing(MayWork {
                lease_left,
                is_on_time,
                clock_offset_ms: -4_000,
            })
            .map(|check| (check.ok, check.detail))
        };
        let off = "4000 ms off the database's".to_owned();
        let held = Duration::from_millis(4_200);
        assert_eq!(
            told(held, true),
            [(true, "holds for 4200 ms".into()), (true, off.clone())]
        );
        assert_eq!(told(held, false)[1], (false, off.clone()));
        let out = "ran out: the database takes no heartbeat".into();
        assert_eq!(told(Duration::ZERO, true), [(false, out), (true, off)]);
    }
}
