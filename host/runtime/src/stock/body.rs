//! The body of an answer: as long as it is read, the component runs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use host_types::StreamError;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::WasiBody;

/// What the component's task and its answer know of each other.
#[derive(Default)]
pub(crate) struct Progress {
    /// Set before anything of the instance is dropped: an end of the body that comes after it is none.
    failed: AtomicBool,
    answered: Notify,
}

impl Progress {
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Returns when the whole answer has been read.
    pub(crate) async fn answered(&self) {
        self.answered.notified().await;
    }
}

/// Stops the component unless it is told to let it go.
pub(crate) struct Stop(Option<AbortHandle>);

impl Stop {
    pub(crate) fn new(task: AbortHandle) -> Self {
        Self(Some(task))
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// An answer's body, on its way to the client.
pub(crate) struct AnswerBody {
    body: WasiBody,
    /// How long the component may take for each part.
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
    stop: Stop,
}

impl AnswerBody {
    pub(crate) fn new(body: WasiBody, patience: Duration, progress: Arc<Progress>, stop: Stop) -> Self {
        Self {
            body,
            patience,
            waiting: None,
            progress,
            stop,
        }
    }

    /// The answer is complete: what the component still does it does by itself.
    fn complete(&mut self) {
        self.stop.forget();
        self.progress.answered.notify_one();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(match frame {
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(error)) => Some(Err(error.into())),
                None if self.progress.failed.load(Ordering::Acquire) => {
                    Some(Err("the component failed in the middle of its answer".into()))
                }
                None => {
                    self.complete();
                    None
                }
            });
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(format!(
            "the component gave nothing of its answer for {patience:?}"
        )
        .into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.progress.failed.load(Ordering::Acquire)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // A body of a known length is not asked for what comes after its last byte.
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.complete();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty, Full, StreamBody};

    use super::*;

    fn answer(body: WasiBody) -> (AnswerBody, Arc<Progress>, tokio::task::JoinHandle<()>) {
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(std::future::pending());
        let stop = Stop::new(task.abort_handle());
        let body = AnswerBody::new(body, Duration::from_millis(20), Arc::clone(&progress), stop);
        (body, progress, task)
    }

    fn text(text: &'static str) -> WasiBody {
        Full::new(Bytes::from_static(text.as_bytes()))
            .map_err(|never| match never {})
            .boxed_unsync()
    }

    /// A part, and then nothing.
    fn stuck() -> WasiBody {
        let part = std::iter::once(Ok(Frame::data(Bytes::from_static(b"part"))));
        let parts = futures_util::stream::iter(part);
        let parts = futures_util::StreamExt::chain(parts, futures_util::stream::pending());
        StreamBody::new(parts).boxed_unsync()
    }

    #[tokio::test]
    async fn an_answer_that_was_read_lets_the_component_go_on() {
        let (body, progress, task) = answer(text("done"));
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "done");
        progress.answered().await;
        assert!(!task.is_finished());
        task.abort();
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_in_the_middle_stops_the_component() {
        let (mut body, _, task) = answer(stuck());
        body.frame().await.expect("a part").expect("a part");
        drop(body);
        assert!(task.await.expect_err("stopped").is_cancelled());
    }

    #[tokio::test]
    async fn a_component_that_gives_nothing_is_not_waited_for() {
        let (body, _, _) = answer(stuck());
        let error = body.collect().await.expect_err("it never ends");
        assert!(error.to_string().contains("20ms"), "{error}");
    }

    #[tokio::test]
    async fn the_end_of_a_failed_component_is_no_end() {
        let empty = Empty::new().map_err(|never| match never {});
        let (body, progress, _) = answer(empty.boxed_unsync());
        progress.fail();
        assert!(!body.is_end_stream());
        assert!(body.collect().await.is_err());
    }
}
