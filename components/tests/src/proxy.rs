//! Stands between a host and its database, and cuts a connection right before or right after a commit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_postgres::config::Host;

use crate::wire::{Commit, Messages, Requests};

/// What is done to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not reach the server: both sides of the connection are closed instead.
    Before,
    /// The server has answered it, and both sides are closed before the answer reaches the host.
    After,
    /// It is kept back for as long as the host lives, and does not reach the server when that is killed.
    Hold,
}

/// A proxy in front of one database. Connections are closed when it is dropped.
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    server: Server,
    plan: Mutex<Plan>,
    happened: Notify,
}

enum Server {
    Socket(PathBuf),
    Address(String, u16),
}

#[derive(Default)]
struct Plan {
    /// What is done, and to which of the commits to come, from 1.
    armed: Option<(Fault, u32)>,
    /// What it was done to.
    hit: Option<Commit>,
    /// Commits since it was armed or disarmed.
    commits: Vec<Commit>,
}

/// SSLRequest and GSSENCRequest: whether the connection may be encrypted. The server is reached without.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
const CANCEL_REQUEST: u32 = 80_877_102;

impl Proxy {
    /// Listens in front of the server of this URL.
    pub async fn start(database_url: &str) -> Result<Self> {
        let config: tokio_postgres::Config = database_url.parse()?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let server = match config.get_hosts() {
            [Host::Unix(folder)] => Server::Socket(folder.join(format!(".s.PGSQL.{port}"))),
            [Host::Tcp(host)] => Server::Address(host.clone(), port),
            hosts => bail!("one host, not {hosts:?}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = behind(database_url, listener.local_addr()?)?;
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::default(),
            happened: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { url, shared, accepting })
    }

    /// The database as a host behind this proxy reaches it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Does this to the `nth` commit from now on, counted from 1, over all connections.
    pub fn arm(&self, fault: Fault, nth: u32) {
        *self.shared.plan() = Plan {
            armed: Some((fault, nth)),
            ..Plan::default()
        };
    }

    /// Does nothing any more. Says to what it has done something since it was armed.
    pub fn disarm(&self) -> Option<Commit> {
        std::mem::take(&mut *self.shared.plan()).hit
    }

    /// The commits that have come by since this was armed or disarmed. A heartbeat is none, nor is any other single statement of the host's
    /// that appends nothing.
    pub fn commits(&self) -> Vec<Commit> {
        self.shared.plan().commits.clone()
    }

    /// Waits until something has been done to a commit.
    pub async fn hit(&self) -> Commit {
        loop {
            let happened = self.shared.happened.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            if let Some(hit) = self.shared.plan().hit {
                return hit;
            }
            happened.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is about to be sent.
    fn reached(&self, commit: Commit) -> Option<Fault> {
        let mut plan = self.plan();
        plan.commits.push(commit);
        let (fault, nth) = plan.armed?;
        if plan.commits.len() < nth as usize {
            return None;
        }
        plan.armed = None;
        plan.hit = Some(commit);
        self.happened.notify_waiters();
        Some(fault)
    }
}

/// The same database, login and options at another address.
fn behind(database_url: &str, address: SocketAddr) -> Result<String> {
    let (login, rest) = database_url.rsplit_once('@').context("a URL with a login")?;
    let (_, database) = rest.split_once('/').context("a URL with a database")?;
    Ok(format!("{login}@{address}/{database}"))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // A set, so that its connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        // Either side may close at any time: that is what this is for.
        connections.spawn(async move { drop(connect(client, &shared).await) });
    }
}

async fn connect(client: TcpStream, shared: &Shared) -> Result<()> {
    client.set_nodelay(true)?;
    match &shared.server {
        Server::Socket(path) => forward(client, UnixStream::connect(path).await?, shared).await,
        Server::Address(host, port) => forward(client, TcpStream::connect((host.as_str(), *port)).await?, shared).await,
    }
}

/// Forwards until either side is done; then both are closed.
async fn forward(client: TcpStream, server: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    let answers = Answers::default();
    let mut upstream = Upstream {
        from: from_client,
        to: to_server,
        messages: Messages::default(),
        requests: Requests::default(),
        answers: &answers,
        shared,
    };
    if upstream.greet(&mut to_client).await? == Greeting::Cancel {
        return Ok(());
    }
    tokio::select! {
        ended = upstream.run() => ended,
        ended = downstream(from_server, to_client, &answers) => ended,
    }
}

/// How many times the server has yet to say that it is ready, and which of them the client is not to hear.
struct Answers {
    expected: AtomicU64,
    withheld: AtomicU64,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            // A session begins with one.
            expected: AtomicU64::new(1),
            withheld: AtomicU64::new(u64::MAX),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Greeting {
    Session,
    Cancel,
}

/// From the host to the database.
struct Upstream<'a, R, W> {
    from: R,
    to: W,
    messages: Messages,
    requests: Requests,
    answers: &'a Answers,
    shared: &'a Shared,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Upstream<'_, R, W> {
    async fn greet(&mut self, client: &mut (impl AsyncWrite + Unpin)) -> Result<Greeting> {
        loop {
            let message = match self.messages.next_untyped()? {
                Some(message) => message,
                None => {
                    self.read().await?;
                    continue;
                }
            };
            let code = message
                .get(4..8)
                .and_then(|code| code.try_into().ok())
                .map(u32::from_be_bytes);
            if code.is_some_and(|code| ENCRYPTION_REQUESTS.contains(&code)) {
                client.write_all(b"N").await?;
                continue;
            }
            self.to.write_all(&message).await?;
            return Ok(if code == Some(CANCEL_REQUEST) {
                Greeting::Cancel
            } else {
                Greeting::Session
            });
        }
    }

    async fn read(&mut self) -> Result<()> {
        match self.from.read_buf(self.messages.buffer()).await? {
            0 => bail!("the host closed the connection"),
            _ => Ok(()),
        }
    }

    async fn run(&mut self) -> Result<()> {
        // What arrives together leaves together: a pipelined commit stays one.
        let mut ready = BytesMut::new();
        loop {
            while let Some(message) = self.messages.next()? {
                let request = self.requests.read(&message);
                let answer = self.answers.expected.load(Ordering::SeqCst);
                match request.commit.and_then(|commit| self.shared.reached(commit)) {
                    None => {}
                    Some(Fault::After) => self.answers.withheld.store(answer, Ordering::SeqCst),
                    Some(Fault::Before) => {
                        self.to.write_all(&ready).await?;
                        return Ok(());
                    }
                    Some(Fault::Hold) => {
                        self.to.write_all(&ready).await?;
                        // Whatever else the host says here comes after the commit.
                        loop {
                            self.read().await?;
                        }
                    }
                }
                if request.is_answered {
                    self.answers.expected.fetch_add(1, Ordering::SeqCst);
                }
                ready.extend_from_slice(&message);
            }
            self.to.write_all(&ready).await?;
            ready.clear();
            self.read().await?;
        }
    }
}

/// From the database to the host.
async fn downstream(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    answers: &Answers,
) -> Result<()> {
    let mut messages = Messages::default();
    let mut answered = 0;
    loop {
        while let Some(message) = messages.next()? {
            let is_withheld = answered == answers.withheld.load(Ordering::SeqCst);
            let is_ready = message[0] == b'Z';
            if is_withheld && is_ready {
                return Ok(());
            }
            if !is_withheld {
                to.write_all(&message).await?;
            }
            answered += u64::from(is_ready);
        }
        if from.read_buf(messages.buffer()).await? == 0 {
            bail!("the database closed the connection");
        }
    }
}
