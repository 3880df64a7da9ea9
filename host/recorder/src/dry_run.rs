//! A dry run of an invocation: an attempt that belongs to nobody. Everything is answered from the record, and where the record
//! ends it ends; what it would write and wait for has nowhere to go.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{
    Append, AppendError, AppendJournal, Beyond, Claim, HostStatement, KeyId, Machine, Payload, Returned, Seal,
    SealError, WorkflowKey,
};
use host_traces::Trace;
use host_types::{Clock, Fault, InvocationId, NodeId, PromiseId};

use crate::{Answer, Attempt, AttemptOptions, Hold, Place, PromiseState, Promises, Unwritten, Watched};

impl Attempt {
    /// Begins a dry run; the machine is one of [`Machine::dry_run`].
    pub fn dry_run(invocation: InvocationId, machine: Machine, clock: Arc<dyn Clock>) -> Arc<Self> {
        assert!(machine.is_dry_run(), "a machine that performs is no dry run");
        Self::new(AttemptOptions {
            invocation,
            node: NodeId::new(0, [0; 10]),
            machine,
            unwritten: Unwritten::default(),
            journal: Arc::new(Nowhere),
            seal: Arc::new(Nowhere),
            clock,
            promises: Arc::new(Nowhere),
            wait_hold: Duration::ZERO,
            trace: Trace::default(),
        })
    }

    /// The handler of a dry run returned.
    pub fn finish_dry_run(&self, output: &Payload) -> Result<Returned, Fault> {
        let state = self.state.lock();
        state.check()?;
        state.machine.finish_dry_run(output)
    }

    /// Where the record ended, when a dry run came so far.
    pub fn beyond(&self) -> Option<Beyond> {
        self.state.lock().machine.beyond().cloned()
    }

    /// Whether what a dry run found is no evidence, as a secret was changed under way: it took a request for the recorded one without
    /// comparing it, or something differs, which may have been made with the secret.
    pub fn is_of_other_secret(&self, differs: bool) -> bool {
        let machine = &self.state.lock().machine;
        machine.has_assumed() || (differs && machine.has_other_secret())
    }

    /// How many commands of a dry run were the recorded ones.
    pub fn compared(&self) -> u32 {
        self.state.lock().machine.compared()
    }
}

/// What a dry run would write to, if it wrote: a second reason why nothing comes of one.
struct Nowhere;

impl Seal for Nowhere {
    fn seal(&self, _: u32, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn open(&self, _: u32, _: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError::Unreadable("a dry run keeps nothing".into()))
    }
}

impl AppendJournal for Nowhere {
    fn seal(&self, _: InvocationId, _: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(Self)
    }

    fn claim_statement(&self, _: InvocationId, _: &Claim) -> HostStatement {
        refused()
    }

    fn append_statements(&self, _: &Append) -> Vec<HostStatement> {
        vec![refused()]
    }

    fn append(&self, _: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(std::future::ready(Err(AppendError::Fenced)))
    }

    fn append_lazily(&self, _: Append) {}
}

/// Fails whatever transaction it would ride.
fn refused() -> HostStatement {
    HostStatement {
        sql: "SELECT 1 / 0",
        parameters: Vec::new(),
    }
}

impl Promises for Nowhere {
    fn look(&self, _: PromiseId) -> Answer<'_, Result<PromiseState, Fault>> {
        Box::pin(std::future::ready(Ok(PromiseState::Unknown)))
    }

    fn workflow<'a>(&'a self, _: &'a WorkflowKey) -> Answer<'a, Result<Option<InvocationId>, Fault>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn workflow_promise<'a>(&'a self, _: &'a WorkflowKey, _: &'a str) -> Answer<'a, Result<Option<PromiseId>, Fault>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn closes_circle(&self, _: InvocationId, _: PromiseId) -> Answer<'_, Result<bool, Fault>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn place(&self, _: KeyId, _: InvocationId) -> Answer<'_, Result<Place, Fault>> {
        Box::pin(std::future::ready(Ok(Place::Waits)))
    }

    fn changed(&self, _: Watched) -> Answer<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn hold(&self) -> Option<Hold> {
        None
    }

    fn is_stopping(&self) -> bool {
        true
    }

    fn announce(&self, _: &[PromiseId], _: &[KeyId], _: bool) {}
}

#[cfg(test)]
mod tests {
    use host_types::ComponentId;

    use super::*;
    use crate::test_support::MemoryJournal;
    use crate::{CallStep, Recorder};

    /// Looks, reaches out, schedules, calls, waits: a command of nearly every kind.
    async fn guest(recorder: &Recorder, performed: &mut Vec<&'static str>) -> Result<(), Fault> {
        recorder
            .observe("look", b"", async {
                performed.push("look");
                Ok(Payload::from_static(b"seen"))
            })
            .await?;
        match recorder.external("post", b"").await? {
            crate::ExternalStep::Recorded(_) => {}
            crate::ExternalStep::Perform(effect) | crate::ExternalStep::InDoubt(effect) => {
                performed.push("post");
                effect.happened(Payload::from_static(b"done")).await?;
            }
        }
        recorder.schedule(
            &ComponentId::from("cart"),
            crate::Bounds::default(),
            "later".into(),
            Vec::new(),
            5,
        )?;
        recorder.now_ms()?;
        if let CallStep::Enter(entered) = recorder.call("stock:reserve", b"")? {
            entered.callee().now_ms()?;
            entered.returned(Payload::from_static(b"held"))?;
        }
        let promise = recorder.create_promise()?;
        recorder.complete_promise(promise, b"paid").await?;
        recorder.wait_for(promise, Some(1_000)).await.map(drop)
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(host_types::SystemClock)
    }

    #[tokio::test]
    async fn every_prefix_of_a_record_is_replayed_without_an_effect_and_to_its_end() {
        let journal = Arc::new(MemoryJournal::default());
        let attempt = journal.attempt();
        guest(&attempt.recorder(), &mut Vec::new())
            .await
            .expect("nothing is in its way");
        attempt
            .finish(Payload::from_static(b"out"), true)
            .await
            .expect("it is written");
        let history = journal.history();
        let mut compared = 0;
        for entries in 1..=history.len() {
            let machine = Machine::dry_run(history[..entries].to_vec()).expect("a history");
            let dry = Attempt::dry_run(attempt.invocation(), machine, clock());
            let mut performed = Vec::new();
            let ran = guest(&dry.recorder(), &mut performed).await;
            assert!(performed.is_empty(), "{entries} entries: {performed:?} was done again");
            let ended = ran.and_then(|()| dry.finish_dry_run(&Payload::from_static(b"out")));
            match entries == history.len() {
                true => assert_eq!(ended, Ok(Returned::Same)),
                false => assert!(
                    (ended == Err(Fault::Suspended) && dry.beyond().is_some()) || ended == Ok(Returned::Unrecorded),
                    "{entries} entries: {ended:?}"
                ),
            }
            assert!(dry.compared() >= compared, "a longer record has more to compare");
            compared = dry.compared();
        }
        assert!(compared >= 9, "{compared}");
        assert_eq!(journal.history(), history, "and the journal is what it was");
    }
}
