//! What can go wrong before a guest runs, and the limits that stop one.

use std::io;
use std::path::PathBuf;

use host_types::Digest;

/// Why an engine or a component is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wasmtime refuses the settings on this machine.
    #[error("create the wasm engine")]
    Engine(#[source] wasmtime::Error),
    /// The epoch ticker's thread could not be started.
    #[error("start the epoch ticker")]
    Ticker(#[source] io::Error),
    /// The bytes are not a component this engine accepts: the deployer's fault.
    #[error("compile component {digest}")]
    Compile {
        /// Which component.
        digest: Digest,
        /// What cranelift or the validator says.
        #[source]
        source: wasmtime::Error,
    },
    /// The bytes are not those the digest names.
    #[error("component bytes have digest {actual}, not {expected}")]
    DigestMismatch {
        /// The digest asked for.
        expected: Digest,
        /// The digest of the bytes given.
        actual: Digest,
    },
    /// Somebody else could replace compiled code.
    #[error("cache folder {path} must belong to this user and be closed to others (chmod 700)", path = path.display())]
    InsecureCache {
        /// The folder.
        path: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("compile cache at {path}", path = path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What a component tells of its statements cannot be read: the fault of what built it.
    #[error("section {section} at byte {offset} of the component: {reason}", section = crate::statements::SECTION)]
    Statements {
        /// Where in the bytes of the component.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The compiling task ended without an answer: it panicked, or the runtime is shutting down.
    #[error("compilation was abandoned")]
    Abandoned,
}

impl Error {
    /// Whether the same can end differently in another try, or on another machine: it is not for the component that it did not.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Engine(_) | Self::Ticker(_) | Self::InsecureCache { .. } | Self::Cache { .. } | Self::Abandoned => {
                true
            }
            Self::Compile { .. } | Self::DigestMismatch { .. } | Self::Statements { .. } => false,
        }
    }
}

/// A bound on one store that the guest ran into. Downcast a trap's error to it, or ask [`StoreLimits::exceeded`].
///
/// [`StoreLimits::exceeded`]: crate::StoreLimits::exceeded
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// Guest code ran for longer than allowed; time spent waiting in host calls is not counted.
    #[error("time limit of {limit_ms} ms exceeded")]
    Time {
        /// The bound, milliseconds of guest time.
        limit_ms: u64,
    },
    /// The same for guest code that did again what it did before.
    #[error("time limit of {limit_ms} ms exceeded, by what earlier attempts did too")]
    Replay {
        /// The bound, milliseconds of guest time.
        limit_ms: u64,
    },
    /// The store's linear memories together would have grown beyond the bound.
    #[error("memory limit of {limit_bytes} bytes exceeded")]
    Memory {
        /// The bound, bytes.
        limit_bytes: usize,
    },
}
