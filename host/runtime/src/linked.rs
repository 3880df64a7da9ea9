//! A revision, compiled and linked to the host. The deployments it is in share it: a swap of one component costs that component alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use host_engine::{Engine, Kind};
use host_manifest::{Interfaces, Offered};
use host_types::{ComponentId, Digest};
use parking_lot::Mutex;
use wasmtime::component::Component;

use crate::component::Loaded;
use crate::runtime::Revision;
use crate::stock::StockLoaded;
use crate::{Deployment, Error, NotFetched, PLATFORM, STOCK_PLATFORM};

/// One of them.
pub(crate) struct Linked {
    pub(crate) engine: Engine,
    pub(crate) component: Component,
    pub(crate) answers: Answers,
}

/// How it is entered.
pub(crate) enum Answers {
    Plain(Arc<Loaded>),
    Stock(Arc<StockLoaded>),
}

/// Where the bytes of revisions are.
pub trait FetchRevisions: Send + Sync {
    /// Those of this one.
    fn fetch<'a>(
        &'a self,
        component: &'a ComponentId,
        digest: Digest,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NotFetched>> + Send + 'a>>;
}

impl FetchRevisions for Vec<Revision> {
    fn fetch<'a>(
        &'a self,
        component: &'a ComponentId,
        digest: Digest,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NotFetched>> + Send + 'a>> {
        let found = self
            .iter()
            .find(|(id, revision, _)| id == component && *revision == digest);
        let bytes = found.map(|(_, _, wasm)| wasm.clone());
        let bytes = bytes.ok_or_else(|| NotFetched {
            reason: "its bytes are not at hand".to_owned(),
            is_transient: false,
        });
        Box::pin(async move { bytes })
    }
}

/// What is linked to what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) component: ComponentId,
    pub(crate) revision: Digest,
    /// Of what its deployment keeps of the manifest about it.
    pub(crate) granted: Digest,
}

/// All of it, for as long as a deployment has it.
#[derive(Default)]
pub(crate) struct Links(Mutex<BTreeMap<Link, Weak<Linked>>>);

impl Links {
    pub(crate) fn find(&self, link: &Link) -> Option<Arc<Linked>> {
        self.0.lock().get(link)?.upgrade()
    }

    /// Of two that linked the same, both have the one that was first.
    pub(crate) fn keep(&self, link: Link, linked: Linked) -> Arc<Linked> {
        let mut links = self.0.lock();
        links.retain(|_, linked| linked.strong_count() > 0);
        let place = links.entry(link).or_default();
        place.upgrade().unwrap_or_else(|| {
            let linked = Arc::new(linked);
            *place = Arc::downgrade(&linked);
            linked
        })
    }
}

/// What a component imports and exports, as the manifest is checked against it.
pub fn interfaces(engine: &Engine, component: &Component) -> Interfaces {
    let host_engine::Interfaces { imports, exports } = host_engine::interfaces(engine, component);
    // An import without functions only names types: there is nothing to answer.
    let imports = imports
        .into_iter()
        .filter(|name| !host_engine::imported_functions(engine, component, name).is_empty());
    Interfaces {
        imports: imports.collect(),
        exports,
        is_stock: engine.kind() == Kind::Stock,
    }
}

impl Deployment {
    /// Checks what only the components can tell: that each import is answered, each grant is there, and what the manifest says of routes,
    /// clock and subscriptions is exported.
    pub fn check(&self) -> Result<(), Error> {
        let interfaces = self
            .linked()
            .map(|(id, linked)| (id.clone(), interfaces(&linked.engine, &linked.component)));
        let offered = Offered {
            plain: PLATFORM,
            stock: STOCK_PLATFORM,
        };
        let checked = self.app().check_links(&interfaces.collect(), offered);
        checked.map_err(|errors| Error::Manifest(errors.to_string()))
    }
}
