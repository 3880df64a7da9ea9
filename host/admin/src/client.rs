//! The typed client of the admin server, for the command line.

use std::time::Duration;

use bytes::Bytes;
use host_types::{ComponentId, InvocationId, PromiseId};
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::audit::{AuditFilter, AuditView};
use crate::components::{
    ActivatedView, Activating, ComponentView, ComponentsView, RollingBack, UploadedView, Uploading,
};
use crate::dead_letters::{self, DeadLetterBulk, DeadLetterFilter, DeadLetterVerb, DeadLettersView, SettledView};
use crate::journal::InvocationDetail;
use crate::operate::Filter;
use crate::problem::Problem;
use crate::promise::{CompletingPromise, PromiseView};
use crate::query;
use crate::replay::{ReplayView, Replaying};
use crate::server::OPERATOR;
use crate::steer::{Bulk, BulkView, Completing, CompletingAll, Steering, Verb};
use crate::view::{InvocationView, InvocationsView, NodeView, NodesView};

/// A host that has not answered by then is stuck.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A word to ten thousand invocations is ten thousand commits.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);

/// Why there is no answer. The texts say what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be the admin server's.
    #[error("{url:?} is not the URL of an admin server; it looks like http://127.0.0.1:5006")]
    Url {
        /// What was given.
        url: String,
    },
    /// The token cannot be one.
    #[error("the admin token holds characters that a token cannot hold; copy it from the host's ready file again")]
    TokenText,
    /// The name cannot be sent.
    #[error("the operator's name holds characters that are not ASCII")]
    Name,
    /// Nobody listens there.
    #[error(
        "no host answers at http://{address}; start it with `nexus up`, or name its admin address if it is another"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or what listens there does not speak HTTP.
    #[error("what listens at http://{address} broke off; is it the admin address of a host?")]
    Broken {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("the host at http://{address} did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Where.
        address: String,
    },
    /// The host refuses the token.
    #[error("the host refuses the admin token; it makes a new one at each start and writes it to its ready file")]
    Unauthorized,
    /// The host refuses the request.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The answer is not one of this client's version.
    #[error(
        "the host at http://{address} answered {status} in a form this program does not understand; do their versions match?"
    )]
    Answer {
        /// Where.
        address: String,
        /// The HTTP status.
        status: StatusCode,
        /// What is not understood.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks the admin server of one host.
#[derive(Debug, Clone)]
pub struct AdminClient {
    /// Host and port.
    address: Authority,
    authorization: HeaderValue,
    operator: Option<HeaderValue>,
}

impl AdminClient {
    /// A client for the server at this URL. Nothing is sent yet.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        let invalid = || ClientError::Url { url: url.to_owned() };
        let parts = url.parse::<Uri>().map_err(|_| invalid())?.into_parts();
        let is_root = parts.path_and_query.is_none_or(|path| path == "/");
        let address = parts
            .authority
            .filter(|address| !address.host().is_empty() && !address.as_str().contains('@'));
        if parts.scheme != Some(Scheme::HTTP) || !is_root {
            return Err(invalid());
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ClientError::TokenText)?;
        authorization.set_sensitive(true);
        Ok(Self {
            address: address.ok_or_else(invalid)?,
            authorization,
            operator: None,
        })
    }

    /// All components of the current deployment.
    pub async fn components(&self) -> Result<Vec<ComponentView>, ClientError> {
        let ComponentsView { components } = self.ask(Method::GET, "/v1/components").await?;
        Ok(components)
    }

    /// Has the host check bytes as a revision of a component, keep them, and activate them if that is asked for.
    pub async fn upload(&self, component: &ComponentId, uploading: Uploading) -> Result<UploadedView, ClientError> {
        let path = format!("/v1/components/{}/revisions?{}", segment(component), uploading.query());
        self.answer(Method::POST, &path, uploading.wasm, LONG_TIMEOUT).await
    }

    /// Lets new invocations run on a revision.
    pub async fn activate(
        &self,
        component: &ComponentId,
        activating: &Activating,
    ) -> Result<ActivatedView, ClientError> {
        self.say(&format!("/v1/components/{}/activate", segment(component)), activating)
            .await
    }

    /// Activates what was active before.
    pub async fn rollback(
        &self,
        component: &ComponentId,
        rolling_back: &RollingBack,
    ) -> Result<ActivatedView, ClientError> {
        self.say(&format!("/v1/components/{}/rollback", segment(component)), rolling_back)
            .await
    }

    /// A page of invocations, newest first.
    pub async fn invocations(&self, filter: &Filter) -> Result<InvocationsView, ClientError> {
        self.ask(Method::GET, &format!("/v1/invocations?{}", query::text(filter)))
            .await
    }

    /// An invocation with its journal.
    pub async fn invocation(&self, invocation: InvocationId) -> Result<InvocationDetail, ClientError> {
        self.ask(Method::GET, &format!("/v1/invocations/{invocation}")).await
    }

    /// This client in the name of this person, whom the audit log names.
    pub fn named(mut self, name: &str) -> Result<Self, ClientError> {
        self.operator = Some(HeaderValue::try_from(name).map_err(|_| ClientError::Name)?);
        Ok(self)
    }

    /// Does it to one invocation. Answers with it as it stands then: of a restart, with the new one.
    pub async fn steer(
        &self,
        verb: Verb,
        invocation: InvocationId,
        steering: &Steering,
    ) -> Result<InvocationView, ClientError> {
        self.say(&format!("/v1/invocations/{invocation}/{verb}"), steering)
            .await
    }

    /// Does it to all that the filter chooses, or counts them.
    pub async fn steer_all(&self, verb: Verb, bulk: &Bulk) -> Result<BulkView, ClientError> {
        self.say(&format!("/v1/invocations/{verb}"), bulk).await
    }

    /// Answers a command of a paused invocation.
    pub async fn complete_entry(
        &self,
        invocation: InvocationId,
        completing: &Completing,
    ) -> Result<InvocationView, ClientError> {
        self.say(&format!("/v1/invocations/{invocation}/complete-entry"), completing)
            .await
    }

    /// Answers the one command of a target that each of those that the filter chooses has, or counts them.
    pub async fn complete_entries(&self, completing: &CompletingAll) -> Result<BulkView, ClientError> {
        self.say("/v1/invocations/complete-entry", completing).await
    }

    /// Runs an invocation once more from its journal, without any effect.
    pub async fn replay(&self, invocation: InvocationId, replaying: Replaying) -> Result<ReplayView, ClientError> {
        let path = format!("/v1/invocations/{invocation}/replay?{}", replaying.query());
        self.answer(Method::POST, &path, replaying.wasm, LONG_TIMEOUT).await
    }

    /// Completes the promise of this id, or the one that the body names by its workflow.
    pub async fn complete_promise(
        &self,
        promise: Option<PromiseId>,
        completing: &CompletingPromise,
    ) -> Result<PromiseView, ClientError> {
        match promise {
            Some(id) => self.say(&format!("/v1/promises/{id}"), completing).await,
            None => self.say("/v1/promises", completing).await,
        }
    }

    /// A page of what operators said.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<AuditView, ClientError> {
        self.ask(Method::GET, &format!("/v1/audit?{}", query::audit_text(filter)))
            .await
    }

    /// A page of dead letters, newest first.
    pub async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<DeadLettersView, ClientError> {
        self.ask(Method::GET, &format!("/v1/dead-letters?{}", dead_letters::text(filter)))
            .await
    }

    /// Replays or drops one dead letter.
    pub async fn settle(
        &self,
        verb: DeadLetterVerb,
        id: InvocationId,
        reason: &str,
    ) -> Result<SettledView, ClientError> {
        let body = DeadLetterBulk {
            reason: reason.to_owned(),
            ..DeadLetterBulk::default()
        };
        self.say(&format!("/v1/dead-letters/{id}/{verb}"), &body).await
    }

    /// Replays or drops all that are chosen, or counts them.
    pub async fn settle_all(&self, verb: DeadLetterVerb, bulk: &DeadLetterBulk) -> Result<BulkView, ClientError> {
        self.say(&format!("/v1/dead-letters/{verb}"), bulk).await
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, ClientError> {
        let NodesView { nodes } = self.ask(Method::GET, "/v1/nodes").await?;
        Ok(nodes)
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        self.answer(method, path, Bytes::new(), TIMEOUT).await
    }

    async fn say<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("what an operator says has text keys only");
        self.answer(Method::POST, path, body.into(), LONG_TIMEOUT).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(timeout, self.exchange(method, path, body)).await;
        let (status, body) = answer.map_err(|_| ClientError::Timeout {
            address: self.address.to_string(),
        })??;
        let not_understood = |source| ClientError::Answer {
            address: self.address.to_string(),
            status,
            source,
        };
        match status {
            _ if status.is_success() => serde_json::from_slice(&body).map_err(not_understood),
            StatusCode::UNAUTHORIZED => Err(ClientError::Unauthorized),
            _ => Err(ClientError::Refused(
                serde_json::from_slice(&body).map_err(not_understood)?,
            )),
        }
    }

    /// One request on a connection of its own: a command asks once or twice.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let address = || self.address.to_string();
        let broken = |source| ClientError::Broken {
            address: address(),
            source,
        };
        // An IPv6 address is in brackets in a URL and without them everywhere else.
        let host = self.address.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.address.port_u16().unwrap_or(80)))
            .await
            .map_err(|source| ClientError::Unreachable {
                address: address(),
                source,
            })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.as_str())
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(name) = &self.operator {
            request = request.header(OPERATOR, name.clone());
        }
        let request = request
            .body(Full::new(body))
            .expect("paths are made of ids and encodings");
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection moves only while it is polled; it goes with this future, whatever ends first.
        let mut exchange = std::pin::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer.map_err(broken),
            // Its error, if any, is told to the exchange as well, in more useful words.
            _ = &mut connection => exchange.await.map_err(broken),
        }
    }
}

/// A component's name in a path. Names that need to be encoded are no component's, which is for the host to say.
fn segment(component: &ComponentId) -> String {
    let bytes = component.as_str().bytes();
    let encoded = bytes.map(|byte| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
