//! An admin server on a free port, whose `Operate` knows a few invocations and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use host_admin::{
    ActivatedView, Asked, AuditFilter, AuditView, ComponentView, DeadLetterFilter, DeadLetterVerb, DeadLetterView,
    DeadLettersView, EntryKind, EntryView, Filter, InvocationDetail, InvocationView, InvocationsView, Manner,
    NodeStatus, NodeView, Operate, OperateError, Operation, PayloadView, PositionView, ReplayOutcome, ReplayView,
    Replaying, RetiredView, RevisionDigest, SaidView, Server, SettledView, Source, Status, Timestamp, UploadedView,
    Uploading, Verb,
};
use host_types::{ComponentId, DeploymentNumber, Digest, EventId, InvocationId, NodeId, Position, Scope};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "5f1c0a6e2b7d4c93";

/// The invocation that can be paused and resumed.
pub(crate) fn open() -> InvocationId {
    InvocationId::new(1_700_000_000_000, [1; 10])
}

/// One that has ended.
pub(crate) fn ended() -> InvocationId {
    InvocationId::new(1_700_000_000_001, [2; 10])
}

/// One that does not exist.
pub(crate) fn unknown() -> InvocationId {
    InvocationId::new(1_700_000_000_002, [3; 10])
}

/// Where the next page begins.
pub(crate) fn cursor() -> InvocationId {
    InvocationId::new(1_600_000_000_000, [4; 10])
}

pub(crate) fn node() -> NodeId {
    NodeId::new(1_700_000_000_000, [5; 10])
}

pub(crate) fn invocation(id: InvocationId, status: Status) -> InvocationView {
    InvocationView {
        id,
        component: "order".into(),
        function: "nexus:http/handler.handle".into(),
        workflow_id: None,
        deployment: DeploymentNumber(3),
        status,
        cause: (status == Status::Paused).then(|| "paused by an operator".into()),
        attempt: 1,
        failures: 0,
        node: Some(node()),
        parent: None,
        created_at: Timestamp::from_unix_ms(1_700_000_000_000),
        updated_at: Timestamp::from_unix_ms(1_700_000_000_250),
        ended_at: None,
        due_at: None,
    }
}

pub(crate) fn detail() -> InvocationDetail {
    let at = |scope: &Scope, number| {
        Some(
            (&Position {
                scope: scope.clone(),
                number,
            })
                .into(),
        )
    };
    let root = Scope::root();
    let journal = vec![
        EntryView {
            target: Some("order:nexus:http/handler.handle".into()),
            ..EntryView::new(0, EntryKind::Started)
        },
        EntryView {
            position: at(&root, 0),
            target: Some("inventory:shop:inventory/stock@0.1.0.reserve".into()),
            ..EntryView::new(1, EntryKind::Call)
        },
        EntryView {
            position: at(&root.child(0), 0),
            target: Some("nexus:sql/sql.transaction".into()),
            answer: Some(PayloadView::Redacted { redacted: 42 }),
            ..EntryView::new(2, EntryKind::Transaction)
        },
        EntryView {
            attempt: Some(1),
            node: Some(node()),
            reason: Some("take-over".into()),
            ..EntryView::new(3, EntryKind::Fence)
        },
        EntryView {
            position: at(&root, 0),
            answer: Some(PayloadView::Value(serde_json::json!({ "held": 2 }))),
            ..EntryView::new(4, EntryKind::Completion)
        },
        EntryView {
            position: at(&root, 1),
            target: Some("bank:shop:payment/provider@0.1.0.charge".into()),
            ..EntryView::new(5, EntryKind::Call)
        },
    ];
    InvocationDetail::new(invocation(open(), Status::Running), journal, Vec::new())
}

pub(crate) fn component() -> ComponentView {
    ComponentView {
        id: ComponentId::from("order"),
        description: "Orders".into(),
        revision: RevisionDigest(Digest::of(b"order")),
        deployment: DeploymentNumber(3),
        schema: Some("order".into()),
        routes: vec!["/api/v1/order/...".into()],
        source: Source::Operator,
        since: Timestamp::from_unix_ms(1_700_000_000_000),
        file: RevisionDigest(Digest::of(b"file")),
        back_to: vec![RevisionDigest(Digest::of(b"file"))],
    }
}

pub(crate) fn node_view() -> NodeView {
    NodeView {
        id: node(),
        name: "host-a".into(),
        status: NodeStatus::Alive,
        started_at: Timestamp::from_unix_ms(1_700_000_000_000),
        silent_ms: 12,
        lease_ms: 5_000,
    }
}

pub(crate) fn dead_letter() -> DeadLetterView {
    DeadLetterView {
        id: open(),
        component: "order".into(),
        subscription: "placed".into(),
        event: EventId::new(1_700_000_000_000, [6; 10]),
        topic: "order.placed".into(),
        key: "7".into(),
        source: "cart".into(),
        published_at: Timestamp::from_unix_ms(1_700_000_000_000),
        dead_since: Timestamp::from_unix_ms(1_700_000_000_250),
        cause: "order rejects the event: never".into(),
        blocks: true,
        behind: 3,
    }
}

/// What waits for subscriptions that are in no manifest, for whoever asks for those on the first page. Of the broken one nothing can be dropped.
fn retired(filter: &DeadLetterFilter) -> Vec<RetiredView> {
    let is_asked_for = filter.cursor.is_none() && filter.subscription.as_deref() == Some("gone");
    let of = |component: &str| RetiredView {
        component: component.into(),
        subscription: "gone".into(),
        retired_at: Timestamp::from_unix_ms(1_700_000_000_000),
        waiting: 7,
    };
    match is_asked_for {
        true => vec![of("broken"), of("order")],
        false => Vec::new(),
    }
}

pub(crate) fn said() -> SaidView {
    SaidView {
        id: 9,
        at: Timestamp::from_unix_ms(1_700_000_000_000),
        operator: "ann".into(),
        verb: "restart".into(),
        invocation: Some(ended()),
        entry_index: 0,
        successor: Some(open()),
        component: None,
        revision: None,
        reason: "the provider is back".into(),
        outcome: "running".into(),
    }
}

pub(crate) fn activated(component: ComponentId, revision: RevisionDigest) -> ActivatedView {
    ActivatedView {
        component,
        revision,
        deployment: DeploymentNumber(4),
        was_active: false,
    }
}

pub(crate) fn replayed() -> ReplayView {
    ReplayView {
        invocation: open(),
        deployment: DeploymentNumber(3),
        replaced: None,
        entries: 7,
        compared: 4,
        same: false,
        outcome: ReplayOutcome::Differs {
            position: Some(PositionView {
                scope: "/1".into(),
                n: 0,
            }),
            recorded: "observation a".into(),
            asked: "observation b".into(),
        },
    }
}

/// The database is away while this component is asked for.
pub(crate) const BROKEN: &str = "broken";

/// It goes away after the first page of what is asked for by this name.
pub(crate) const TORN: &str = "torn";

/// It goes away within the first page of what is asked for by this name, before the word to the second one of it.
pub(crate) const TORN_WITHIN: &str = "torn-within";

fn away() -> OperateError {
    OperateError::Unavailable("the database does not answer".into())
}

#[derive(Default)]
struct Double {
    filters: Arc<Mutex<Vec<Filter>>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn stands(&self, id: InvocationId, status: Status) -> Result<InvocationView, OperateError> {
        match id {
            _ if id == open() => Ok(invocation(id, status)),
            _ if id == ended() => Err(OperateError::Conflict("the invocation is completed".into())),
            _ => Err(OperateError::NotFound(id)),
        }
    }
}

impl Operate for Double {
    fn components(&self) -> Operation<'_, Vec<ComponentView>> {
        Box::pin(async { Ok(vec![component()]) })
    }

    fn list(&self, filter: Filter) -> Operation<'_, InvocationsView> {
        Box::pin(async move {
            self.filters.lock().unwrap().push(filter.clone());
            match filter.component.as_ref().map(ComponentId::as_str) {
                Some(BROKEN) => return Err(away()),
                Some(TORN) if filter.cursor.is_some() => return Err(away()),
                _ => {}
            }
            let next_cursor = filter.cursor.is_none().then(cursor);
            let status = match filter.status {
                Some(Status::Paused) => Status::Paused,
                _ => Status::Running,
            };
            Ok(InvocationsView {
                invocations: vec![invocation(open(), status)],
                next_cursor,
            })
        })
    }

    fn show(&self, id: InvocationId) -> Operation<'_, InvocationDetail> {
        Box::pin(async move {
            if id == open() {
                Ok(detail())
            } else {
                Err(OperateError::NotFound(id))
            }
        })
    }

    fn upload(&self, component: ComponentId, uploading: Uploading, asked: Asked) -> Operation<'_, UploadedView> {
        Box::pin(async move {
            let Uploading {
                wasm,
                activate,
                reason: _,
            } = uploading;
            let said = format!(
                "upload {} bytes for {component}, {activate}, by {} because {:?}",
                wasm.len(),
                asked.by,
                asked.reason
            );
            self.said.lock().unwrap().push(said);
            if wasm.starts_with(b"garbage") {
                let text = format!("these bytes do not run in the place of {component}");
                return Err(OperateError::Invalid(text));
            }
            let revision = RevisionDigest(Digest::of(&wasm));
            let activated = activate.then(|| activated(component.clone(), revision));
            Ok(UploadedView {
                component,
                revision,
                is_new: true,
                activated,
            })
        })
    }

    fn activate(&self, component: ComponentId, revision: Digest, asked: Asked) -> Operation<'_, ActivatedView> {
        Box::pin(async move {
            let said = format!("activate {component} by {} because {:?}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            match component.as_str() {
                "order" if revision == Digest::of(b"unknown") => {
                    Err(OperateError::NoRevision(format!("there is no revision {revision}")))
                }
                "order" => Ok(activated(component, RevisionDigest(revision))),
                "slow" => Err(OperateError::Unacknowledged("host-b has said nothing yet".into())),
                _ => Err(OperateError::NoComponent(format!("there is no component {component}"))),
            }
        })
    }

    fn rollback(&self, component: ComponentId, asked: Asked) -> Operation<'_, ActivatedView> {
        Box::pin(async move {
            let said = format!("rollback {component} by {} because {:?}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            Ok(activated(component, RevisionDigest(Digest::of(b"file"))))
        })
    }

    fn steer(&self, verb: Verb, id: InvocationId, manner: Manner, asked: Asked) -> Operation<'_, InvocationView> {
        Box::pin(async move {
            let Manner { force, to } = manner;
            let to = to.map_or_else(String::new, |to| format!(" to {to}"));
            let said = format!("{verb}{to} {force} by {} because {:?}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            let status = match verb {
                Verb::Pause => Status::Paused,
                Verb::Resume | Verb::Restart | Verb::Move => Status::Running,
                Verb::Cancel => Status::Cancelled,
            };
            self.stands(id, status)
        })
    }

    fn complete_entry(
        &self,
        id: InvocationId,
        position: Position,
        answer: host_admin::Answer,
        asked: Asked,
    ) -> Operation<'_, InvocationView> {
        Box::pin(async move {
            let said = format!("{position} is {answer:?} by {} because {:?}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            self.stands(id, Status::Paused)
        })
    }

    fn replay(&self, id: InvocationId, replaying: Replaying) -> Operation<'_, ReplayView> {
        Box::pin(async move {
            let Replaying {
                pinned,
                component,
                wasm,
            } = replaying;
            let said = format!("replay {pinned} {component:?} {} bytes", wasm.len());
            self.said.lock().unwrap().push(said);
            self.stands(id, Status::Paused).map(|_| replayed())
        })
    }

    fn complete_promise(
        &self,
        promise: host_admin::PromiseName,
        value: host_admin::Answer,
        asked: Asked,
    ) -> Operation<'_, host_admin::PromiseView> {
        Box::pin(async move {
            let said = format!("{promise:?} is {value:?} by {} because {:?}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            match promise {
                host_admin::PromiseName::Id(id) => Ok(host_admin::PromiseView {
                    id,
                    invocation: open(),
                    outcome: host_admin::PromiseOutcome::Completed,
                }),
                host_admin::PromiseName::OfWorkflow { workflow, .. } => {
                    Err(OperateError::NoPromise(format!("there is no workflow {workflow:?}")))
                }
            }
        })
    }

    fn audit(&self, filter: AuditFilter) -> Operation<'_, AuditView> {
        Box::pin(async move {
            Ok(AuditView {
                audit: vec![said()],
                next_cursor: filter.cursor.is_none().then_some(7),
            })
        })
    }

    fn dead_letters(&self, filter: DeadLetterFilter) -> Operation<'_, DeadLettersView> {
        Box::pin(async move {
            let next_cursor = filter.cursor.is_none().then(cursor);
            let subscription = filter.subscription.as_deref();
            match subscription {
                Some(BROKEN) => return Err(away()),
                Some(TORN) if filter.cursor.is_some() => return Err(away()),
                _ => {}
            }
            let is_asked_for = subscription.is_none_or(|name| ["placed", TORN, TORN_WITHIN].contains(&name));
            let mut dead_letters: Vec<_> = is_asked_for.then(dead_letter).into_iter().collect();
            if subscription == Some(TORN_WITHIN) {
                let id = cursor();
                dead_letters.push(DeadLetterView { id, ..dead_letter() });
            }
            Ok(DeadLettersView {
                dead_letters,
                next_cursor: next_cursor.filter(|_| is_asked_for),
                retired: retired(&filter),
            })
        })
    }

    fn drop_retired(&self, component: ComponentId, subscription: String, asked: Asked) -> Operation<'_, u64> {
        Box::pin(async move {
            if component == "broken".into() {
                return Err(OperateError::Unavailable("the database is away".into()));
            }
            let said = format!("drop {component}/{subscription} by {}: {}", asked.by, asked.reason);
            self.said.lock().unwrap().push(said);
            Ok(7)
        })
    }

    fn settle(&self, verb: DeadLetterVerb, id: InvocationId, asked: Asked) -> Operation<'_, SettledView> {
        Box::pin(async move {
            if id == cursor() {
                return Err(away());
            }
            if id != open() {
                return Err(OperateError::Conflict(format!("{id} is no dead letter")));
            }
            let outcome = format!("{verb} by {}: {}", asked.by, asked.reason);
            Ok(SettledView { id, outcome })
        })
    }

    fn nodes(&self) -> Operation<'_, Vec<NodeView>> {
        Box::pin(async { Ok(vec![node_view()]) })
    }
}

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    filters: Arc<Mutex<Vec<Filter>>>,
    said: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
}

/// A response, in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Host {
    pub(crate) async fn start(token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let double = Double::default();
        let filters = Arc::clone(&double.filters);
        let said = Arc::clone(&double.said);
        let server = Server::new(listener, token.to_owned(), Arc::new(double));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            filters,
            said,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// What lists were asked for so far.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        self.filters.lock().unwrap().clone()
    }

    /// What operators said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    /// A request with the right token.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_with(method, path, Some(&format!("Bearer {TOKEN}"))).await
    }

    pub(crate) async fn ask_with(&self, method: &str, path: &str, authorization: Option<&str>) -> Answer {
        self.send(method, path, authorization, None, "").await
    }

    /// Says something, with the right token, under this name.
    pub(crate) async fn say(&self, path: &str, name: Option<&str>, body: &str) -> Answer {
        self.send("POST", path, Some(&format!("Bearer {TOKEN}")), name, body)
            .await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        name: Option<&str>,
        body: &str,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin.test");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if let Some(name) = name {
            request = request.header("x-operator", name);
        }
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        assert_eq!(parts.headers["cache-control"], "no-store");
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It is this problem, and says so in its type.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str, detail: &str) {
        let problem = self.json();
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, Some("application/problem+json"))
        );
        assert_eq!(
            (&problem["status"], &problem["code"], &problem["detail"]),
            (&status.into(), &code.into(), &detail.into())
        );
        assert_eq!(problem["type"], format!("urn:nexus:problem:{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
}
