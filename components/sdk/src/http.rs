//! A module's HTTP: a route table, requests decoded once, answers in the marketplace's envelopes.

mod error;
mod gate;
mod query;
mod request;
mod response;
mod router;

pub use crate::bindings::nexus::http::types as wire;

pub use self::{
    error::Error,
    gate::{Caller, Gate, Standing},
    query::{FromText, Query, StrictBool},
    request::{Claims, Request},
    response::Response,
    router::{Access, Handler, Route, Router},
};
