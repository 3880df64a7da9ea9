//! The wire of a session: read and written by whoever waits for an answer on it.
//!
//! The driver means its connection to have a task of its own, which every round trip would wake, and which would wake the request's task for
//! the answer. A session has one user at a time, so that user polls the connection beside its request, and nothing is handed over.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Connection};

use crate::error::describe;
use crate::socket::Socket;

pub(crate) type Driver = Connection<Socket, Socket>;

/// In one poll the user and the wire take at most so many turns: then others of the thread have theirs.
const MAX_TURNS: usize = 32;

/// A session's wire.
pub(crate) struct Wire {
    /// None when it is closed. Locked for as long as a poll takes.
    driver: Mutex<Option<Driver>>,
    relay: Arc<Relay>,
    /// The relay, as both sides are given it.
    waker: Waker,
    /// The server warned that a transaction stood otherwise than the host believes.
    astray: AtomicBool,
}

/// Between user, wire and socket. What one of the first two has to tell the other is seen by the poll they are both in; only what comes
/// from outside of it wakes the user's task.
#[derive(Default)]
struct Relay {
    task: AtomicWaker,
    is_polling: AtomicBool,
    is_told: AtomicBool,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In the order opposite to that in which a poll ends, so that one of both sees the other.
        self.is_told.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl Wire {
    pub(crate) fn new(driver: Driver) -> Arc<Self> {
        let relay = Arc::new(Relay::default());
        let waker = Waker::from(Arc::clone(&relay));
        Arc::new(Self {
            driver: Mutex::new(Some(driver)),
            relay,
            waker,
            astray: AtomicBool::new(false),
        })
    }

    /// Waits for what the session's client was asked. Requests on this session are answered only in here; and not within each other.
    pub(crate) async fn wait<F: Future>(&self, request: F) -> F::Output {
        let mut request = pin!(request);
        poll_fn(|cx| self.poll(request.as_mut(), cx)).await
    }

    fn poll<F: Future>(&self, mut request: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Relay {
            task,
            is_polling,
            is_told,
        } = &*self.relay;
        task.register(cx.waker());
        let mut relayed = Context::from_waker(&self.waker);
        for _ in 0..MAX_TURNS {
            is_polling.store(true, Ordering::SeqCst);
            is_told.store(false, Ordering::SeqCst);
            let polled = request.as_mut().poll(&mut relayed);
            if polled.is_pending() {
                self.turn(&mut relayed);
            }
            is_polling.store(false, Ordering::SeqCst);
            if polled.is_ready() {
                task.take();
                return polled;
            }
            if !is_told.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what the client has asked, without waiting for an answer; and learns whether the server has ended the session.
    pub(crate) fn touch(&self) {
        self.turn(&mut Context::from_waker(Waker::noop()));
    }

    /// Reads and writes what can be.
    fn turn(&self, cx: &mut Context<'_>) {
        let mut driver = self.driver.lock();
        while let Some(connection) = &mut *driver {
            match connection.poll_message(cx) {
                Poll::Pending => return,
                // The driver hides the status the server reports after each request. These two warnings, which arrive before the
                // answer they belong to, tell the same: BEGIN inside a transaction, COMMIT or ROLLBACK outside of one.
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                    let code = notice.code();
                    if *code == SqlState::NO_ACTIVE_SQL_TRANSACTION || *code == SqlState::ACTIVE_SQL_TRANSACTION {
                        self.astray.store(true, Ordering::Release);
                    }
                    tracing::debug!(code = code.code(), notice = notice.message(), "notice of the database");
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(error = describe(&error), "a database session ended");
                    *driver = None;
                }
                Poll::Ready(None) => *driver = None,
            }
        }
    }

    /// Closes the socket. Who waits on the session learns that it is closed.
    pub(crate) fn close(&self) {
        drop(self.driver.lock().take());
    }

    /// A session that lost count of its transaction must not be used again.
    pub(crate) fn is_astray(&self) -> bool {
        self.astray.load(Ordering::Acquire)
    }
}
