//! TLS towards the server: asked for and agreed on before the driver is given the socket, so that the driver sees a socket and no more.

use std::io;
use std::sync::Arc;

use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::socket::Unopened;

/// Whether sessions are encrypted, and whom they are with. The default is in clear.
#[derive(Debug, Clone, Default)]
pub struct Tls(Option<Offer>);

#[derive(Debug, Clone)]
struct Offer {
    /// A server without TLS is none to talk to.
    is_demanded: bool,
    config: Arc<ClientConfig>,
}

/// A certificate of ours, for a server that asks for one.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Tls {
    /// Encrypted; without TLS at the server in clear, unless it `is_demanded`. One of the `trusted` has signed the server's certificate, for
    /// the host of the URL. Without them any will do: who listens in sees nothing, and who stands in between may go unnoticed.
    pub(crate) fn offered(
        is_demanded: bool,
        trusted: Option<RootCertStore>,
        identity: Option<Identity>,
    ) -> Result<Self, Error> {
        // Named, since a process may hold more than one implementation and then has no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trusted {
            None => Arc::new(AnyCertificate(Arc::clone(&provider))),
            Some(roots) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
                verifier.map_err(|error| Error::General(error.to_string()))?
            }
        };
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        let config = match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
            None => config.with_no_client_auth(),
        };
        Ok(Self(Some(Offer {
            is_demanded,
            config: Arc::new(config),
        })))
    }

    /// Whether it is asked for, and then whether there is no session without it.
    pub fn demand(&self) -> Option<bool> {
        self.0.as_ref().map(|offer| offer.is_demanded)
    }

    /// Agrees with the server on whether the connection is encrypted, before anything else is said.
    pub(crate) async fn secure(&self, host: &str, mut stream: TcpStream) -> Result<Secured, Unopened> {
        /// `SSLRequest`: its length, and a number that is no version of the protocol.
        const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

        let Some(offer) = &self.0 else {
            return Ok(Secured::Clear(stream));
        };
        let insecure = |text| Unopened::Insecure(io::Error::other(text));
        stream.write_all(&REQUEST).await?;
        // One byte and no more: what somebody sent along with it in clear must not be taken for what came encrypted.
        match (stream.read_u8().await?, offer.is_demanded) {
            (b'S', _) => {}
            (b'N', false) => return Ok(Secured::Clear(stream)),
            (b'N', true) => return Err(insecure("the server has no TLS, and the URL's sslmode demands it")),
            // It lacks the means for a session. Its words are in clear, and so could be anybody's.
            (b'E', _) => return Err(io::Error::other("the server cannot begin a session").into()),
            _ => return Err(insecure("the server does not understand the question for TLS")),
        }
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| Unopened::Insecure(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&offer.config));
        let stream = connector.connect(name, stream).await.map_err(not_agreed)?;
        Ok(Secured::Encrypted(Box::new(stream)))
    }
}

/// A connection on which the first message can be sent.
pub(crate) enum Secured {
    Clear(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// What the two sides disagree about is said with what helps. A connection that broke meanwhile may hold the next time.
fn not_agreed(error: io::Error) -> Unopened {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.into();
    };
    let hint = match tls {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            ": no authority that is trusted signed it; name yours with sslrootcert"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => ": it was made for another host; let the URL name the one it was made for",
        _ => "",
    };
    Unopened::Insecure(io::Error::new(error.kind(), format!("TLS: {error}{hint}")))
}

/// What ties a login to the server's certificate (`tls-server-end-point`, RFC 5929): its hash, by the function it was signed with, SHA-256
/// in the place of those that are broken. None where that is not known; the login is then not tied to it. Nor is it where the server does not ask
/// for it: which logins there are says its `pg_hba.conf`.
pub(crate) fn end_point(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    certificate_hash(session.peer_certificates()?.first()?)
}

fn certificate_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let signed_with = signature_algorithm(certificate)?;
    let hash = match (signed_with.strip_prefix(&RSA), signed_with.strip_prefix(&ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => &digest::SHA256,
        (Some([12]), _) | (_, Some([3, 3])) => &digest::SHA384,
        (Some([13]), _) | (_, Some([3, 4])) => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// The object identifier of how a certificate was signed. A certificate is a sequence of what is signed, how, and the signature.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_, after_signed) = element(SEQUENCE, certificate)?;
    let (algorithm, _) = element(SEQUENCE, after_signed)?;
    Some(element(IDENTIFIER, algorithm)?.0)
}

/// The contents of the first element, if it has this tag, and what comes after it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first().filter(|_| *found == tag)?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        // So many bytes of the length follow.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Takes any certificate of whose key the server proves to be the owner.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_hashed_by_the_function_it_was_signed_with() {
        let hash = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let parameters = rcgen::CertificateParams::new(vec!["db.example".to_owned()]).expect("a name");
            let certificate = parameters.self_signed(&key).expect("a certificate");
            let hash = certificate_hash(certificate.der());
            hash.map(|hash| (hash, certificate.der().to_vec()))
        };
        let (hashed, certificate) = hash(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a function that is known");
        assert_eq!(hashed, digest::digest(&digest::SHA256, &certificate).as_ref());
        let (hashed, certificate) = hash(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a function that is known");
        assert_eq!(hashed, digest::digest(&digest::SHA384, &certificate).as_ref());
        // This one has no such function: neither has PostgreSQL one for it.
        assert_eq!(hash(&rcgen::PKCS_ED25519), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 0x82, 0xff, 0xff, 0],
            &[0x31, 0],
        ] {
            assert_eq!(certificate_hash(bytes), None, "{bytes:x?}");
        }
    }
}
