//! Running programs one after the other, each under a headline, ended cleanly by an interrupt.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind, signal};

/// A program that failed after saying why, or an interrupt: nothing is left to say.
#[derive(Debug)]
pub(crate) struct Stopped(u8);

impl Stopped {
    /// What this process should exit with.
    pub(crate) fn code(&self) -> u8 {
        self.0
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped with exit code {}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// The exit code of a process that a signal ended, as shells give it.
const AFTER_SIGNAL: u8 = 128;

/// The steps of one task, and the signals that end it.
pub(crate) struct Steps {
    begin: Instant,
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Steps {
    /// From now on signals no longer end this process, so that it can clean up.
    #[expect(
        clippy::disallowed_methods,
        reason = "a stopwatch for a person, in no test's or replay's way"
    )]
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            begin: Instant::now(),
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Prints a headline with the seconds since the task began.
    pub(crate) fn announce(&self, title: &str) {
        echo(&format!("==> [{:>4} s] {title}", self.begin.elapsed().as_secs()));
    }

    /// Runs `command` under the headline `title`. An interrupt is passed on to it, and waited for.
    pub(crate) async fn run(&mut self, title: &str, mut command: Command) -> anyhow::Result<()> {
        self.announce(title);
        let mut child = command
            .spawn()
            .with_context(|| format!("run {:?}", command.as_std().get_program()))?;
        let interrupted = tokio::select! {
            status = child.wait() => return outcome(status.context("wait for a program")?),
            signal = self.signal() => signal,
        };
        // From a terminal it has the signal already; a second one would make it give up on cleaning up.
        if interrupted != SignalKind::interrupt() {
            pass_on(interrupted, &child);
        }
        child.wait().await.context("wait for a program")?;
        Err(after(interrupted).into())
    }

    /// What `command` prints, without a headline. An error unless it succeeds.
    pub(crate) async fn output(&mut self, mut command: Command) -> anyhow::Result<Output> {
        let program = command.as_std().get_program().to_owned();
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = self
            .unless_interrupted(command.output())
            .await?
            .with_context(|| format!("run {program:?}"))?;
        outcome(output.status).map(|()| output)
    }

    /// Awaits `work`, or drops it at a signal.
    pub(crate) async fn unless_interrupted<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.signal() => Err(after(signal).into()),
        }
    }

    async fn signal(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        }
    }
}

/// Sends `signal` to a program that was not waited for yet.
fn pass_on(signal: SignalKind, child: &Child) {
    let signal = Signal::from_named_raw(signal.as_raw_value());
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let (Some(signal), Some(id)) = (signal, id) else { return };
    if let Err(error) = kill_process(id, signal) {
        complain(&anyhow::Error::new(error).context("pass a signal on"));
    }
}

fn outcome(status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(Stopped(code.unwrap_or(AFTER_SIGNAL)).into())
}

fn after(signal: SignalKind) -> Stopped {
    Stopped(AFTER_SIGNAL.saturating_add(u8::try_from(signal.as_raw_value()).unwrap_or(0)))
}

/// Prints a line where the programs print theirs.
pub(crate) fn echo(line: &str) {
    // Nobody reads it if this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints an error with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    echo(&format!("error: {error:#}"));
}
