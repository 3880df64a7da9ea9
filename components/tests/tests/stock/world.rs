//! The application of `host/guests/spin-http` in a real host, a server it may call, and a client that reads while it writes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use component_tests::{Answer, Nexus, NexusOptions, guest};
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const MANIFEST: &str = include_str!("../../../../host/guests/spin-http/spin.toml");
const GUESTS: [&str; 6] = [
    "guest-bench-stock",
    "guest-spin-caller",
    "guest-spin-http",
    "guest-spin-postgres",
    "guest-spin-store",
    "guest-wasi-http",
];
/// Of the schemas that two of them are granted.
const MIGRATIONS: [(&str, &str); 2] = [
    (
        "shelf",
        "CREATE TABLE item (name text PRIMARY KEY, quantity integer NOT NULL);",
    ),
    (
        "stock",
        include_str!("../../../../host/bench/market/migrations/stock/0001_init.sql"),
    ),
];
pub(crate) const TOKEN: &str = "a-secret-of-the-tests";

/// The application's folder: its manifest beside the components' bytes.
pub(crate) struct Application(TempDir);

impl Application {
    /// With the manifest as it is but for `change`.
    pub(crate) fn new(change: impl FnOnce(&str) -> String) -> Result<Self> {
        let folder = TempDir::new()?;
        for name in GUESTS {
            let file = format!("{}.wasm", name.replace('-', "_"));
            std::fs::copy(guest(name)?, folder.path().join(file))?;
        }
        for (schema, migration) in MIGRATIONS {
            let migrations = folder.path().join("migrations").join(schema);
            std::fs::create_dir_all(&migrations)?;
            std::fs::write(migrations.join("0001_init.sql"), migration)?;
        }
        std::fs::write(folder.path().join("spin.toml"), change(MANIFEST))?;
        Ok(Self(folder))
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.path().join("spin.toml")
    }
}

pub(crate) struct World {
    pub(crate) nexus: Nexus,
    /// Granted to those that call.
    pub(crate) peer: SocketAddr,
    _peer: JoinHandle<()>,
    _application: Application,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let application = Application::new(str::to_owned)?;
        let (peer, serving) = peer().await?;
        let nexus = Nexus::start_application(&application.manifest(), options(peer)).await?;
        Ok(Self {
            nexus,
            peer,
            _peer: serving,
            _application: application,
        })
    }

    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.nexus.restart(options(self.peer)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &str) -> Result<Answer> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.nexus.client().send_raw(method, path, None, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Result<Answer> {
        self.send(Method::POST, path, body).await
    }

    /// A POST whose body is written part by part.
    pub(crate) async fn stream(&self, path: &str) -> Result<Stream> {
        let address = self.nexus.url().trim_start_matches("http://").to_owned();
        let tcp = TcpStream::connect(&address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
        let connection = tokio::spawn(async move {
            // How it ended is seen in the answer.
            let _ = connection.await;
        });
        let (parts, written) = mpsc::channel::<Part>(1);
        let body = stream::unfold(written, async |mut written| Some((written.recv().await?, written)));
        let request = Request::post(path)
            .header("host", address)
            .body(StreamBody::new(body))?;
        let answering = tokio::spawn(async move { sender.send_request(request).await });
        Ok(Stream {
            parts: Some(parts),
            answer: Answering::Awaited(answering),
            connection,
        })
    }
}

pub(crate) fn options(peer: SocketAddr) -> NexusOptions {
    let variables = [
        ("SPIN_VARIABLE_PEER", peer.to_string()),
        ("SPIN_VARIABLE_TOKEN", TOKEN.to_owned()),
    ];
    NexusOptions::with(&variables)
}

type Part = Result<Frame<Bytes>, Infallible>;

/// A request and its answer under way.
pub(crate) struct Stream {
    parts: Option<mpsc::Sender<Part>>,
    answer: Answering,
    connection: JoinHandle<()>,
}

enum Answering {
    Awaited(JoinHandle<hyper::Result<Response<Incoming>>>),
    Body(Incoming),
}

impl Stream {
    pub(crate) async fn write(&mut self, part: &'static str) -> Result<()> {
        let parts = self.parts.as_mut().context("the request's body has ended")?;
        Ok(parts.send(Ok(Frame::data(Bytes::from_static(part.as_bytes())))).await?)
    }

    /// The request's body is complete.
    pub(crate) fn end(&mut self) {
        self.parts = None;
    }

    /// The next part of the answer; none at its end.
    pub(crate) async fn read(&mut self) -> Result<Option<String>> {
        let body = match &mut self.answer {
            Answering::Body(body) => body,
            Answering::Awaited(answering) => {
                let response = answering.await??;
                if response.status() != 200 {
                    bail!("{}", response.status());
                }
                self.answer = Answering::Body(response.into_body());
                return Box::pin(self.read()).await;
            }
        };
        match body.frame().await {
            None => Ok(None),
            Some(frame) => {
                let data = frame?.into_data().unwrap_or_default();
                Ok(Some(String::from_utf8_lossy(&data).into_owned()))
            }
        }
    }

    /// The client is gone, without a word.
    pub(crate) async fn leave(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }
}

/// A server that answers everything with the same.
async fn peer() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let answer = service_fn(|request: Request<Incoming>| async move {
                let text = format!("peer answers {} {}", request.method(), request.uri());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), answer));
        }
    });
    Ok((address, serving))
}
