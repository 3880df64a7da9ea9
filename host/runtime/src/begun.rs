//! Calls an instance has begun and not finished. Each goes on beside it, in a branch of the attempt, as far as there is room; its result
//! is there for whoever finishes it. One that is never finished is awaited all the same, before its caller counts as returned: what it
//! does belongs to what the caller did.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_journal::{MAX_ENTRY_BYTES, Payload};
use host_recorder::{Beside, Entered, Recorder, Work};
use host_types::{ComponentId, Fault};

use crate::deployment::Deployment;
use crate::dispatch::{self, Route};

/// Calls that one instance may have begun and not finished.
pub(crate) const MAX_BEGUN: usize = 16;

/// The calls of one instance.
#[derive(Default)]
pub(crate) struct BegunCalls {
    open: BTreeMap<u32, Open>,
    next: u32,
}

struct Open {
    begun: Begun,
    /// Interface and function.
    name: String,
}

/// A call that was begun.
pub(crate) enum Begun {
    /// It returned in an earlier attempt.
    Ended(Payload),
    /// It goes on.
    Beside(Beside<Payload>),
}

/// What there is to do about one.
pub(crate) struct Call {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) caller: Recorder,
    pub(crate) entered: Entered,
    pub(crate) route: Arc<Route>,
    pub(crate) callee: ComponentId,
    pub(crate) params: Vec<u8>,
}

impl BegunCalls {
    /// Whether one more may be begun, with arguments of this size, which are kept until it is at work.
    pub(crate) fn check_room(&self, asked: &str, size_bytes: usize) -> Result<(), Fault> {
        if size_bytes > MAX_ENTRY_BYTES {
            return Err(Fault::LimitExceeded(format!(
                "{asked} was begun with arguments of {size_bytes} bytes; {MAX_ENTRY_BYTES} at most may be: call it, or send a reference instead",
            )));
        }
        if self.open.len() < MAX_BEGUN {
            return Ok(());
        }
        Err(Fault::LimitExceeded(format!(
            "{asked} was begun while {MAX_BEGUN} calls of this instance are begun and not finished, which is as many as may be: finish one first",
        )))
    }

    /// Keeps it until it is finished; returns its number.
    pub(crate) fn push(&mut self, begun: Begun, name: String) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, Open { begun, name });
        number
    }

    /// The call of this number, which was begun as `name`.
    pub(crate) fn take(&mut self, number: u32, name: &str) -> Result<Begun, Fault> {
        match self.open.remove(&number) {
            Some(open) if open.name == name => Ok(open.begun),
            Some(open) => Err(Fault::Guest(format!(
                "call {number} was finished as {name}, and begun as {}",
                open.name
            ))),
            None => Err(Fault::Guest(format!(
                "call {number} was finished as {name}, and is none that was begun here and not finished",
            ))),
        }
    }
}

impl Begun {
    /// What the call returned. `by` waits for it.
    pub(crate) async fn outcome(self, by: &Recorder) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Ended(answer) => Ok(answer.into()),
            Self::Beside(beside) => beside.outcome(by).await.map(Into::into),
        }
    }
}

impl From<Call> for Work<Payload> {
    fn from(call: Call) -> Self {
        Box::new(|branch| Box::pin(call.make(branch)))
    }
}

impl Call {
    async fn make(self, branch: Recorder) -> Result<Payload, Fault> {
        let Self {
            deployment,
            caller,
            entered,
            route,
            callee,
            params,
        } = self;
        let recorder = entered.callee_beside(&branch);
        let called = dispatch::enter(&deployment, entered, recorder, &route, &callee, &params);
        match branch.is_in_branch_of(&caller) {
            // In the turns of its caller.
            true => called.await,
            false => deployment.paced(called).await,
        }
        .map(Payload::from)
    }
}
