//! Where clients and operators come in: taken before anything is started, listened on when there is somebody to answer.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Both addresses, reserved.
pub(crate) struct Sockets {
    clients: Reserved,
    operators: Reserved,
}

struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
    argument: &'static str,
}

impl Sockets {
    /// Fails where somebody listens already. Until [`Sockets::listen`] whoever connects is refused, as if there was no host.
    pub(crate) fn reserve(clients: SocketAddr, operators: SocketAddr) -> Result<Self> {
        Ok(Self {
            clients: Reserved::new(clients, "--listen")?,
            operators: Reserved::new(operators, "--admin")?,
        })
    }

    /// The listener for clients, and the one for operators.
    pub(crate) fn listen(self) -> Result<(TcpListener, TcpListener)> {
        Ok((self.clients.listen()?, self.operators.listen()?))
    }
}

impl Reserved {
    fn new(address: SocketAddr, argument: &'static str) -> Result<Self> {
        let bound = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Connections of a host that has just ended must not keep the next one out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            std::io::Result::Ok(socket)
        };
        let socket = bound().with_context(|| occupied(argument, address))?;
        Ok(Self {
            socket,
            address,
            argument,
        })
    }

    fn listen(self) -> Result<TcpListener> {
        let Self {
            socket,
            address,
            argument,
        } = self;
        // Of two that reserved an address at once, the second learns of it here.
        socket.listen(BACKLOG).with_context(|| occupied(argument, address))
    }
}

fn occupied(argument: &str, address: SocketAddr) -> String {
    format!(
        "cannot listen on {address}: is another host running? choose another address with {argument} (port 0 picks a free one)"
    )
}
