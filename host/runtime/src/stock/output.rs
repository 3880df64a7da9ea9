//! What a component prints, as lines of the log.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use host_basic::{Author, Lines};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A line that is longer is broken.
const LINE_BYTES: usize = 8 << 10;

/// Standard output and standard error of one instance: one log, so one stream.
#[derive(Clone)]
pub(crate) struct Output {
    author: Author,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    /// What no line break follows yet.
    line: Vec<u8>,
    lines: Lines,
}

impl Output {
    pub(crate) fn new(author: Author) -> Self {
        Self {
            author,
            written: Arc::default(),
        }
    }

    fn print(&self, bytes: &[u8]) {
        let mut written = self.written.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES - written.line.len();
            written.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") || written.line.len() == LINE_BYTES {
                self.end_line(&mut written);
            }
        }
    }

    fn end_line(&self, written: &mut Written) {
        let line = std::mem::take(&mut written.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            written.lines.print(&self.author, text);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if Arc::strong_count(&self.written) == 1 {
            self.end_line(&mut self.written.lock());
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use host_types::{ComponentId, InvocationId};

    use super::*;

    #[test]
    fn what_is_printed_waits_for_the_end_of_its_line() {
        let output = Output::new(Author {
            component: ComponentId::from("shop"),
            invocation: InvocationId::new(0, [0; 10]),
            trace_id: host_traces::trace_id("", 0),
        });
        output.print(b"one\ntw");
        assert_eq!(output.written.lock().line, b"tw");
        output.print(b"o\n");
        assert!(output.written.lock().line.is_empty());
        output.print(&vec![b'x'; LINE_BYTES + 10]);
        assert!(
            output.written.lock().line.is_empty(),
            "the rest of a line that is too long is left out"
        );
    }
}
