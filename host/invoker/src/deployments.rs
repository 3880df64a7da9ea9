//! Which revisions answer: those of new invocations, and those that open ones are pinned to.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use host_runtime::{FetchRevisions, NotFetched};
use host_types::{ComponentId, DeploymentNumber, Digest};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::database::Database;
use crate::handlers::Handlers;

/// The deployments of this node.
pub(crate) struct Deployments {
    /// Lent whole: who takes it has one deployment for all it does.
    current: ArcSwap<Arc<dyn Handlers>>,
    loaded: Mutex<Loaded>,
    /// Held while a deployment is built: of many that need the same one builds it, and whoever needs another waits for nobody.
    building: Mutex<BTreeMap<DeploymentNumber, Weak<Building>>>,
    /// Those that this node cannot run and others can, and until when that is taken for true.
    elsewhere: Mutex<BTreeMap<DeploymentNumber, Instant>>,
    /// Something was activated somewhere, as far as anybody heard.
    pub(crate) activated: Notify,
    /// A node has followed, or came, or went.
    pub(crate) followed: Notify,
}

type Building = tokio::sync::Mutex<()>;

/// Why a deployment cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotBuilt {
    /// For a person.
    pub reason: String,
    /// Another try can end differently although nobody has changed anything.
    pub is_transient: bool,
}

impl From<host_store::Error> for NotBuilt {
    fn from(error: host_store::Error) -> Self {
        Self {
            reason: error.to_string(),
            is_transient: !error.is_lasting(),
        }
    }
}

impl From<host_runtime::Error> for NotBuilt {
    fn from(error: host_runtime::Error) -> Self {
        Self {
            reason: error.to_string(),
            is_transient: error.is_transient(),
        }
    }
}

#[derive(Default)]
struct Loaded {
    /// The last ones asked for, the newest at the end.
    recent: VecDeque<Arc<dyn Handlers>>,
    /// All that somebody holds, be it an attempt alone.
    held: BTreeMap<DeploymentNumber, Weak<dyn Handlers>>,
}

/// Deployments that are kept although nothing here runs on them: a suspended invocation wakes on one of these without loading it anew.
const KEPT: usize = 8;

/// How long what others run is left to them before it is asked again whether they do.
const LEFT: Duration = Duration::from_secs(10);

impl Deployments {
    pub(crate) fn new(current: Arc<dyn Handlers>) -> Self {
        Self {
            current: ArcSwap::from_pointee(current),
            loaded: Mutex::default(),
            building: Mutex::default(),
            elsewhere: Mutex::default(),
            activated: Notify::new(),
            followed: Notify::new(),
        }
    }

    pub(crate) fn current(&self) -> Arc<dyn Handlers> {
        Arc::clone(&self.current.load())
    }

    /// New invocations run on this one from here on; those that have begun stay where they are.
    pub(crate) fn swap(&self, next: Arc<dyn Handlers>) {
        let before = self.current.swap(Arc::new(next));
        // Some of what is open is on it.
        self.loaded.lock().touch(Arc::clone(&before));
    }

    /// The deployment of this number, built if it is not at hand.
    pub(crate) async fn get<F: Future<Output = Result<Arc<dyn Handlers>, NotBuilt>>>(
        &self,
        number: DeploymentNumber,
        build: impl FnOnce() -> F,
    ) -> Result<Arc<dyn Handlers>, NotBuilt> {
        if let Some(deployment) = self.find(number) {
            return Ok(deployment);
        }
        let building = self.building(number);
        let _building = building.lock().await;
        if let Some(deployment) = self.find(number) {
            return Ok(deployment);
        }
        let deployment = build().await?;
        self.loaded.lock().touch(Arc::clone(&deployment));
        Ok(deployment)
    }

    /// Others run what is pinned to this one.
    pub(crate) fn leave(&self, number: DeploymentNumber) {
        self.elsewhere.lock().insert(number, Instant::now() + LEFT);
    }

    /// What others run.
    pub(crate) fn elsewhere(&self) -> Vec<DeploymentNumber> {
        let mut elsewhere = self.elsewhere.lock();
        elsewhere.retain(|_, until| Instant::now() < *until);
        elsewhere.keys().copied().collect()
    }

    fn building(&self, number: DeploymentNumber) -> Arc<Building> {
        let mut all = self.building.lock();
        all.retain(|_, building| building.strong_count() > 0);
        let place = all.entry(number).or_default();
        place.upgrade().unwrap_or_else(|| {
            let building = Arc::default();
            *place = Arc::downgrade(&building);
            building
        })
    }

    fn find(&self, number: DeploymentNumber) -> Option<Arc<dyn Handlers>> {
        let current = self.current();
        if current.number() == number {
            return Some(current);
        }
        let mut loaded = self.loaded.lock();
        let found = loaded.held.get(&number)?.upgrade()?;
        loaded.touch(Arc::clone(&found));
        Some(found)
    }
}

impl Loaded {
    /// It was asked for just now.
    fn touch(&mut self, deployment: Arc<dyn Handlers>) {
        let number = deployment.number();
        self.held.retain(|_, held| held.strong_count() > 0);
        self.held.insert(number, Arc::downgrade(&deployment));
        self.recent.retain(|recent| recent.number() != number);
        self.recent.push_back(deployment);
        while self.recent.len() > KEPT {
            self.recent.pop_front();
        }
    }
}

/// The bytes of revisions: of one that is at hand, and of all others in the database.
pub(crate) struct Bytes<'a> {
    store: &'a dyn Database,
    with: Option<(Digest, Vec<u8>)>,
}

impl<'a> Bytes<'a> {
    pub(crate) fn of(store: &'a dyn Database) -> Self {
        Self { store, with: None }
    }

    pub(crate) fn with(self, digest: Digest, wasm: Vec<u8>) -> Self {
        Self {
            with: Some((digest, wasm)),
            ..self
        }
    }
}

impl FetchRevisions for Bytes<'_> {
    fn fetch<'a>(
        &'a self,
        _: &'a ComponentId,
        digest: Digest,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NotFetched>> + Send + 'a>> {
        Box::pin(async move {
            match &self.with {
                Some((known, wasm)) if *known == digest => Ok(wasm.clone()),
                _ => self.store.revision(digest).await.map_err(not_fetched),
            }
        })
    }
}

pub(crate) fn not_fetched(error: host_store::Error) -> NotFetched {
    NotFetched {
        reason: error.to_string(),
        is_transient: !error.is_lasting(),
    }
}

/// The same components, with this revision in the place of one's.
pub(crate) fn replaced<'a>(
    set: impl IntoIterator<Item = (&'a ComponentId, Digest)>,
    component: &ComponentId,
    revision: Digest,
) -> Vec<(ComponentId, Digest)> {
    let members = set.into_iter().map(|(id, digest)| match id == component {
        true => (id.clone(), revision),
        false => (id.clone(), digest),
    });
    members.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployments::tests::native::Native;

    mod native {
        //! Handlers that nobody enters.

        use host_journal::RetryPolicy;
        use host_recorder::{Answer, Recorder, ScheduledInput};
        use host_types::{Fault, HttpRequest, HttpResponse};

        use super::super::*;

        pub(super) struct Native(pub(super) i64);

        impl Handlers for Native {
            fn number(&self) -> DeploymentNumber {
                DeploymentNumber(self.0)
            }

            fn has(&self, _: &ComponentId) -> bool {
                false
            }

            fn memory_limit_bytes(&self, _: &ComponentId) -> u64 {
                0
            }

            fn wait_hold(&self, _: &ComponentId) -> Duration {
                Duration::ZERO
            }

            fn retry_of_request(&self, _: &ComponentId, _: &str, _: &str) -> RetryPolicy {
                RetryPolicy::default()
            }

            fn retry_of_function(&self, _: &ComponentId, _: &str) -> RetryPolicy {
                RetryPolicy::default()
            }

            fn is_committed(&self, _: &[u8]) -> bool {
                false
            }

            fn call_http<'a>(
                self: Arc<Self>,
                _: Recorder,
                _: &'a ComponentId,
                _: HttpRequest,
            ) -> Answer<'a, Result<HttpResponse, Fault>> {
                unreachable!("nobody enters it")
            }

            fn call_scheduled<'a>(
                self: Arc<Self>,
                _: Recorder,
                _: &'a ComponentId,
                _: ScheduledInput,
            ) -> Answer<'a, Result<Result<(), String>, Fault>> {
                unreachable!("nobody enters it")
            }

            fn call_sent<'a>(
                self: Arc<Self>,
                _: Recorder,
                _: &'a ComponentId,
                _: &'a str,
                _: &'a str,
                _: &'a [u8],
            ) -> Answer<'a, Result<Vec<u8>, Fault>> {
                unreachable!("nobody enters it")
            }

            fn call_compensate<'a>(
                self: Arc<Self>,
                _: Recorder,
                _: &'a ComponentId,
                _: &'a str,
                _: &'a [u8],
            ) -> Answer<'a, Result<Result<(), String>, Fault>> {
                unreachable!("nobody enters it")
            }
        }
    }

    async fn get(deployments: &Deployments, number: i64) -> Arc<dyn Handlers> {
        let build = || async { Ok(Arc::new(Native(number)) as Arc<dyn Handlers>) };
        let got = deployments.get(DeploymentNumber(number), build).await;
        got.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn is_built_anew(deployments: &Deployments, number: i64) -> bool {
        let mut built = false;
        let build = || {
            built = true;
            async { Ok(Arc::new(Native(number)) as Arc<dyn Handlers>) }
        };
        let got = deployments.get(DeploymentNumber(number), build).await;
        assert!(got.is_ok_and(|got| got.number() == DeploymentNumber(number)));
        built
    }

    #[tokio::test]
    async fn the_current_one_and_the_last_ones_asked_for_are_kept_and_no_more() {
        let deployments = Deployments::new(Arc::new(Native(0)));
        let last = 3 + KEPT as i64;
        for number in 1..=last {
            assert!(is_built_anew(&deployments, number).await);
        }
        assert!(!is_built_anew(&deployments, 0).await, "it is current");
        for number in (last + 1 - KEPT as i64)..=last {
            assert!(!is_built_anew(&deployments, number).await, "{number}");
        }
        assert!(is_built_anew(&deployments, 1).await, "nobody held it");
    }

    #[tokio::test]
    async fn what_an_attempt_runs_on_is_never_built_twice() {
        let deployments = Deployments::new(Arc::new(Native(0)));
        let running = get(&deployments, 1).await;
        for number in 2..=2 + KEPT as i64 {
            get(&deployments, number).await;
        }
        assert!(Arc::ptr_eq(&get(&deployments, 1).await, &running));
    }

    #[tokio::test]
    async fn of_many_that_need_one_it_is_built_once_and_nobody_else_waits() {
        let deployments = Deployments::new(Arc::new(Native(0)));
        let (go_on, built) = (Notify::new(), std::sync::atomic::AtomicUsize::new(0));
        let slow = || async {
            go_on.notified().await;
            built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Arc::new(Native(1)) as Arc<dyn Handlers>)
        };
        let number = DeploymentNumber(1);
        let both = async { tokio::join!(deployments.get(number, slow), deployments.get(number, slow)) };
        let other = async {
            get(&deployments, 2).await;
            go_on.notify_one();
        };
        let ((one, two), ()) = tokio::join!(both, other);
        assert!(one.is_ok_and(|one| two.is_ok_and(|two| Arc::ptr_eq(&one, &two))));
        assert_eq!(built.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_swap_leaves_what_has_begun_where_it_is() {
        let deployments = Deployments::new(Arc::new(Native(0)));
        let begun = deployments.current();
        deployments.swap(get(&deployments, 1).await);
        assert_eq!(deployments.current().number(), DeploymentNumber(1));
        assert!(Arc::ptr_eq(&get(&deployments, 0).await, &begun));
    }
}
