//! Why a deployment cannot be made, and what a trap is called.

use host_engine::{LimitExceeded, StoreLimits};
use host_types::{ComponentId, Digest, Fault};
use wasmtime::component::ResourceTableError;

use crate::instance::MAX_HANDLES;

/// Why a deployment cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no component, or one this host cannot compile.
    #[error("component {component}: {source}")]
    Compile {
        /// Which.
        component: ComponentId,
        /// Why.
        #[source]
        source: host_engine::Error,
    },
    /// A component asks for something nobody offers, or in another shape than it is offered.
    #[error("component {component}: {reason}")]
    Link {
        /// Which.
        component: ComponentId,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// The bytes are not where they should be.
    #[error("component {component}: revision {digest}: {reason}")]
    Fetch {
        /// Of which component.
        component: ComponentId,
        /// Which.
        digest: Digest,
        /// Why.
        reason: NotFetched,
    },
    /// The components do not fit the manifest. The text has a line for each thing that is wrong.
    #[error("{0}")]
    Manifest(String),
    /// What the deployment keeps of the manifest is nothing that this program can read.
    #[error(transparent)]
    Kept(#[from] host_manifest::NotPinned),
    /// The manifest names a component of which there are no bytes.
    #[error("component {0} has no revision: build it first")]
    Missing(ComponentId),
}

/// Why the bytes of a revision are not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotFetched {
    /// For a person.
    pub reason: String,
    /// Another try can end differently.
    pub is_transient: bool,
}

impl Error {
    /// Whether the same deployment can be made in another try although nobody has changed anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { reason, .. } => reason.is_transient,
            Self::Compile { source, .. } => source.is_transient(),
            Self::Link { .. } | Self::Manifest(_) | Self::Kept(_) | Self::Missing(_) => false,
        }
    }
}

/// A failed call of a guest as a fault.
pub(crate) fn fault(error: &wasmtime::Error, limits: &StoreLimits) -> Fault {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return fault.clone();
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Fault::LimitExceeded(format!(
            "an instance may have {MAX_HANDLES} handles of the host at once, not more: drop those that are done with"
        ));
    }
    let exceeded = error.downcast_ref::<LimitExceeded>().copied().or(limits.exceeded());
    match exceeded {
        Some(exceeded) => Fault::Trap(exceeded.to_string()),
        None => Fault::Trap(error.root_cause().to_string()),
    }
}
