//! Workflows: starting one under an id, waiting for its output, and its promises by their names.

use host_journal::{CommandKind, MAX_PROMISE_NAME_BYTES, MAX_WORKFLOW_ID_BYTES, Step, WorkflowEnd, WorkflowKey};
use host_traces::SpanKind;
use host_types::{Fault, InvocationId, PromiseId, Scope};
use minicbor::{Decode, Encode};

use crate::attempt::State;
use crate::waiting::{Awaited, encode};
use crate::{Completed, Outgoing, Recorder, Waited};

const COMPLETE: &str = "nexus:durable/workflows.complete";
const WAIT: &str = "nexus:durable/workflows.wait";

/// A workflow to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// What it is known by.
    pub key: WorkflowKey,
    /// How long after its end it is known, milliseconds.
    pub retention_ms: u64,
}

/// What starting a workflow came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// This invocation is the workflow now.
    Now(InvocationId),
    /// This one was before: nothing was started.
    Before(InvocationId),
}

/// What waiting for a workflow's output came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// It ended like this.
    Ended(WorkflowEnd),
    /// The time was up before.
    TimedOut,
    /// Nothing was started under that id, or it is forgotten.
    Unknown,
    /// It waits for the output of this invocation, itself or through others, or is this invocation: the wait would never end.
    Circle,
}

/// [`Attached`] as it is recorded: as [`Waited`], with a case more.
#[derive(Encode, Decode)]
enum Ended {
    #[n(0)]
    Value(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    #[n(1)]
    TimedOut,
    #[n(2)]
    Unknown,
    #[n(3)]
    Circle,
}

/// [`Started`] as it is recorded.
#[derive(Encode, Decode)]
struct Answer {
    #[cbor(n(0), with = "minicbor::bytes")]
    invocation: [u8; 16],
    #[n(1)]
    is_new: bool,
}

impl Recorder {
    /// The workflow that this invocation is: its function, and its id.
    pub fn workflow(&self) -> Option<(String, String)> {
        let state = self.attempt.state.lock();
        let header = state.machine.header();
        let id = header.workflow.clone()?;
        let (interface, function) = header.function.rsplit_once('.')?;
        let key = WorkflowKey::new(header.component.clone(), interface, function, id);
        Some((key.function, key.id))
    }

    /// Starts a workflow with the next append, unless there is one of that key. One that others were faster with makes the append
    /// fail, and the attempt that follows is told so.
    pub async fn start_workflow(&self, target: &str, outgoing: Outgoing, workflow: Workflow) -> Result<Started, Fault> {
        self.check_length("the id of a workflow", &workflow.key.id, MAX_WORKFLOW_ID_BYTES)?;
        self.check_key(&workflow.key)?;
        self.check_size(outgoing.input.len())?;
        let arguments = [&workflow.key.to_bytes(), outgoing.input.as_ref()].concat();
        match self.step(CommandKind::Message, target, &arguments)? {
            (Step::Recorded(answer), _) => {
                let Answer { invocation, is_new } = self.decode(&answer)?;
                let invocation = InvocationId(uuid::Uuid::from_bytes(invocation));
                Ok(if is_new {
                    Started::Now(invocation)
                } else {
                    Started::Before(invocation)
                })
            }
            (Step::Perform(position) | Step::InDoubt(position), arguments) => {
                let mut span = self.begin_span(SpanKind::Producer, target, &position);
                let own = self.attempt.state.lock().workflow_in(&self.scope, &workflow.key);
                let before = match own {
                    Some(invocation) => Some(invocation),
                    None => {
                        let found = self.attempt.promises.workflow(&workflow.key).await;
                        found.map_err(|fault| self.attempt.fail(fault))?
                    }
                };
                let mut state = self.attempt.state.lock();
                // Again: a sibling may have been faster.
                let before = before.or_else(|| state.workflow_in(&self.scope, &workflow.key));
                let started = match before {
                    Some(invocation) => Started::Before(invocation),
                    None => Started::Now(state.begin(&self.attempt, &position, outgoing, 0, Some(workflow), &span)?),
                };
                let (Started::Now(invocation) | Started::Before(invocation)) = started;
                span.set_text("nexus.message.invocation.id", invocation);
                let answer = encode(&Answer {
                    invocation: *invocation.0.as_bytes(),
                    is_new: matches!(started, Started::Now(_)),
                });
                let noted = state
                    .machine
                    .complete(&position, CommandKind::Message, target, arguments, answer);
                noted.map_err(|fault| state.fail(fault))?;
                Ok(started)
            }
        }
    }

    /// Waits until a workflow has ended, at most `timeout_ms`. Where the wait would close a circle that nothing ends the guest is told so, unless it
    /// was built without a word for that (`knows_circles`): then a person has to look.
    pub async fn attach(
        &self,
        target: &str,
        key: WorkflowKey,
        timeout_ms: Option<u64>,
        knows_circles: bool,
    ) -> Result<Attached, Fault> {
        // Not its length: a workflow of no such id was ever started, and histories hold that it is unknown.
        self.check_key(&key)?;
        let until_ms = self.until_ms(timeout_ms)?;
        let mut arguments = key.to_bytes();
        arguments.extend(until_ms.unwrap_or(u64::MAX).to_be_bytes());
        // A wait that ends by itself closes no circle, and for one that is no workflow nobody can wait.
        let may_close = until_ms.is_none() && self.attempt.is_workflow();
        let on_circle = may_close.then(|| match knows_circles {
            true => Ok(encode(&Ended::Circle)),
            false => Err(Fault::Guest(format!(
                "{target} of {:?} would never end: that workflow waits for the output of this invocation, itself or through others, or is it. \
                 Cancel one of them",
                key.id
            ))),
        });
        let awaited = Awaited::output(key, until_ms, on_circle);
        let answer = self.wait(target, &arguments, &awaited).await?;
        Ok(match self.decode(&answer)? {
            Ended::Value(end) => Attached::Ended(self.decode(&end)?),
            Ended::TimedOut => Attached::TimedOut,
            Ended::Unknown => Attached::Unknown,
            Ended::Circle => Attached::Circle,
        })
    }

    /// Waits until the promise of this name of a workflow is completed, at most `timeout_ms`.
    pub async fn wait_for_named(
        &self,
        key: WorkflowKey,
        name: String,
        timeout_ms: Option<u64>,
    ) -> Result<Waited, Fault> {
        self.check_key(&key)?;
        self.check_name(&name)?;
        let until_ms = self.until_ms(timeout_ms)?;
        let mut arguments = key.to_bytes();
        arguments.extend(until_ms.unwrap_or(u64::MAX).to_be_bytes());
        arguments.extend_from_slice(name.as_bytes());
        let awaited = Awaited::of_workflow(key, name, until_ms);
        let answer = self.wait(WAIT, &arguments, &awaited).await?;
        self.decode(&answer)
    }

    /// Completes the promise of this name of a workflow with the next append. As of every promise the first completion wins, and one
    /// that comes before anybody waits for it is kept.
    pub async fn complete_named(&self, key: &WorkflowKey, name: &str, value: &[u8]) -> Result<Completed, Fault> {
        self.check_key(key)?;
        self.check_name(name)?;
        let mut arguments = key.to_bytes();
        for part in [name.as_bytes(), value] {
            arguments.extend((part.len() as u64).to_be_bytes());
            arguments.extend_from_slice(part);
        }
        let promise = async {
            let starts_it = {
                let mut state = self.attempt.state.lock();
                let before = state.unwritten.workflow(key).is_some();
                let within = state.unwritten_in(&self.scope).workflow(key).is_some();
                let mut open = state.transactions.iter();
                // An append of its own is nothing for a scope that has a transaction open.
                if (before || within) && open.any(|(begun, _)| begun.scope == self.scope) {
                    let text = format!(
                        "{COMPLETE} of {} {:?}, whose start the open transaction is to commit: commit it first",
                        key.function, key.id
                    );
                    return Err(state.fail(Fault::Guest(text)));
                }
                before
            };
            if starts_it {
                self.attempt.flush(None).await?;
            }
            self.named(key, name).await
        };
        self.complete_promise_of(COMPLETE, &arguments, promise, value).await
    }

    pub(crate) async fn named(&self, key: &WorkflowKey, name: &str) -> Result<Option<PromiseId>, Fault> {
        let found = self.attempt.promises.workflow_promise(key, name).await;
        found.map_err(|fault| self.attempt.fail(fault))
    }

    /// What a workflow is looked up by.
    fn check_key(&self, key: &WorkflowKey) -> Result<(), Fault> {
        self.check_stored("the function of a workflow", &key.function)?;
        self.check_stored("the id of a workflow", &key.id)
    }

    fn check_name(&self, name: &str) -> Result<(), Fault> {
        const WHAT: &str = "the name of a promise";
        self.check_length(WHAT, name, MAX_PROMISE_NAME_BYTES)?;
        self.check_stored(WHAT, name)
    }

    fn check_length(&self, what: &str, text: &str, max: usize) -> Result<(), Fault> {
        if (1..=max).contains(&text.len()) {
            return Ok(());
        }
        let text = format!("{what} has {} bytes: it needs 1 to {max}", text.len());
        Err(self.attempt.fail(Fault::Guest(text)))
    }

    /// PostgreSQL's text holds every character but one. Others that show nothing are the guest's business, and stand in tables already.
    fn check_stored(&self, what: &str, text: &str) -> Result<(), Fault> {
        if !text.contains('\0') {
            return Ok(());
        }
        let text = format!("{what} contains U+0000, which the database does not take");
        Err(self.attempt.fail(Fault::Guest(text)))
    }
}

impl State {
    /// The invocation that will be this workflow, as far as a scope can know.
    fn workflow_in(&mut self, scope: &Scope, key: &WorkflowKey) -> Option<InvocationId> {
        let before = self.unwritten.workflow(key);
        before.or_else(|| self.unwritten_in(scope).workflow(key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_journal::{OUTPUT_PROMISE, Suspension};

    use super::*;
    use crate::test_support::{MemoryJournal, call_beside};

    fn key(id: &str) -> WorkflowKey {
        WorkflowKey::new("order".into(), "shop:order/purchases@0.1.0", "checkout", id.into())
    }

    async fn start(recorder: &Recorder, id: &str) -> Result<Started, Fault> {
        let outgoing = Outgoing {
            component: "order".into(),
            function: "shop:order/purchases@0.1.0.checkout".into(),
            input: host_journal::Payload::from_static(b"cart"),
            memory_limit_bytes: 1,
            within_ms: None,
        };
        let workflow = Workflow {
            key: key(id),
            retention_ms: 1,
        };
        recorder.start_workflow("order:checkout", outgoing, workflow).await
    }

    #[tokio::test]
    async fn there_is_one_workflow_of_an_id_and_who_comes_later_is_told_which() {
        let journal = Arc::new(MemoryJournal::default());
        let recorder = journal.attempt().recorder();
        let Ok(Started::Now(invocation)) = start(&recorder, "7").await else {
            panic!("nothing was there before");
        };
        assert_eq!(start(&recorder, "7").await, Ok(Started::Before(invocation)));
        assert!(matches!(start(&recorder, "8").await, Ok(Started::Now(_))));
        assert_eq!(journal.shape(), "", "with the next append, and none of its own");

        // Waiting for it makes it durable; another attempt is told the same, and so is who did not start it.
        assert_eq!(
            recorder.attach("order:attach", key("7"), None, true).await,
            Err(Fault::Suspended)
        );
        let output = journal.named(&key("7"), OUTPUT_PROMISE).unwrap();
        let suspension = Suspension {
            promises: vec![output],
            ..Suspension::default()
        };
        assert_eq!(journal.suspension(), Some(suspension));
        let again = journal.attempt().recorder();
        assert_eq!(start(&again, "7").await, Ok(Started::Now(invocation)));
        assert_eq!(start(&again, "7").await, Ok(Started::Before(invocation)));
        assert!(matches!(start(&again, "8").await, Ok(Started::Now(_))));

        let end = WorkflowEnd::Returned(b"done".to_vec());
        journal.complete(output, &end.to_payload());
        assert_eq!(
            again.attach("order:attach", key("7"), None, true).await,
            Ok(Attached::Ended(end))
        );
        assert_eq!(
            again.attach("order:attach", key("9"), None, true).await,
            Ok(Attached::Unknown)
        );
        assert_eq!(start(&again, "7").await, Ok(Started::Before(invocation)));
    }

    #[tokio::test]
    async fn a_wait_that_closes_a_circle_is_refused_and_stays_so() {
        let journal = Arc::new(MemoryJournal::default());
        journal.name("8");
        let recorder = journal.attempt().recorder();
        start(&recorder, "7").await.unwrap();
        let attach = async |recorder: &Recorder, knows| recorder.attach("order:attach", key("7"), None, knows).await;
        assert_eq!(attach(&recorder, true).await, Err(Fault::Suspended));
        let output = journal.named(&key("7"), OUTPUT_PROMISE).unwrap();
        journal.close_circle(output);
        let entries = journal.history().len();
        // Whoever has no word for it is not told anything else.
        let again = journal.attempt().recorder();
        start(&again, "7").await.unwrap();
        let refused = attach(&again, false).await;
        assert!(
            matches!(&refused, Err(Fault::Guest(text)) if text.contains("would never end")),
            "{refused:?}"
        );
        assert_eq!(journal.history().len(), entries);

        let again = journal.attempt().recorder();
        start(&again, "7").await.unwrap();
        assert_eq!(attach(&again, true).await, Ok(Attached::Circle));
        again.attempt().flush(None).await.unwrap();
        // What is recorded holds, whatever became of the circle.
        journal.complete(output, &WorkflowEnd::Cancelled.to_payload());
        let replayed = journal.attempt().recorder();
        start(&replayed, "7").await.unwrap();
        assert_eq!(attach(&replayed, true).await, Ok(Attached::Circle));
    }

    #[tokio::test]
    async fn a_wait_that_ends_by_itself_and_one_that_nobody_can_wait_for_close_no_circle() {
        for (name, timeout_ms) in [(Some("8"), Some(60_000)), (None, None)] {
            let journal = Arc::new(MemoryJournal::default());
            name.into_iter().for_each(|name| journal.name(name));
            let recorder = journal.attempt().recorder();
            start(&recorder, "7").await.unwrap();
            recorder.attempt().flush(None).await.unwrap();
            journal.close_circle(journal.named(&key("7"), OUTPUT_PROMISE).unwrap());
            let waited = recorder.attach("order:attach", key("7"), timeout_ms, true).await;
            assert_eq!(waited, Err(Fault::Suspended), "{name:?}");
        }
    }

    #[test]
    fn an_end_is_recorded_as_that_of_any_wait() {
        let pairs = [
            (
                encode(&Ended::Value(b"x".to_vec())),
                encode(&Waited::Value(b"x".to_vec())),
            ),
            (encode(&Ended::TimedOut), encode(&Waited::TimedOut)),
            (encode(&Ended::Unknown), encode(&Waited::Unknown)),
        ];
        for (ended, waited) in pairs {
            assert_eq!(ended, waited);
        }
    }

    #[tokio::test]
    async fn a_promise_is_found_by_its_name_before_anybody_waits_for_it() {
        let journal = Arc::new(MemoryJournal::default());
        let recorder = journal.attempt().recorder();
        let unknown = recorder.complete_named(&key("7"), "paid", b"early").await;
        assert_eq!(unknown, Ok(Completed::Unknown), "nothing was started under that id");
        start(&recorder, "7").await.unwrap();
        let completed = recorder.complete_named(&key("7"), "paid", b"yes").await;
        assert_eq!(completed, Ok(Completed::Now));
        let repeated = recorder.complete_named(&key("7"), "paid", b"no").await;
        assert_eq!(repeated, Ok(Completed::Before));
        let waited = recorder.wait_for_named(key("7"), "paid".into(), None).await;
        assert_eq!(waited, Ok(Waited::Value(b"yes".to_vec())));
        let other = recorder.wait_for_named(key("7"), "shipped".into(), None).await;
        assert_eq!(other, Err(Fault::Suspended));
    }

    #[tokio::test]
    async fn who_waits_for_a_promise_by_its_name_waits_for_that_of_the_successor() {
        let journal = Arc::new(MemoryJournal::default());
        let root = journal.attempt().recorder();
        start(&root, "7").await.unwrap();
        root.attempt().flush(None).await.unwrap();
        let waits = call_beside(&root, |it| async move {
            it.wait_for_named(key("7"), "paid".into(), None).await
        });
        let restarting = Arc::clone(&journal);
        let _restarts = call_beside(&root, move |_| async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(restarting.named(&key("7"), "paid").is_some());
            restarting.restart(&key("7"));
            Ok(())
        });
        tokio::select! {
            _ = waits.outcome(&root) => {}
            () = root.attempt().branch_failed() => {}
        }
        assert_eq!(root.attempt().fault(), Some(Fault::Suspended));
        let suspension = Suspension {
            promises: vec![journal.named(&key("7"), "paid").unwrap()],
            ..Suspension::default()
        };
        assert_eq!(journal.suspension(), Some(suspension));
    }

    #[tokio::test]
    async fn an_id_and_a_name_have_bounds() {
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        assert!(matches!(start(&recorder, "").await, Err(Fault::Guest(text)) if text.contains("needs 1 to 255")));
        let recorder = Arc::new(MemoryJournal::default()).attempt().recorder();
        let long = "x".repeat(MAX_PROMISE_NAME_BYTES + 1);
        let refused = recorder.complete_named(&key("7"), &long, b"").await;
        assert!(matches!(refused, Err(Fault::Guest(text)) if text.contains("has 256 bytes")));
    }

    #[tokio::test]
    async fn what_the_database_does_not_take_is_the_guests_fault() {
        let (zero, function) = (
            key("a\0b"),
            WorkflowKey {
                function: "shop:order/purchases.\0".into(),
                ..key("7")
            },
        );
        let recorder = || Arc::new(MemoryJournal::default()).attempt().recorder();
        let mut faults = vec![
            ("the id", start(&recorder(), "a\0b").await.err()),
            (
                "the name",
                recorder().complete_named(&key("7"), "pa\0id", b"").await.err(),
            ),
            (
                "the name",
                recorder().wait_for_named(key("7"), "pa\0id".into(), None).await.err(),
            ),
        ];
        for (what, key) in [("the id", zero), ("the function", function)] {
            faults.extend([
                (
                    what,
                    recorder()
                        .attach("order:attach", key.clone(), Some(1), true)
                        .await
                        .err(),
                ),
                (what, recorder().complete_named(&key, "paid", b"").await.err()),
                (what, recorder().wait_for_named(key, "paid".into(), Some(1)).await.err()),
            ]);
        }
        for (what, fault) in faults {
            assert!(
                matches!(&fault, Some(Fault::Guest(text)) if text.starts_with(what) && text.contains("U+0000")),
                "{what}: {fault:?}"
            );
        }
    }
}
