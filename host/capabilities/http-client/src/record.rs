//! How an outcome is recorded: CBOR, read again for years.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use minicbor::{Decode, Encode};
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

use crate::Failure;

/// What came of a request: its whole response, or why there is none.
pub(crate) type Outcome = Result<Response<Bytes>, Failure>;

#[derive(Debug, Encode, Decode)]
enum Recorded {
    #[n(0)]
    Response(#[n(0)] RecordedResponse),
    #[n(1)]
    Failure(#[n(0)] Failure),
}

#[derive(Debug, Encode, Decode)]
struct RecordedResponse {
    #[n(0)]
    status: u16,
    #[n(1)]
    headers: Vec<RecordedHeader>,
    #[cbor(n(2), with = "minicbor::bytes")]
    body: Vec<u8>,
}

#[derive(Debug, Encode, Decode)]
struct RecordedHeader {
    #[n(0)]
    name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    value: Vec<u8>,
}

/// What a record cannot be read for.
#[derive(Debug, thiserror::Error)]
#[error("the record of a response is malformed: {0}")]
pub(crate) struct Malformed(String);

/// Headers that belong to the connection are not part of it.
pub(crate) fn encode(outcome: &Outcome) -> Bytes {
    let recorded = match outcome {
        Ok(response) => {
            let lasting = response
                .headers()
                .iter()
                .filter(|(name, _)| !DEFAULT_FORBIDDEN_HEADERS.contains(name));
            let headers = lasting.map(|(name, value)| RecordedHeader {
                name: name.as_str().to_owned(),
                value: value.as_bytes().to_vec(),
            });
            Recorded::Response(RecordedResponse {
                status: response.status().as_u16(),
                headers: headers.collect(),
                body: response.body().to_vec(),
            })
        }
        Err(failure) => Recorded::Failure(failure.clone()),
    };
    // Plain fields into a vector: there is nothing that could fail.
    minicbor::to_vec(recorded).expect("an outcome has an encoding").into()
}

/// A response as it is recorded, for a person who answers for the peer. `Err` says what is not of a response.
pub fn recorded_response(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Result<Bytes, String> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let response = response.body(Bytes::from(body)).map_err(|error| error.to_string())?;
    Ok(encode(&Ok(response)))
}

/// Whether these bytes are the record of a request's outcome.
pub fn is_record(recorded: &[u8]) -> bool {
    decode(recorded).is_ok()
}

pub(crate) fn decode(recorded: &[u8]) -> Result<Outcome, Malformed> {
    let recorded: Recorded = minicbor::decode(recorded).map_err(|error| Malformed(error.to_string()))?;
    let RecordedResponse { status, headers, body } = match recorded {
        Recorded::Response(response) => response,
        Recorded::Failure(failure) => return Ok(Err(failure)),
    };
    let mut map = HeaderMap::with_capacity(headers.len());
    for RecordedHeader { name, value } in headers {
        let name = HeaderName::try_from(name).map_err(|error| Malformed(error.to_string()))?;
        let value = HeaderValue::try_from(value).map_err(|error| Malformed(error.to_string()))?;
        map.append(name, value);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|error| Malformed(error.to_string()))?;
    *response.headers_mut() = map;
    Ok(Ok(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> Response<Bytes> {
        let response = Response::builder()
            .status(302)
            .header("location", "https://b/")
            .header("set-cookie", "a=1");
        response
            .header("set-cookie", "b=\u{e9}")
            .body(Bytes::from_static(b"moved"))
            .expect("a response")
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let read = decode(&encode(&Ok(response())))
            .expect("it is well-formed")
            .expect("it is a response");
        assert_eq!(
            (read.status(), read.headers(), read.body()),
            (response().status(), response().headers(), response().body())
        );
        for failure in [
            Failure::Denied,
            Failure::OutcomeUnknown("x".into()),
            Failure::ResponseTooLarge(7),
        ] {
            assert_eq!(
                decode(&encode(&Err(failure.clone())))
                    .expect("it is well-formed")
                    .unwrap_err(),
                failure
            );
        }
        assert!(decode(b"\xff").is_err());
    }

    #[test]
    fn a_person_can_answer_for_the_peer() {
        let headers = [("content-type".to_owned(), "text/plain".to_owned())];
        let recorded = recorded_response(201, &headers, b"made".to_vec()).expect("a response");
        let read = decode(&recorded).expect("it is well-formed").expect("it is a response");
        assert_eq!((read.status().as_u16(), read.body().as_ref()), (201, &b"made"[..]));
        assert!(is_record(&recorded) && !is_record(b"made"));
        assert!(recorded_response(1, &[], Vec::new()).is_err());
        assert!(recorded_response(200, &[("a b".to_owned(), String::new())], Vec::new()).is_err());
    }

    #[test]
    fn headers_of_the_connection_are_not_recorded() {
        let response = Response::builder()
            .header("transfer-encoding", "chunked")
            .header("connection", "close");
        let response = response
            .header("content-type", "text/plain")
            .body(Bytes::new())
            .expect("a response");
        let read = decode(&encode(&Ok(response)))
            .expect("it is well-formed")
            .expect("it is a response");
        assert_eq!(
            read.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["content-type"]
        );
    }

    #[test]
    fn the_stored_form_stays_as_it_is() {
        let response = Response::builder()
            .header("a", "b")
            .body(Bytes::from_static(b"c"))
            .expect("a response");
        let expected = [
            0x82, 0, 0x81, 0x83, 0x18, 200, 0x81, 0x82, 0x61, b'a', 0x41, b'b', 0x41, b'c',
        ];
        assert_eq!(encode(&Ok(response)).as_ref(), expected);
        assert_eq!(encode(&Err(Failure::Denied)).as_ref(), [0x82, 1, 0x81, 0x82, 0, 0x80]);
        let last = encode(&Err(Failure::NotSent("x".into())));
        assert_eq!(last.as_ref(), [0x82, 1, 0x81, 0x82, 16, 0x81, 0x61, b'x']);
    }
}
