//! What a guest says about its compensations, and the host's side of running them.

use std::sync::Arc;

use host_journal::{InvocationStatus, Payload, Pushed, Settled, compensating_scope, compensation_target as target};
use host_types::Fault;
use minicbor::Encode;

use crate::branch::BranchId;
use crate::{Attempt, Recorder};

impl Recorder {
    /// Names what undoes the effect that comes next. Durable with that effect: no commit of its own.
    pub fn push_compensation(&self, name: String, argument: Vec<u8>) -> Result<(), Fault> {
        let pushed = encode(&Pushed { name, argument });
        self.observe_now(target::PUSH, &pushed, || Ok(pushed.clone())).map(drop)
    }

    /// The newest that is open was run by the guest itself.
    pub fn compensation_undone(&self) -> Result<(), Fault> {
        self.observe_now(target::UNDONE, b"", || Ok(Payload::new())).map(drop)
    }

    /// The newest `count` that are open are void: what they would undo is to stay.
    pub fn settle_compensations(&self, count: u32) -> Result<(), Fault> {
        let settled = encode(&Settled { count });
        self.observe_now(target::SETTLE, &settled, || Ok(settled.clone()))
            .map(drop)
    }
}

impl Attempt {
    /// What calls the compensations of a cancelled invocation: in a scope no guest can be in.
    pub fn compensator(self: &Arc<Self>) -> Recorder {
        // What is undone takes the time it takes.
        Recorder::new(
            Arc::clone(self),
            compensating_scope(),
            BranchId::ROOT,
            None,
            self.span(),
        )
    }

    /// Writes the call of a compensation before it runs: if it never succeeds, there is something that a person can answer for.
    pub async fn write_compensation(self: &Arc<Self>) -> Result<(), Fault> {
        if self.state.lock().machine.is_dry_run() {
            return Ok(());
        }
        self.flush(None).await
    }

    /// The last compensation has run: the invocation is over when this returns.
    pub async fn finish_cancelled(self: &Arc<Self>, output: Payload) -> Result<(), Fault> {
        {
            let mut state = self.state.lock();
            state.check()?;
            let noted = state.machine.finish(output, true);
            noted.map_err(|fault| state.fail(fault))?;
        }
        self.release_all();
        self.flush(Some(InvocationStatus::Cancelled)).await
    }
}

fn encode<T: Encode<()>>(value: &T) -> Payload {
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(value)
        .expect("a recorded value has an encoding")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::MemoryJournal;

    #[tokio::test]
    async fn a_push_becomes_durable_with_the_effect_after_it_and_is_answered_from_the_record() {
        let journal = Arc::new(MemoryJournal::default());
        let first = journal.attempt();
        let recorder = first.recorder();
        recorder.push_compensation("release".into(), vec![1]).unwrap();
        assert_eq!(journal.shape(), "");
        let effect = recorder.external("http.post", b"x").await.unwrap();
        drop(effect);
        assert_eq!(journal.shape(), "SRI");

        let again = journal.attempt();
        again.recorder().push_compensation("release".into(), vec![1]).unwrap();
        let other = journal
            .attempt()
            .recorder()
            .push_compensation("release".into(), vec![2]);
        assert!(matches!(other, Err(Fault::Mismatch { .. })), "{other:?}");
    }
}
