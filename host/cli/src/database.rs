//! The database that a verb works on: one that was named, or the private one of a data directory. No way out of the verb leaves that one
//! running but `kill -9`: [`Database::close`] takes what the verb came to, whatever it is.

use anyhow::Result;
use host_postgres::{DataDir, Options, Programs, Server};

use crate::stop::StopSignals;

/// A database that answers, or is said to.
pub(crate) enum Database {
    /// By its URL. It is not ours to start or stop.
    Named(String),
    /// On a server that ends with us.
    Private(Box<Server>),
}

impl Database {
    /// The private one runs when this returns. It is not given up half started when `stop` is asked for: whoever works on it next looks for
    /// that again.
    pub(crate) async fn private(data_dir: &DataDir, stop: &StopSignals, json: bool) -> Result<Self> {
        let mut say = |text: &str| {
            if !json {
                tracing::info!("{text}");
            }
        };
        let found = async { Ok(Programs::find_or_install(&mut say).await?) };
        let programs = stop.unless_asked(found).await?;
        let server = Server::start(&programs, data_dir, &Options::default()).await?;
        Ok(Self::Private(Box::new(server)))
    }

    /// The one with this URL; without one, the private one.
    pub(crate) async fn open(
        named: Option<String>,
        data_dir: &DataDir,
        stop: &StopSignals,
        json: bool,
    ) -> Result<Self> {
        match named {
            Some(url) => Ok(Self::Named(url)),
            None => Self::private(data_dir, stop, json).await,
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Named(url) => url.clone(),
            Self::Private(server) => server.connection().url(),
        }
    }

    /// Stops the private server, and passes on what was done with it.
    pub(crate) async fn close<T>(self, outcome: Result<T>) -> Result<T> {
        let Self::Private(server) = self else { return outcome };
        match (outcome, server.stop().await) {
            (Ok(done), Ok(())) => Ok(done),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(first), stopped) => {
                // What went wrong first is what has to be known.
                if let Err(error) = stopped {
                    tracing::error!(%error, "the private PostgreSQL could not be stopped");
                }
                Err(first)
            }
        }
    }
}
