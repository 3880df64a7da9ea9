//! The way to the server: a socket, in clear or not, that gives up before a message fills the memory.
//!
//! The driver reads a message whole before anybody sees it, and a guest's statement decides how long one is: a row, or the text
//! of an error. So the length that a message announces is looked at on its way in.

use std::convert::Infallible;
use std::future::{self, Ready};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use host_journal::MAX_ENTRY_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_rustls::client::TlsStream;

use crate::tls::{Secured, Tls, end_point};

/// What is longer could not be recorded: a row's values with their lengths are little more than what an entry holds of them.
pub(crate) const MAX_MESSAGE_BYTES: usize = 2 * MAX_ENTRY_BYTES;
const DEFAULT_PORT: u16 = 5432;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// All of a configuration, in its order.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let port = |index: usize| {
            let port = ports.get(index).or_else(|| ports.first());
            port.copied().unwrap_or(DEFAULT_PORT)
        };
        let at = |index: usize| match (addresses.get(index), hosts.get(index)) {
            // What is resolved already is not resolved again.
            (Some(address), _) => Some(Self::Tcp(address.to_string(), port(index))),
            (None, Some(Host::Tcp(host))) => Some(Self::Tcp(host.clone(), port(index))),
            (None, Some(Host::Unix(folder))) => Some(Self::Unix(folder.join(format!(".s.PGSQL.{}", port(index))))),
            (None, None) => None,
        };
        (0..hosts.len().max(addresses.len())).filter_map(at).collect()
    }
}

/// A connection to a server.
pub(crate) struct Socket {
    stream: Stream,
    frames: Frames,
    flooded: Arc<AtomicBool>,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// Nobody there, for now.
    Unreached(io::Error),
    /// There is somebody, who is not to be talked to like that.
    Insecure(io::Error),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Unreached(error)
    }
}

impl Socket {
    /// `flooded` is set when a message was too long to be read.
    pub(crate) async fn open(address: &Address, tls: &Tls, flooded: Arc<AtomicBool>) -> Result<Self, Unopened> {
        let stream = match address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls.secure(host, stream).await? {
                    Secured::Clear(stream) => Stream::Tcp(stream),
                    Secured::Encrypted(stream) => Stream::Tls(stream),
                }
            }
            // Does not leave the machine.
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        Ok(Self {
            stream,
            frames: Frames::default(),
            flooded,
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        if let Err(length) = self.frames.follow(&buffer.filled()[before..]) {
            self.flooded.store(true, Ordering::Release);
            return Poll::Ready(Err(io::Error::other(format!("a message of {length} bytes"))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl tokio_postgres::tls::TlsStream for Socket {
    fn channel_binding(&self) -> ChannelBinding {
        let end_point = match &self.stream {
            Stream::Tls(stream) => end_point(stream),
            Stream::Tcp(_) | Stream::Unix(_) => None,
        };
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// What the driver is told to do for TLS: nothing any more, with a socket that is as it should be.
pub(crate) struct Secure;

impl TlsConnect<Socket> for Secure {
    type Stream = Socket;
    type Error = Infallible;
    type Future = Ready<Result<Socket, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        future::ready(Ok(socket))
    }
}

/// Where in the server's messages the reading stands. Each is a byte for its kind, four for its length without that byte, and the
/// rest of that length.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; 5],
    known: usize,
    rest: usize,
}

impl Frames {
    /// Goes over these bytes. `Err` is the length of a message that is too long.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (self.header.len() - self.known).min(bytes.len());
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == self.header.len() {
                let [_, length @ ..] = self.header;
                let length = u32::from_be_bytes(length) as usize;
                if length > MAX_MESSAGE_BYTES {
                    return Err(length);
                }
                // Shorter than its own length it is none: for the driver to say.
                (self.known, self.rest) = (0, length.saturating_sub(size_of::<u32>()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![b'D'];
        message.extend_from_slice(&(length as u32).to_be_bytes());
        message.resize(1 + length, 0xff);
        message
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let messages: Vec<u8> = [4, 5, 300, MAX_MESSAGE_BYTES].into_iter().flat_map(message).collect();
        for size in [1, 3, 5, 7, 4096, messages.len()] {
            let mut frames = Frames::default();
            for part in messages.chunks(size) {
                frames.follow(part).expect("all are short enough");
            }
            assert_eq!((frames.known, frames.rest), (0, 0), "in parts of {size}");
        }
    }

    #[test]
    fn a_message_is_too_long_before_it_has_come() {
        let mut frames = Frames::default();
        frames.follow(&message(100)).expect("short enough");
        assert_eq!(frames.follow(&[b'D', 0x40, 0, 0]), Ok(()));
        assert_eq!(frames.follow(&[1]), Err(0x4000_0001));
    }

    #[test]
    fn addresses_are_those_of_the_driver() {
        let of = |url: &str| format!("{:?}", Address::all(&url.parse().expect("a URL")));
        assert_eq!(of("postgres://u@db.example/x"), r#"[Tcp("db.example", 5432)]"#);
        assert_eq!(of("postgres://u@%2Frun%2Fpg:77/x"), r#"[Unix("/run/pg/.s.PGSQL.77")]"#);
        assert_eq!(of("host=a,b port=1,2 user=u"), r#"[Tcp("a", 1), Tcp("b", 2)]"#);
        assert_eq!(
            of("host=a,b port=7 hostaddr=10.0.0.1,10.0.0.2 user=u"),
            r#"[Tcp("10.0.0.1", 7), Tcp("10.0.0.2", 7)]"#
        );
    }
}
