//! A component that sends requests to real servers.

mod bodies;
mod effects;
mod network;
mod server;
mod world;

use host_http_client::{Grant, Limits};
use host_manifest::{HostPattern, OutboundHost, Scheme};

use crate::server::Server;
use crate::world::{Call, GET, HTTP, Order, POST, World};

/// A grant of one host and port.
pub(crate) fn grant(scheme: Scheme, host: &str, port: u16) -> Grant {
    OutboundHost {
        scheme,
        host: HostPattern::Exact(host.into()),
        port,
    }
    .into()
}

/// A server, and a component that is granted it by its address.
pub(crate) async fn granted(limits: Limits) -> (World, Server) {
    let mut world = World {
        limits,
        ..World::default()
    };
    let server = Server::start(world.journal.clone(), None).await;
    world
        .grants
        .push(grant(Scheme::Http, "127.0.0.1", server.address.port()));
    (world, server)
}

pub(crate) fn get(server: &Server, path: &'static str) -> Call {
    let authority = server.address.to_string();
    Call {
        method: GET,
        scheme: HTTP,
        authority,
        path,
        order: Order::WithoutBody,
        chunks: 0,
    }
}

pub(crate) fn post(server: &Server, path: &'static str) -> Call {
    Call {
        method: POST,
        order: Order::HandleFirst,
        ..get(server, path)
    }
}

pub(crate) async fn sent(world: &World, call: Call) -> (u32, String) {
    world.send(&call).await.expect("the guest is told")
}
