//! The token, the routes, the answers.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use host_http::{ConnectionLimits, serve};
use host_types::{ComponentId, InvocationId};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LINK};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

use crate::audit::AuditFilter;
use crate::bulk::{self, Word};
use crate::components::{Activating, ComponentsView, RollingBack, Uploading};
use crate::dead_letters::{self, DeadLetterBulk, DeadLetterFilter, DeadLetterVerb};
use crate::operate::{Filter, Operate};
use crate::problem::Refusal;
use crate::promise::CompletingPromise;
use crate::query;
use crate::replay::Replaying;
use crate::steer::{self, Bulk, Completing, CompletingAll, Manner, Steering, Verb};
use crate::view::{InvocationsView, NodesView};

/// Operators are few; more than this is a mistake or an attack.
const MAX_CONNECTIONS: usize = 64;

/// An entry of a mebibyte as base64, and what is around it.
const MAX_BODY_BYTES: usize = 2 << 20;
/// A component, with its debug information.
const MAX_WASM_BYTES: usize = 64 << 20;
/// Who says it, for the audit log.
pub(crate) const OPERATOR: &str = "x-operator";

/// The admin HTTP server.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    token: String,
    operate: Arc<dyn Operate>,
}

impl Server {
    /// Serves nothing yet. With an empty token it never will: nobody's token is right.
    pub fn new(listener: TcpListener, token: String, operate: Arc<dyn Operate>) -> Self {
        Self {
            listener,
            shared: Arc::new(Shared { token, operate }),
        }
    }

    /// Serves until `shutdown` ends, then answers what has begun.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut limits = ConnectionLimits::default();
        limits.max_connections = MAX_CONNECTIONS;
        let Self { listener, shared } = self;
        let service = |_: SocketAddr| {
            let shared = Arc::clone(&shared);
            service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(shared.respond(request).await) }
            })
        };
        let refuse = |status| Refusal::Head { status }.into_bytes();
        serve(listener, &limits, shutdown, refuse, service).await;
    }
}

/// What is asked for.
#[derive(Debug)]
enum Asked {
    Components,
    Upload(ComponentId, Uploading),
    Activate(ComponentId),
    Rollback(ComponentId),
    List(Filter),
    Show(InvocationId),
    Steer(Verb, InvocationId),
    Bulk(Verb),
    CompleteEntry(InvocationId),
    CompleteEntries,
    Replay(InvocationId, Replaying),
    CompletePromise(Option<String>),
    Audit(AuditFilter),
    DeadLetters(DeadLetterFilter),
    Settle(DeadLetterVerb, InvocationId),
    SettleAll(DeadLetterVerb),
    Nodes,
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let answer = match self.asked(&request) {
            Ok(asked) => self.answer(asked, request).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = answer.unwrap_or_else(|refusal| {
            tracing::debug!(%refusal, path, "an operator's request is refused");
            refusal.into_response()
        });
        // Journals are nothing for a cache on the way.
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn asked(&self, request: &Request<Incoming>) -> Result<Asked, Refusal> {
        // First of all: who has no token learns nothing about what is here.
        if !self.is_authorized(request.headers()) {
            return Err(Refusal::Token);
        }
        let path = request.uri().path();
        let unknown = || Refusal::Path { path: path.to_owned() };
        let rest = path.strip_prefix("/v1/").ok_or_else(unknown)?;
        let segments: Vec<_> = rest.split('/').collect();
        let allow = match segments[..] {
            ["components" | "invocations" | "nodes" | "audit" | "dead-letters"] => "GET",
            ["components", _, "revisions" | "activate" | "rollback"] => "POST",
            ["dead-letters", verb] | ["dead-letters", _, verb] if verb.parse::<DeadLetterVerb>().is_ok() => "POST",
            ["invocations", "complete-entry"] => "POST",
            ["invocations", verb] if verb.parse::<Verb>().is_ok() => "POST",
            ["invocations", _] => "GET",
            ["invocations", _, "complete-entry" | "replay"] => "POST",
            ["invocations", _, verb] if verb.parse::<Verb>().is_ok() => "POST",
            ["promises"] | ["promises", _] => "POST",
            _ => return Err(unknown()),
        };
        if request.method() != allow.parse::<Method>().unwrap_or_default() {
            return Err(Refusal::Method {
                method: request.method().to_string(),
                allow,
            });
        }
        Ok(match segments[..] {
            ["components"] => Asked::Components,
            ["components", id, "revisions"] => {
                let uploading = Uploading::new(request.uri().query().unwrap_or_default())?;
                Asked::Upload(id.into(), uploading)
            }
            ["components", id, "activate"] => Asked::Activate(id.into()),
            ["components", id, _] => Asked::Rollback(id.into()),
            ["nodes"] => Asked::Nodes,
            ["invocations"] => Asked::List(query::filter(request.uri().query().unwrap_or_default())?),
            ["audit"] => Asked::Audit(query::audit(request.uri().query().unwrap_or_default())?),
            ["dead-letters"] => Asked::DeadLetters(dead_letters::filter(request.uri().query().unwrap_or_default())?),
            ["dead-letters", verb] => Asked::SettleAll(verb.parse().map_err(|()| unknown())?),
            ["dead-letters", id, verb] => Asked::Settle(verb.parse().map_err(|()| unknown())?, invocation(id)?),
            ["invocations", "complete-entry"] => Asked::CompleteEntries,
            ["invocations", word] => match word.parse() {
                Ok(verb) => Asked::Bulk(verb),
                Err(()) => Asked::Show(invocation(word)?),
            },
            ["invocations", id, "complete-entry"] => Asked::CompleteEntry(invocation(id)?),
            ["invocations", id, "replay"] => {
                let replaying = Replaying::new(request.uri().query().unwrap_or_default())?;
                Asked::Replay(invocation(id)?, replaying)
            }
            ["promises"] => Asked::CompletePromise(None),
            ["promises", id] => Asked::CompletePromise(Some(id.to_owned())),
            ["invocations", id, verb] => Asked::Steer(verb.parse().map_err(|()| unknown())?, invocation(id)?),
            _ => return Err(unknown()),
        })
    }

    /// Compares in constant time: how much of a guess is right must not show in how long it takes to refuse it.
    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let sent = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let is_equal = sent.is_some_and(|sent| sent.ct_eq(self.token.as_bytes()).into());
        is_equal && !self.token.is_empty()
    }

    async fn answer(&self, asked: Asked, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let operate = &self.operate;
        Ok(match asked {
            Asked::Components => json(&ComponentsView {
                components: operate.components().await?,
            }),
            Asked::Upload(component, uploading) => {
                let name = name(request.headers())?;
                let asked = steer::Asked::new(name.as_deref(), uploading.reason.clone())?;
                let wasm = read(request.into_body(), MAX_WASM_BYTES).await?;
                if wasm.is_empty() {
                    return Err(Refusal::Parameter {
                        name: "body".to_owned(),
                        detail: "is empty: send a component in WebAssembly's binary format".to_owned(),
                    });
                }
                let uploading = Uploading { wasm, ..uploading };
                json(&operate.upload(component, uploading, asked).await?)
            }
            Asked::Activate(component) => {
                let (name, bytes) = said(request).await?;
                let Activating { digest, reason } = steer::body(&bytes)?;
                let asked = steer::Asked::new(name.as_deref(), reason)?;
                json(&operate.activate(component, digest.0, asked).await?)
            }
            Asked::Rollback(component) => {
                let (name, bytes) = said(request).await?;
                let RollingBack { reason } = steer::body(&bytes)?;
                let asked = steer::Asked::new(name.as_deref(), reason)?;
                json(&operate.rollback(component, asked).await?)
            }
            Asked::List(filter) => {
                let page = operate.list(filter.clone()).await?;
                let mut response = json(&page);
                if let Some(link) = next(&page, filter) {
                    response.headers_mut().insert(LINK, link);
                }
                response
            }
            Asked::Show(invocation) => json(&operate.show(invocation).await?),
            Asked::Steer(verb, invocation) => {
                let (name, bytes) = said(request).await?;
                let Steering { reason, force, to } = steer::body(&bytes)?;
                let manner = Manner::new(verb, force, to)?;
                let asked = steer::Asked::new(name.as_deref(), reason)?;
                let response = json(&operate.steer(verb, invocation, manner, asked).await?);
                tracing::info!(invocation.id = %invocation, %verb, "an operator has steered an invocation");
                response
            }
            Asked::Bulk(verb) => {
                let (name, bytes) = said(request).await?;
                let bulk: Bulk = steer::body(&bytes)?;
                let filter = bulk.filter()?;
                let manner = Manner::new(verb, bulk.force, bulk.to)?;
                let asked = steer::Asked::new(name.as_deref(), bulk.reason.clone())?;
                let view = bulk::say(operate, Word::Steer(verb, manner), bulk.dry_run, filter, &asked).await?;
                tracing::info!(%verb, matched = view.matched, done = view.done, "an operator has steered invocations");
                json(&view)
            }
            Asked::CompleteEntry(invocation) => {
                let (name, bytes) = said(request).await?;
                let completing: Completing = steer::body(&bytes)?;
                let position = completing.at()?;
                let asked = steer::Asked::new(name.as_deref(), completing.reason)?;
                let view = operate
                    .complete_entry(invocation, position, completing.answer, asked)
                    .await?;
                tracing::info!(invocation.id = %invocation, "an operator has answered an entry");
                json(&view)
            }
            Asked::CompleteEntries => {
                let (name, bytes) = said(request).await?;
                let completing: CompletingAll = steer::body(&bytes)?;
                let filter = completing.filter()?;
                let CompletingAll { chosen, target, answer } = &completing;
                let asked = steer::Asked::new(name.as_deref(), chosen.reason.clone())?;
                let view = bulk::say(operate, Word::Answer { target, answer }, chosen.dry_run, filter, &asked).await?;
                tracing::info!(
                    matched = view.matched,
                    done = view.done,
                    "an operator has answered entries"
                );
                json(&view)
            }
            Asked::Replay(invocation, replaying) => {
                let wasm = read(request.into_body(), MAX_WASM_BYTES).await?;
                json(&operate.replay(invocation, Replaying { wasm, ..replaying }).await?)
            }
            Asked::CompletePromise(id) => {
                let (name, bytes) = said(request).await?;
                let completing: CompletingPromise = steer::body(&bytes)?;
                let promise = match id {
                    Some(id) => completing.of_id(&id)?,
                    None => completing.of_workflow()?,
                };
                let asked = steer::Asked::new(name.as_deref(), completing.reason)?;
                let view = operate.complete_promise(promise, completing.value, asked).await?;
                tracing::info!(promise.id = %view.id, outcome = ?view.outcome, "an operator has completed a promise");
                json(&view)
            }
            Asked::Audit(filter) => json(&operate.audit(filter).await?),
            Asked::DeadLetters(filter) => json(&operate.dead_letters(filter).await?),
            Asked::Settle(verb, id) => {
                let (name, bytes) = said(request).await?;
                let DeadLetterBulk { reason, .. } = steer::body(&bytes)?;
                let asked = steer::Asked::new(name.as_deref(), reason)?;
                let view = operate.settle(verb, id, asked).await?;
                tracing::info!(invocation.id = %id, %verb, "an operator has settled a dead letter");
                json(&view)
            }
            Asked::SettleAll(verb) => {
                let (name, bytes) = said(request).await?;
                let bulk: DeadLetterBulk = steer::body(&bytes)?;
                let asked = steer::Asked::new(name.as_deref(), bulk.reason.clone())?;
                let view = dead_letters::say(operate, verb, &bulk, &asked).await?;
                tracing::info!(%verb, matched = view.matched, done = view.done, "an operator has settled dead letters");
                json(&view)
            }
            Asked::Nodes => json(&NodesView {
                nodes: operate.nodes().await?,
            }),
        })
    }
}

/// Who says it, and what comes with it.
async fn said(request: Request<Incoming>) -> Result<(Option<String>, Bytes), Refusal> {
    let name = name(request.headers())?;
    Ok((name, read(request.into_body(), MAX_BODY_BYTES).await?))
}

fn name(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(name) = headers.get(OPERATOR) else {
        return Ok(None);
    };
    let name = name.to_str().map_err(|_| Refusal::Parameter {
        name: OPERATOR.to_owned(),
        detail: "holds characters that are not ASCII".to_owned(),
    })?;
    Ok(Some(name.to_owned()))
}

async fn read(body: Incoming, limit_bytes: usize) -> Result<Bytes, Refusal> {
    let read = Limited::new(body, limit_bytes).collect().await;
    Ok(read.map_err(|_| Refusal::Body { limit_bytes })?.to_bytes())
}

fn invocation(text: &str) -> Result<InvocationId, Refusal> {
    let invalid = |error: host_types::ParseIdError| Refusal::Parameter {
        name: "id".to_owned(),
        detail: error.to_string(),
    };
    text.parse().map_err(invalid)
}

/// Where the next page is, relative to this one.
fn next(page: &InvocationsView, filter: Filter) -> Option<HeaderValue> {
    let following = Filter {
        cursor: Some(page.next_cursor?),
        ..filter
    };
    HeaderValue::try_from(format!("</v1/invocations?{}>; rel=\"next\"", query::text(&following))).ok()
}

fn json(view: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(view).expect("views have text keys only, and moments that RFC 3339 can write");
    let mut response = Response::new(Full::new(body.into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
