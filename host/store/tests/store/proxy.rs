//! Ways to the database that are worse than a test's own.

use std::future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_postgres::test_support::TestDatabase;
use host_store::{Store, StoreOptions};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::options;

/// As long as anything may take that waits for nobody.
const NOT_WAITING: Duration = Duration::from_secs(10);
/// More than any client writes at once here.
const QUESTION_BYTES: usize = 64 << 10;

/// A connection to the server, over whichever kind of socket.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A listener, and the database's URL by way of it.
pub(crate) async fn listen(database: &TestDatabase) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (login, rest) = database.url().rsplit_once('@').unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    (listener, format!("{login}@{address}/{path}"))
}

/// A connection to the server itself.
pub(crate) async fn connect(server: &PgConnectOptions) -> io::Result<Box<dyn Connection>> {
    let port = server.get_port();
    Ok(match server.get_socket() {
        Some(folder) => Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?),
        None => Box::new(TcpStream::connect((server.get_host(), port)).await?),
    })
}

/// The way of a node that freezes, or is cut off: after so many questions nothing of it reaches the server any more, which knows nothing of
/// that and keeps its sessions. A client writes a question at once and then waits for the answer, so what is read at once is one.
struct Freezing {
    url: String,
    questions: Arc<AtomicUsize>,
    frozen: Arc<Notify>,
    /// Its sessions end with it.
    _connections: JoinSet<()>,
}

impl Freezing {
    async fn new(database: &TestDatabase) -> Self {
        let (listener, url) = listen(database).await;
        let server: PgConnectOptions = database.url().parse().unwrap();
        let (questions, frozen) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(Notify::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let (questions, frozen) = (Arc::clone(&questions), Arc::clone(&frozen));
            async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let (server, questions, frozen) = (server.clone(), Arc::clone(&questions), Arc::clone(&frozen));
                    connections.spawn(async move {
                        // Either side may close at any time.
                        let _ = forward(client, &server, &questions, &frozen).await;
                    });
                }
            }
        });
        Self {
            url,
            questions,
            frozen,
            _connections: accepting,
        }
    }
}

/// Forwards questions while there are any left, and answers.
async fn forward(client: TcpStream, server: &PgConnectOptions, left: &AtomicUsize, frozen: &Notify) -> io::Result<()> {
    let (mut asked, mut answered) = client.into_split();
    let (mut answers, mut questions) = tokio::io::split(connect(server).await?);
    let asking = async {
        let mut question = vec![0; QUESTION_BYTES];
        loop {
            let length = asked.read(&mut question).await?;
            if length == 0 {
                return questions.shutdown().await;
            }
            let one_less = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if one_less.is_err() {
                frozen.notify_one();
                return future::pending().await;
            }
            questions.write_all(&question[..length]).await?;
        }
    };
    tokio::try_join!(asking, tokio::io::copy(&mut answers, &mut answered))?;
    Ok(())
}

/// Lets nodes do this that freeze before their first question, after it, after the second, and so on, until one comes to its end. Each time
/// others must be able to do theirs. Both are told after how many questions it is.
pub(crate) async fn frozen_after_each_question(
    database: &TestDatabase,
    node_does: impl AsyncFn(&Store, usize),
    others_do: impl AsyncFn(usize),
) {
    for questions in 0_usize.. {
        let does = async |node: &Store| node_does(node, questions).await;
        let others = async || {
            let done = tokio::time::timeout(NOT_WAITING, others_do(questions)).await;
            assert!(
                done.is_ok(),
                "others wait for a node that is frozen after {questions} questions"
            );
        };
        if !frozen_after(database, questions, does, others).await {
            assert!(questions > 0, "it asked nothing");
            return;
        }
    }
}

/// Lets a node do this that freezes after so many questions, and then others do theirs. False when it came to its end before.
pub(crate) async fn frozen_after(
    database: &TestDatabase,
    questions: usize,
    node_does: impl AsyncFn(&Store),
    others_do: impl AsyncFn(),
) -> bool {
    let way = Freezing::new(database).await;
    // A lease that is over at once: to others, these nodes take up no room.
    let options = StoreOptions {
        lease_ms: 1,
        ..options()
    };
    let node = Store::connect(&way.url, options).await.unwrap();
    way.questions.store(questions, Ordering::Relaxed);
    let mut doing = std::pin::pin!(node_does(&node));
    tokio::select! {
        () = &mut doing => return false,
        () = way.frozen.notified() => {}
    }
    others_do().await;
    true
}
