//! The handlers that the platform is compared with: hyper, a pool, the same statements, the same answers; nothing durable.
//!
//! They run in a process of their own, as `nexus` does.

mod with_sqlx;
mod with_tokio_postgres;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use with_sqlx::WithSqlx;
use with_tokio_postgres::WithTokioPostgres;

/// The schema of the native handlers' tables.
pub(crate) const SCHEMA: &str = "native";
/// What the process that serves finds its database by; an argument would show in every list of processes.
pub(crate) const DATABASE_URL: &str = "NEXUS_BENCH_DATABASE_URL";

const LOCK_ITEM: &str = include_str!("../app/statements/lock_item.sql");
const TAKE_FROM_STOCK: &str = include_str!("../app/statements/take_from_stock.sql");
const RECORD_PURCHASE: &str = include_str!("../app/statements/record_purchase.sql");
const READ_ITEM: &str = include_str!("../app/statements/read_item.sql");

/// How a native handler speaks to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Driver {
    /// What the platform's modules use too.
    TokioPostgres,
    Sqlx,
}

/// A native server in a process of its own, which ends with this value.
pub(crate) struct Native {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

impl Native {
    pub(crate) async fn start(driver: Driver, database_url: &str) -> Result<Self> {
        let driver = match driver {
            Driver::TokioPostgres => "tokio-postgres",
            Driver::Sqlx => "sqlx",
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve-native", driver])
            .env(DATABASE_URL, database_url)
            // It ends when this end is closed, by whatever.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start a native server")?;
        let pid = child.id().context("a process that runs has a pid")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address).await?;
        let address = address
            .trim()
            .parse()
            .context("the native server ended before it served")?;
        Ok(Self { child, address, pid })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().await?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Order {
    item: i64,
    quantity: i64,
}

#[derive(Serialize)]
struct Receipt {
    purchase: i64,
    amount: i64,
}

#[derive(Serialize)]
struct Item {
    id: i64,
    name: String,
    price: i64,
    stock: i64,
}

enum Outcome<T> {
    Done(T),
    NoSuchItem,
    NoStock,
}

enum Handlers {
    Sqlx(WithSqlx),
    TokioPostgres(Box<WithTokioPostgres>),
}

/// Serves on a free port, which it prints, until standard input ends.
pub(crate) async fn serve(driver: Driver, database_url: &str) -> Result<()> {
    // As many as a module has.
    let sessions = host_sql::Options::default().per_role;
    let handlers = Arc::new(match driver {
        Driver::Sqlx => Handlers::Sqlx(WithSqlx::connect(database_url, sessions)?),
        Driver::TokioPostgres => Handlers::TokioPostgres(Box::new(WithTokioPostgres::new(database_url, sessions)?)),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (ending, ended) = oneshot::channel();
    // A thread of its own: one of the runtime's would keep that from ending.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ending.send(());
    });
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let handlers = Arc::clone(&handlers);
            tokio::spawn(async move {
                let service = service_fn(|request| handle(&handlers, request));
                let mut http = hyper::server::conn::http1::Builder::new();
                // A connection that its client leaves is no failure of ours.
                let _ = http
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    };
    tokio::select! {
        served = serving => served,
        _ = ended => Ok(()),
    }
}

async fn handle(handlers: &Handlers, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(answer(handlers, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(Full::from(format!("{error:#}")));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
}

async fn answer(handlers: &Handlers, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let path = request.uri().path();
    match (request.method(), path.strip_prefix("/bench/item/")) {
        (&Method::GET, Some(id)) => {
            let id = id.parse()?;
            respond(match handlers {
                Handlers::Sqlx(handlers) => handlers.item(id).await?,
                Handlers::TokioPostgres(handlers) => handlers.item(id).await?,
            })
        }
        (&Method::POST, None) if path == "/bench/order" => {
            let body = request.into_body().collect().await?.to_bytes();
            let order: Order = serde_json::from_slice(&body)?;
            respond(match handlers {
                Handlers::Sqlx(handlers) => handlers.order(&order).await?,
                Handlers::TokioPostgres(handlers) => handlers.order(&order).await?,
            })
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn respond<T: Serialize>(outcome: Outcome<T>) -> Result<Response<Full<Bytes>>> {
    #[derive(Serialize)]
    struct Envelope<T> {
        data: T,
    }

    match outcome {
        Outcome::Done(data) => {
            let body = serde_json::to_vec(&Envelope { data })?;
            let response = Response::builder().header("content-type", "application/json");
            Ok(response.body(Full::from(body))?)
        }
        Outcome::NoSuchItem => status(StatusCode::NOT_FOUND),
        Outcome::NoStock => status(StatusCode::CONFLICT),
    }
}

fn status(status: StatusCode) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder().status(status).body(Full::default())?)
}
