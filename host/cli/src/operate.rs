//! The admin port's view of store, invoker and deployment.

mod components;
mod dead_letters;
mod replay;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host_admin::{
    ActivatedView, Answer, AuditFilter, AuditView, CompensationView, ComponentView, DeadLetterFilter, DeadLetterVerb,
    DeadLettersView, EntryKind, EntryView, Filter, InvocationDetail, InvocationView, InvocationsView, Manner,
    NodeStatus, NodeView, Operate, OperateError, Operation, PayloadView, PromiseName, PromiseOutcome, PromiseView,
    ReplayView, Replaying, RevisionDigest, SaidView, SettledView, Status, Timestamp, UploadedView, Uploading, Verb,
    WaitView,
};
use host_invoker::{DeadLetters, Handlers, Invoker, Revisions};
use host_journal::{
    Body, CommandKind, Entry, FenceReason, InvocationStatus, OUTPUT_PROMISE, Seal, SealError, WorkflowKey,
};
use host_runtime::Deployment;
use host_store::{InvocationRow, Loaded, Store};
use host_types::{ComponentId, Digest, InvocationId, Position, PromiseId};

/// What an operator reaches.
pub(crate) struct Operator {
    pub(crate) store: Arc<Store>,
    pub(crate) invoker: Invoker,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) revisions: Arc<Revisions>,
    /// When this host was.
    pub(crate) started: Timestamp,
}

impl Operator {
    async fn named_promise(
        &self,
        component: Option<ComponentId>,
        function: &str,
        workflow: String,
        name: &str,
    ) -> Result<PromiseId, OperateError> {
        let invalid = |text: &str| OperateError::Invalid(format!("function: {function:?} {text}"));
        let (interface, function_name) = function
            .rsplit_once('.')
            .ok_or_else(|| invalid("is no interface and function, as in \"shop:order/purchases.checkout\""))?;
        let component = match component {
            Some(component) => component,
            None => {
                let found = self
                    .store
                    .workflow_components(function, &workflow)
                    .await
                    .map_err(unavailable)?;
                match &found[..] {
                    [one] => one.clone(),
                    [] => {
                        return Err(OperateError::NoPromise(format!(
                            "there is no workflow {workflow:?} of {function}"
                        )));
                    }
                    _ => {
                        return Err(invalid(
                            "has a workflow of that id in several components: name the component",
                        ));
                    }
                }
            }
        };
        let key = WorkflowKey::new(component, interface, function_name, workflow);
        let found = self.store.workflow_promise(&key, name).await.map_err(unavailable)?;
        found.ok_or_else(|| {
            let WorkflowKey {
                component,
                function,
                id,
            } = &key;
            OperateError::NoPromise(format!("there is no workflow {id:?} of {component}:{function}"))
        })
    }

    /// What an open invocation waits for.
    async fn waits_for(&self, invocation: InvocationId) -> Result<Vec<WaitView>, OperateError> {
        let promises = self.store.awaited_promises(invocation).await.map_err(unavailable)?;
        let keys = self.store.awaited_keys(invocation).await.map_err(unavailable)?;
        let promises = promises.into_iter().map(|awaited| match awaited.name {
            Some(name) if name == OUTPUT_PROMISE => WaitView::Output {
                invocation: awaited.owner,
                workflow: awaited.workflow,
            },
            name => WaitView::Promise {
                id: awaited.promise,
                invocation: awaited.owner,
                workflow: awaited.workflow.filter(|_| name.is_some()),
                name,
            },
        });
        let keys = keys.into_iter().map(|awaited| WaitView::Key {
            function: awaited.function,
            holder: awaited.holder,
        });
        Ok(promises.chain(keys).collect())
    }

    fn deployment(&self) -> Result<Arc<Deployment>, OperateError> {
        let deployment = self.invoker.deployment();
        deployment.ok_or_else(|| OperateError::Unavailable("no components are deployed".into()))
    }
}

impl Operate for Operator {
    fn components(&self) -> Operation<'_, Vec<ComponentView>> {
        Box::pin(self.component_views())
    }

    fn upload(
        &self,
        component: ComponentId,
        uploading: Uploading,
        asked: host_admin::Asked,
    ) -> Operation<'_, UploadedView> {
        Box::pin(self.uploaded(component, uploading, asked))
    }

    fn activate(
        &self,
        component: ComponentId,
        revision: Digest,
        asked: host_admin::Asked,
    ) -> Operation<'_, ActivatedView> {
        Box::pin(self.activated(component, revision, asked))
    }

    fn rollback(&self, component: ComponentId, asked: host_admin::Asked) -> Operation<'_, ActivatedView> {
        Box::pin(self.rolled_back(component, asked))
    }

    fn list(&self, filter: Filter) -> Operation<'_, InvocationsView> {
        Box::pin(async move {
            let filter = host_store::Filter {
                status: filter.status.map(stored_status),
                component: filter.component,
                function: filter.function,
                older_than_ms: filter.older_than_ms,
                cause: filter.cause,
                waiting_for: filter.waiting_for,
                keys: filter.idempotency_key.map(|key| {
                    let subject = filter.subject.unwrap_or_default();
                    self.invoker.stored_keys(&key, &subject)
                }),
                limit: filter.limit.unwrap_or(20),
                cursor: filter.cursor,
            };
            let page = self.store.list(&filter).await.map_err(unavailable)?;
            let ids: Vec<_> = page.rows.iter().map(|row| row.invocation).collect();
            let mut workflow_ids = self.store.workflow_ids(&ids).await.map_err(unavailable)?;
            let rows = page.rows.iter();
            let invocations = rows.map(|row| invocation(row, workflow_ids.remove(&row.invocation)));
            Ok(InvocationsView {
                invocations: invocations.collect(),
                next_cursor: page.next,
            })
        })
    }

    fn show(&self, id: InvocationId) -> Operation<'_, InvocationDetail> {
        Box::pin(async move {
            let row = self
                .store
                .row(id)
                .await
                .map_err(unavailable)?
                .ok_or(OperateError::NotFound(id))?;
            let deployment = self.deployment()?;
            let mut describe = Describe {
                deployment: &deployment,
                targets: HashMap::new(),
                is_cancelled: false,
            };
            // Payloads of a sensitive route are nobody's business, and gone once the invocation has ended.
            let loaded = match row.erasure_salt {
                None => self.store.load(id).await.ok().flatten(),
                Some(_) => None,
            };
            // Of one whose payloads are not shown, what it pushed is not known here.
            let compensations = loaded.as_ref().map(|loaded| compensations(&loaded.entries));
            // The row as it was with these entries, not before or after them.
            let (row, journal): (_, Vec<EntryView>) = match loaded {
                Some(Loaded { row, entries }) => (row, entries.iter().map(|entry| describe.entry(entry)).collect()),
                None => {
                    let stored = self.store.stored(id).await.map_err(unavailable)?;
                    let (row, bodies) = stored.ok_or(OperateError::NotFound(id))?;
                    let entries = bodies
                        .iter()
                        .filter_map(|(index, body)| host_journal::decode(*index, body, &Hidden).ok());
                    let journal = entries.map(|entry| redact(describe.entry(&entry))).collect();
                    (row, journal)
                }
            };
            let workflow = self.store.workflow_of(id).await.map_err(unavailable)?;
            let shown = invocation(&row, workflow.as_ref().map(|key| key.id.clone()));
            let mut detail = InvocationDetail::new(shown, journal, compensations.unwrap_or_default());
            detail.undoing = describe
                .is_cancelled
                .then(|| host_journal::compensating_scope().to_string());
            detail.workflow = workflow.map(|key| (key.function, key.id));
            if !row.status.is_final() {
                detail.waits_for = self.waits_for(id).await?;
            }
            Ok(detail)
        })
    }

    fn steer(
        &self,
        verb: Verb,
        id: InvocationId,
        manner: Manner,
        asked: host_admin::Asked,
    ) -> Operation<'_, InvocationView> {
        Box::pin(async move {
            let asked = in_words(asked);
            let invoker = &self.invoker;
            match verb {
                Verb::Pause => invoker.pause(id, &asked).await.map_err(refused)?,
                Verb::Resume => invoker.resume(id, &asked).await.map_err(refused)?,
                Verb::Cancel => invoker.cancel(id, &asked).await.map_err(refused)?,
                Verb::Restart => {
                    let successor = invoker.restart(id, manner.force, &asked).await.map_err(refused)?;
                    return self.after(successor).await;
                }
                Verb::Move => {
                    let missing = || OperateError::Invalid("to: name the revision to go on with".into());
                    let to = manner.to.ok_or_else(missing)?;
                    invoker.move_to(&self.store, id, to, &asked).await.map_err(refused)?;
                }
            }
            self.after(id).await
        })
    }

    fn complete_entry(
        &self,
        id: InvocationId,
        position: Position,
        answer: Answer,
        asked: host_admin::Asked,
    ) -> Operation<'_, InvocationView> {
        Box::pin(async move {
            let recorded = |pinned: Arc<dyn Handlers>, target: &str| {
                let deployment = pinned.deployment().ok_or("no component is called there")?;
                match &answer {
                    Answer::Json(value) => deployment.answer_from_json(target, value),
                    Answer::Base64(text) => {
                        let recorded = STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?;
                        deployment.check_answer(target, &recorded).map(|()| recorded)
                    }
                }
            };
            let asked = in_words(asked);
            let completed = self.invoker.complete_entry(id, position, recorded, &asked).await;
            completed.map_err(refused)?;
            self.after(id).await
        })
    }

    fn replay(&self, id: InvocationId, replaying: Replaying) -> Operation<'_, ReplayView> {
        Box::pin(async move {
            let found = self.invoker.dry_run(id, replay::options(replaying)).await;
            Ok(replay::view(id, found.map_err(refused)?))
        })
    }

    fn complete_promise(
        &self,
        promise: PromiseName,
        value: Answer,
        asked: host_admin::Asked,
    ) -> Operation<'_, PromiseView> {
        Box::pin(async move {
            let value = match value {
                Answer::Json(value) => value.to_string().into_bytes(),
                Answer::Base64(text) => STANDARD
                    .decode(text)
                    .map_err(|error| OperateError::Invalid(format!("value: not base64: {error}")))?,
            };
            let id = match promise {
                PromiseName::Id(id) => id,
                PromiseName::OfWorkflow {
                    component,
                    function,
                    workflow,
                    name,
                } => self.named_promise(component, &function, workflow, &name).await?,
            };
            let asked = in_words(asked);
            let completed = self.invoker.complete_promise(id, &value, &asked).await;
            let (owner, is_new) = completed.map_err(refused)?;
            Ok(PromiseView {
                id,
                invocation: owner.invocation,
                outcome: match is_new {
                    true => PromiseOutcome::Completed,
                    false => PromiseOutcome::AlreadyCompleted,
                },
            })
        })
    }

    fn audit(&self, filter: AuditFilter) -> Operation<'_, AuditView> {
        Box::pin(async move {
            let limit = filter.limit.unwrap_or(20);
            // One more than asked for tells whether there is a next page.
            let stored = host_store::AuditFilter {
                invocation: filter.invocation,
                component: filter.component,
                limit: limit + 1,
                cursor: filter.cursor,
            };
            let mut said = self.store.audit(&stored).await.map_err(unavailable)?;
            let more = said.len() > limit as usize;
            said.truncate(limit as usize);
            Ok(AuditView {
                next_cursor: said.last().filter(|_| more).map(|said| said.id),
                audit: said.into_iter().map(said_view).collect(),
            })
        })
    }

    fn dead_letters(&self, filter: DeadLetterFilter) -> Operation<'_, DeadLettersView> {
        Box::pin(self.dead_letter_views(filter))
    }

    fn settle(&self, verb: DeadLetterVerb, id: InvocationId, asked: host_admin::Asked) -> Operation<'_, SettledView> {
        Box::pin(self.settle_dead_letter(verb, id, asked))
    }

    fn drop_retired(
        &self,
        component: ComponentId,
        subscription: String,
        asked: host_admin::Asked,
    ) -> Operation<'_, u64> {
        Box::pin(async move {
            let dropping = self
                .store
                .drop_retired(&component, &subscription, &asked.by, &asked.reason);
            dropping.await.map_err(unavailable)
        })
    }

    fn nodes(&self) -> Operation<'_, Vec<NodeView>> {
        Box::pin(async move {
            let nodes = self.store.nodes().await.map_err(unavailable)?;
            let view = |row: host_store::NodeRow| NodeView {
                id: row.node,
                name: row.name,
                status: match (row.gone, row.silent_ms > i64::from(row.lease_ms), row.draining) {
                    (true, _, _) => NodeStatus::Gone,
                    (false, true, _) => NodeStatus::Expired,
                    (false, false, true) => NodeStatus::Draining,
                    (false, false, false) => NodeStatus::Alive,
                },
                started_at: Timestamp::from_unix_ms(row.started_ms),
                silent_ms: row.silent_ms.unsigned_abs(),
                lease_ms: u64::from(row.lease_ms.unsigned_abs()),
            };
            Ok(nodes.into_iter().map(view).collect())
        })
    }
}

impl Operator {
    async fn after(&self, id: InvocationId) -> Result<InvocationView, OperateError> {
        let row = self
            .store
            .row(id)
            .await
            .map_err(unavailable)?
            .ok_or(OperateError::NotFound(id))?;
        let workflow = self.store.workflow_of(id).await.map_err(unavailable)?;
        Ok(invocation(&row, workflow.map(|key| key.id)))
    }
}

/// Reads metadata without payloads: opens every one as an empty one.
struct Hidden;

impl Seal for Hidden {
    fn seal(&self, _: u32, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn open(&self, _: u32, _: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(vec![0])
    }
}

fn redact(entry: EntryView) -> EntryView {
    EntryView {
        answer: entry.answer.map(|_| PayloadView::Redacted { redacted: 0 }),
        ..entry
    }
}

/// What a cancellation undoes. Those that have run are the first, and each has an answer.
fn compensations(entries: &[Entry]) -> Vec<CompensationView> {
    let scope = host_journal::compensating_scope();
    let answered = entries.iter().filter(|entry| match &entry.body {
        Body::Completion { position, .. } => position.scope == scope,
        _ => false,
    });
    let run = answered.count();
    let open = host_journal::compensations(entries).unwrap_or_default();
    open.into_iter()
        .enumerate()
        .map(|(number, compensation)| CompensationView {
            position: (&compensation.position).into(),
            component: compensation.component,
            name: compensation.pushed.name,
            has_run: number < run,
        })
        .collect()
}

/// Turns entries into what an operator reads.
struct Describe<'a> {
    deployment: &'a Deployment,
    /// Of commands whose answer comes later.
    targets: HashMap<Position, String>,
    /// A person has ended it: what comes from there on undoes it.
    is_cancelled: bool,
}

impl Describe<'_> {
    fn entry(&mut self, entry: &Entry) -> EntryView {
        let mut view = EntryView::new(entry.index, EntryKind::Started);
        match &entry.body {
            Body::Started(header) => view.target = Some(format!("{}:{}", header.component, header.function)),
            Body::Fence { attempt, node, reason } => {
                view.kind = EntryKind::Fence;
                self.is_cancelled |= matches!(reason, FenceReason::Cancel(_));
                (view.attempt, view.node) = (Some(*attempt), Some(*node));
                view.reason = Some(match reason {
                    FenceReason::TakeOver => "taken over".into(),
                    FenceReason::Retry(cause) => format!("tried again: {}", cause.text),
                    FenceReason::Pause(cause) => format!("paused: {}", cause.text),
                    FenceReason::Resume => "resumed".into(),
                    FenceReason::Suspend => "suspended again".into(),
                    FenceReason::Wake => "woken".into(),
                    FenceReason::Cancel(text) => format!("cancelled: {text}"),
                    FenceReason::Answer { position, text } => format!("answered at {position} by an operator: {text}"),
                });
            }
            Body::Command {
                position,
                kind,
                target,
                answer,
                ..
            } => {
                view.kind = match kind {
                    CommandKind::Observation => EntryKind::Observation,
                    CommandKind::Transaction => EntryKind::Transaction,
                    CommandKind::Call => EntryKind::Call,
                    CommandKind::External => EntryKind::ExternalEffect,
                    CommandKind::Message => EntryKind::Message,
                    CommandKind::Wait => EntryKind::Wait,
                };
                view.position = Some(position.into());
                view.target = Some(target.clone());
                view.answer = answer.as_ref().map(|answer| self.payload(target, answer));
                if answer.is_none() {
                    self.targets.insert(position.clone(), target.clone());
                }
            }
            Body::Completion { position, answer } => {
                view.kind = EntryKind::Completion;
                view.position = Some(position.into());
                let target = self.targets.remove(position).unwrap_or_default();
                view.answer = Some(self.payload(&target, answer));
            }
            Body::Output(output) => {
                view.kind = EntryKind::Output;
                view.answer = Some(PayloadView::Redacted {
                    redacted: output.len() as u64,
                });
            }
        }
        view
    }

    fn payload(&self, target: &str, answer: &[u8]) -> PayloadView {
        match self.deployment.answer_json(target, answer) {
            Some(value) => PayloadView::Value(value),
            None => PayloadView::Redacted {
                redacted: answer.len() as u64,
            },
        }
    }
}

fn invocation(row: &InvocationRow, workflow_id: Option<String>) -> InvocationView {
    InvocationView {
        id: row.invocation,
        component: row.component.clone(),
        function: row.function.clone(),
        workflow_id,
        deployment: row.deployment,
        status: shown_status(row),
        cause: row.cause.clone(),
        attempt: row.attempt,
        failures: row.failures,
        node: row.node,
        parent: row.parent,
        created_at: Timestamp::from_unix_ms(row.created_ms),
        updated_at: Timestamp::from_unix_ms(row.updated_ms),
        ended_at: row.ended_ms.map(Timestamp::from_unix_ms),
        due_at: row.due_ms.map(Timestamp::from_unix_ms),
    }
}

fn shown_status(row: &InvocationRow) -> Status {
    match row.status {
        InvocationStatus::Running => Status::Running,
        InvocationStatus::Suspended => Status::Suspended,
        InvocationStatus::Paused => Status::Paused,
        InvocationStatus::Completed => Status::Completed,
        InvocationStatus::Failed => Status::Failed,
        InvocationStatus::Cancelled => Status::Cancelled,
    }
}

const fn stored_status(status: Status) -> InvocationStatus {
    match status {
        Status::Running => InvocationStatus::Running,
        Status::Suspended => InvocationStatus::Suspended,
        Status::Paused => InvocationStatus::Paused,
        Status::Completed => InvocationStatus::Completed,
        Status::Failed => InvocationStatus::Failed,
        Status::Cancelled => InvocationStatus::Cancelled,
    }
}

fn unavailable(error: host_store::Error) -> OperateError {
    OperateError::Unavailable(error.to_string())
}

fn refused(error: host_invoker::OperateError) -> OperateError {
    use host_invoker::OperateError as Invoker;
    match error {
        Invoker::NotFound(id) => OperateError::NotFound(id),
        Invoker::NoPromise(_) => OperateError::NoPromise(error.to_string()),
        Invoker::NoComponent(text) => OperateError::NoComponent(text),
        Invoker::NoRevision(text) => OperateError::NoRevision(text),
        Invoker::Unacknowledged(text) => OperateError::Unacknowledged(text),
        Invoker::State { .. }
        | Invoker::Differs { .. }
        | Invoker::Repeats(_)
        | Invoker::Erased
        | Invoker::Refused(_) => OperateError::Conflict(error.to_string()),
        Invoker::Unanswerable { .. } | Invoker::Malformed(_) => OperateError::Invalid(error.to_string()),
        Invoker::Store(text) => OperateError::Unavailable(text),
    }
}

fn in_words(asked: host_admin::Asked) -> host_invoker::Asked {
    let host_admin::Asked { by, reason } = asked;
    host_invoker::Asked { by, reason }
}

fn said_view(said: host_store::Said) -> SaidView {
    SaidView {
        id: said.id,
        at: Timestamp::from_unix_ms(said.said_ms),
        operator: said.operator,
        verb: said.verb,
        invocation: said.invocation,
        entry_index: said.entry_index,
        successor: said.successor,
        component: said.component,
        revision: said.revision.map(RevisionDigest),
        reason: said.reason,
        outcome: said.outcome,
    }
}
