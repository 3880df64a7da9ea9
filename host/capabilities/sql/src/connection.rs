//! One session: its wire, its prepared statements, and how it is ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{HostParameter, HostStatement};
use postgres_types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Statement};

use crate::error::{Failure, classify, describe, is_passing};
use crate::socket::{Address, Secure, Socket, Unopened};
use crate::statement::{StatementCache, check_columns};
use crate::target::Target;
use crate::tls::Tls;
use crate::wire::{Driver, Wire};

/// A session with the server.
pub(crate) struct Connection {
    /// Shared, so that a request can be sent beside one that changes the cache.
    client: Arc<Client>,
    closer: Closer,
    /// The server began a message that is too long to be read.
    flooded: Arc<AtomicBool>,
    statements: StatementCache,
    /// The host's own, by text: a handful, never evicted.
    host_statements: HashMap<&'static str, Statement>,
}

/// Ends a session at once, whatever it is doing.
#[derive(Clone)]
pub(crate) struct Closer {
    wire: Arc<Wire>,
    cancel: CancelToken,
    address: Address,
    tls: Tls,
    /// How long it may take to tell the server.
    patience: Duration,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// It may be otherwise a little later.
    pub(crate) is_passing: bool,
}

impl Closer {
    /// Closes the socket, and tells the server, which notices a closed socket only when it next writes.
    pub(crate) fn close(&self) {
        self.wire.close();
        let Self {
            cancel,
            address,
            tls,
            patience,
            ..
        } = self.clone();
        // Without a runtime the process is ending, and all its sockets with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let cancelling = async {
                    let socket = Socket::open(&address, &tls, Arc::default()).await;
                    let socket = socket.map_err(|unopened| Refusal::from(unopened).reason)?;
                    let asked = cancel.cancel_query_raw(socket, Secure).await;
                    asked.map_err(|error| describe(&error))
                };
                // A server that says nothing must not keep a task and a socket for every session that is closed.
                let cancelled = tokio::time::timeout(patience, cancelling).await;
                if let Err(error) = cancelled.unwrap_or_else(|_| Err(unanswered(patience))) {
                    tracing::debug!(error, "a statement of a closed session could not be cancelled");
                }
            });
        }
    }
}

impl Connection {
    /// Opens a session; gives up after `patience`.
    pub(crate) async fn open(target: &Target, patience: Duration) -> Result<Self, Refusal> {
        let flooded = Arc::default();
        let connecting = tokio::time::timeout(patience, connect(target, &flooded)).await;
        let connected = connecting.map_err(|_| Refusal {
            reason: unanswered(patience),
            is_passing: true,
        })?;
        let (client, driver, address) = connected?;
        let closer = Closer {
            wire: Wire::new(driver),
            cancel: client.cancel_token(),
            address,
            tls: target.tls.clone(),
            patience,
        };
        let (statements, host_statements) = (StatementCache::default(), HashMap::new());
        Ok(Self {
            client: Arc::new(client),
            closer,
            flooded,
            statements,
            host_statements,
        })
    }

    /// What the session is asked with; the answers come while [`Wire::wait`] waits for them.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn wire(&self) -> Arc<Wire> {
        Arc::clone(&self.closer.wire)
    }

    pub(crate) fn shared_client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    pub(crate) fn closer(&self) -> &Closer {
        &self.closer
    }

    /// A session that lost count of its transaction must not be used again.
    pub(crate) fn is_astray(&self) -> bool {
        self.closer.wire.is_astray()
    }

    /// A session that was ended because of the length of what the server was about to say.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Acquire)
    }

    /// Looks whether the server has ended it meanwhile. Not for while an answer is awaited.
    pub(crate) fn is_usable(&self) -> bool {
        self.closer.wire.touch();
        !self.client.is_closed() && !self.is_astray()
    }

    /// The statement if it was prepared before.
    pub(crate) fn prepared(&mut self, text: &str) -> Option<Statement> {
        self.statements.get(text)
    }

    /// Prepares a guest's statement, whose text was checked. The server tells the types of its parameters and columns.
    pub(crate) async fn prepare(&mut self, text: &str) -> Result<Statement, Failure> {
        let statement = self.client.prepare(text).await.map_err(|error| classify(&error))?;
        check_columns(&statement).map_err(Failure::Refused)?;
        self.statements.insert(text, statement.clone());
        Ok(statement)
    }

    /// Tables changed under a prepared statement; the others may be concerned as well.
    pub(crate) fn forget_statements(&mut self) {
        self.statements.clear();
        self.host_statements.clear();
        self.client.clear_type_cache();
    }

    /// Prepares what is not prepared yet of the host's statements, in one round trip each.
    pub(crate) async fn prepare_host(&mut self, statements: &[HostStatement]) -> Result<(), tokio_postgres::Error> {
        for statement in statements {
            if !self.host_statements.contains_key(statement.sql) {
                let types: Vec<_> = statement.parameters.iter().map(host_type).collect();
                let prepared = self.client.prepare_typed(statement.sql, &types).await?;
                self.host_statements.insert(statement.sql, prepared);
            }
        }
        Ok(())
    }

    /// Executes one of the host's statements, which was prepared. Sent when first polled.
    pub(crate) async fn execute_host(&self, statement: &HostStatement) -> Result<(), tokio_postgres::Error> {
        let parameters: Vec<_> = statement.parameters.iter().map(host_parameter).collect();
        match self.host_statements.get(statement.sql) {
            Some(prepared) => self.client.execute(prepared, &parameters).await.map(drop),
            // Prepared on the way: right, only slower.
            None => self.client.execute(statement.sql, &parameters).await.map(drop),
        }
    }
}

fn unanswered(patience: Duration) -> String {
    format!("no answer within {} ms", patience.as_millis())
}

fn host_type(parameter: &HostParameter) -> Type {
    match parameter {
        HostParameter::Uuid(_) => Type::UUID,
        HostParameter::UuidArray(_) => Type::UUID_ARRAY,
        HostParameter::Boolean(_) => Type::BOOL,
        HostParameter::Bytes(_) => Type::BYTEA,
        HostParameter::BytesArray(_) => Type::BYTEA_ARRAY,
        HostParameter::Integer(_) => Type::INT4,
        HostParameter::BigInt(_) => Type::INT8,
        HostParameter::Text(_) => Type::TEXT,
    }
}

fn host_parameter(parameter: &HostParameter) -> &(dyn ToSql + Sync) {
    match parameter {
        HostParameter::Uuid(it) => it,
        HostParameter::UuidArray(it) => it,
        HostParameter::Boolean(it) => it,
        HostParameter::Bytes(it) => it,
        HostParameter::BytesArray(it) => it,
        HostParameter::Integer(it) => it,
        HostParameter::BigInt(it) => it,
        HostParameter::Text(it) => it,
    }
}

impl From<Unopened> for Refusal {
    fn from(unopened: Unopened) -> Self {
        let is_passing = matches!(unopened, Unopened::Unreached(_));
        let (Unopened::Unreached(error) | Unopened::Insecure(error)) = unopened;
        Self {
            reason: error.to_string(),
            is_passing,
        }
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        Self {
            reason: describe(&error),
            is_passing: is_passing(&error),
        }
    }
}

/// Logs in at the first address that lets it.
async fn connect(
    Target { config, tls }: &Target,
    flooded: &Arc<AtomicBool>,
) -> Result<(Client, Driver, Address), Refusal> {
    let mut refusal = Refusal {
        reason: "the database URL names no host".to_owned(),
        is_passing: false,
    };
    for address in Address::all(config) {
        let connected = match Socket::open(&address, tls, Arc::clone(flooded)).await {
            Ok(socket) => config.connect_raw(socket, Secure).await.map_err(Refusal::from),
            Err(unopened) => Err(unopened.into()),
        };
        match connected {
            Ok((client, connection)) => return Ok((client, connection, address)),
            Err(refused) => refusal = refused,
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{ModuleConnection, Options, Pools};

    #[tokio::test]
    async fn a_cancellation_that_is_not_answered_is_given_up() {
        /// No TLS; whoever comes is let in, as the second session of the first process.
        const WELCOME: &[u8] = b"NR\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgres://u:p@127.0.0.1:{port}/x");
        let pool = Pools::new(Options::default()).module(ModuleConnection {
            target: Target::read(&url, |_| None).unwrap(),
            schema: "order".to_owned(),
            reset: false,
        });
        let asked = async || {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_exact(&mut [0; 8]).await.unwrap();
            client
        };
        let serving = async {
            let mut client = asked().await;
            client.write_all(WELCOME).await.unwrap();
            client
        };
        let (lease, _session) = tokio::join!(pool.lease(), serving);
        let mut closer = lease.unwrap().closer().clone();
        closer.patience = Duration::from_millis(50);
        closer.close();
        let mut silent = asked().await;
        let end = tokio::time::timeout(Duration::from_secs(30), silent.read_u8()).await;
        assert!(end.expect("it is given up").is_err(), "nothing more is said");
    }
}
