//! SIGTERM and SIGINT, from the moment on at which ending at once would leave something behind.

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How the end was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM, as service managers do.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
}

/// Knows whether the end was asked for. A second request ends the process at once.
pub(crate) struct StopSignals(watch::Receiver<Option<Asked>>);

impl StopSignals {
    /// From here on the first signal ends nothing by itself: whoever works looks for it.
    pub(crate) fn listen() -> Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let asked = tokio::select! {
                    _ = terminate.recv() => Asked::Terminate,
                    _ = interrupt.recv() => Asked::Interrupt,
                };
                if tell.send_replace(Some(asked)).is_some() {
                    std::process::exit(1);
                }
            }
        });
        Ok(Self(told))
    }

    /// Returns when it was asked for.
    pub(crate) async fn asked(&self) -> Asked {
        let mut told = self.0.clone();
        match told.wait_for(Option::is_some).await.map(|asked| *asked) {
            Ok(Some(asked)) => asked,
            // Nobody tells any more: the runtime ends.
            _ => std::future::pending().await,
        }
    }

    /// What `work` comes to, given up when the end is asked for first.
    pub(crate) async fn unless_asked<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = work => outcome,
            _ = self.asked() => bail!("asked to stop before it was done"),
        }
    }
}
