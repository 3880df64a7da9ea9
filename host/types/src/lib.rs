//! Ids, payloads, clock and randomness: what every host crate shares. Nothing here does I/O but reading clock and entropy.

mod client;
mod clock;
mod fault;
mod http;
mod ids;
mod position;
mod rng;
mod streamed;
mod waiting;

pub use self::http::{Claims, HttpRequest, HttpResponse, Identity};
pub use client::{HttpCall, HttpOutcome, IdempotencyKey, InvocationClient};
pub use clock::{Clock, CorrectedClock, SystemClock};
pub use fault::{Blame, Fault};
pub use ids::{ComponentId, DeploymentNumber, Digest, EventId, InvocationId, NodeId, ParseIdError, PromiseId};
pub use position::{ParseScopeError, Position, Scope};
pub use rng::{Rng, SystemRng};
pub use streamed::{StreamBody, StreamError, StreamedCall, StreamedOutcome};
pub use waiting::{ParseWaitingForError, WaitingFor};
