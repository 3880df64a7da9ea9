//! The trigger over real sockets, against an `InvocationClient` that answers as the test says.

mod connections;
mod cors;
mod health;
mod hostile;
mod identity;
mod keys;
mod limits;
mod outcomes;
mod rate_limits;
mod recording;
mod routing;
mod streams;
mod support;
