//! Server and client over real sockets, against an `Operate` that answers as the test says.

mod client;
mod server;
mod support;
