//! From an origin to a connection: resolve, check, connect, and with `https` shake hands.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host_manifest::Scheme;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::request::Origin;
use crate::{Failure, Grant};

/// Addresses of a name, once they are known.
pub type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds a name's addresses.
pub trait Resolve: Send + Sync + 'static {
    /// Every address of the name.
    fn resolve<'a>(&'a self, name: &'a str) -> Addresses<'a>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Addresses<'a> {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((name, 0))
                .await?
                .map(|address| address.ip())
                .collect())
        })
    }
}

/// How connections are made; one for all components of a node.
pub struct Connector {
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
}

/// A connection, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connector {
    /// Believes Mozilla's roots, and these besides.
    ///
    /// # Errors
    /// A root that is not a certificate.
    pub fn new(resolver: Arc<dyn Resolve>, extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        for root in extra_roots {
            roots.add(root)?;
        }
        // Named, since a process may hold more than one implementation and then has no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            resolver,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// A connection to an address that the grant covers. The name is resolved once: what was checked is what is connected to.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        grant: &Grant,
        within: Duration,
    ) -> Result<Box<dyn Stream>, Failure> {
        let deadline = Instant::now() + within;
        let found = timeout_at(deadline, self.resolve(origin))
            .await
            .map_err(|_| Failure::ConnectTimeout)??;
        let admitted: Vec<_> = found.into_iter().filter(|address| grant.admits(*address)).collect();
        let tcp = timeout_at(deadline, first(&admitted, origin.port, deadline));
        let tcp = tcp.await.map_err(|_| Failure::ConnectTimeout)??;
        // Small requests must not wait for the acknowledgement of what went before; without the option they only come later.
        let _ = tcp.set_nodelay(true);
        match origin.scheme {
            Scheme::Http => Ok(Box::new(tcp)),
            Scheme::Https => {
                let name =
                    ServerName::try_from(origin.host.clone()).map_err(|error| Failure::Tls(error.to_string()))?;
                let tls = timeout_at(deadline, self.tls.connect(name, tcp)).await;
                let tls = tls
                    .map_err(|_| Failure::ConnectTimeout)?
                    .map_err(|error| Failure::Tls(error.to_string()))?;
                Ok(Box::new(tls))
            }
        }
    }

    async fn resolve(&self, origin: &Origin) -> Result<Vec<IpAddr>, Failure> {
        if let Some(address) = origin.address() {
            return Ok(vec![address]);
        }
        let found = self.resolver.resolve(&origin.host).await;
        let found = found.map_err(|error| Failure::Unresolved(error.to_string()))?;
        match found.is_empty() {
            true => Err(Failure::Unresolved("the name has no address".into())),
            false => Ok(found),
        }
    }
}

/// Tries one address after the other, each with its share of the time that is left.
async fn first(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Failure> {
    let mut failure = Failure::AddressRefused;
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - tried) as u32;
        failure = match timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
            Ok(Err(error)) => Failure::Unreachable(error.to_string()),
            Err(_) => Failure::ConnectTimeout,
        };
    }
    Err(failure)
}
