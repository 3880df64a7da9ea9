//! What lies in the host's memory as long as this instance has a handle to it.

use std::mem::forget;

use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, OutgoingResponse};

use super::answers::plain;
use crate::bindings::exports::nexus::http::handler::Response;

/// As many maps of fields as there may be, as long as they may be.
pub(super) fn many_fields() -> Response {
    // As much as a request may bring: a component may send it on.
    let brought: Vec<_> = (0..100)
        .map(|number| (format!("x-{number}"), vec![b'a'; 320]))
        .collect();
    if let Err(error) = Fields::from_list(&brought) {
        return plain(format!("fields of a request: {error:?}"));
    }
    // Longer ones end the instance: 0.2 has no word for them.
    let long = [("x-long".to_owned(), vec![b'a'; 40 << 10])];
    loop {
        match Fields::from_list(&long) {
            Ok(fields) => forget(fields),
            Err(error) => return plain(format!("long fields: {error:?}")),
        }
    }
}

/// Requests that are never sent, named at a length that no peer would take.
pub(super) fn long_names() -> Response {
    let long = "a".repeat(512 << 10);
    let method = Method::Other(long.clone());
    loop {
        let request = OutgoingRequest::new(Fields::new());
        // Refused or kept, the next request is one handle more.
        let _ = (request.set_method(&method), request.set_authority(Some(&long)));
        forget(request);
    }
}

/// Responses that nobody is answered with: each holds what was written of its body.
pub(super) fn unread_bodies() -> Response {
    loop {
        let response = OutgoingResponse::new(Fields::new());
        let Ok(body) = response.body() else {
            return plain("a response has no body".to_owned());
        };
        let Ok(stream) = body.write() else {
            return plain("a body has no stream".to_owned());
        };
        while let Ok(room @ 1..) = stream.check_write() {
            if stream.write(&vec![b'a'; room as usize]).is_err() {
                break;
            }
        }
        drop(stream);
        if let Err(error) = OutgoingBody::finish(body, None) {
            return plain(format!("a body does not end: {error:?}"));
        }
        forget(response);
    }
}
