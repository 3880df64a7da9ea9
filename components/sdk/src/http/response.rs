//! Answers in the success envelopes.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Error, wire};
use crate::{Page, PageRequest};

/// An answer that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// 200 `{ "data": value }`; nothing is an empty list, as clients know it.
    pub fn data<T: Serialize>(value: &T) -> Result<Self, Error> {
        let mut body = DATA.to_vec();
        write(&mut body, value)?;
        if body[DATA.len()..] == *b"null" {
            body.truncate(DATA.len());
            body.extend_from_slice(b"[]");
        }
        body.push(b'}');
        Ok(Self::json(200, body))
    }

    /// 201 `{ "data": value }`.
    pub fn created<T: Serialize>(value: &T) -> Result<Self, Error> {
        Ok(Self {
            status: 201,
            ..Self::data(value)?
        })
    }

    /// 200 `{ "data": "text" }`, for what has no result.
    pub fn message(text: &str) -> Result<Self, Error> {
        Self::data(&text)
    }

    /// 200 with a whole list.
    pub fn list<T: Serialize>(items: &[T]) -> Result<Self, Error> {
        Self::data(&items)
    }

    /// 200 with one page of a list and where the next one is.
    pub fn page<T: Serialize>(request: &PageRequest, page: &Page<T>) -> Result<Self, Error> {
        let mut body = DATA.to_vec();
        write(&mut body, &page.items)?;
        body.extend_from_slice(br#","pagination":"#);
        write(&mut body, &page.pagination(request))?;
        body.push(b'}');
        Ok(Self::json(200, body))
    }

    /// Any status and JSON without an envelope: for those who are no clients, and have a contract of their own.
    pub fn plain<T: Serialize>(status: u16, value: &T) -> Result<Self, Error> {
        let mut body = Vec::new();
        write(&mut body, value)?;
        Ok(Self::json(status, body))
    }

    /// What is published under this topic (or these: `order.*`) and key from now on, as server-sent events: the host streams them, and no
    /// instance is held meanwhile. The manifest must grant the topic (`streams`); who may see the key is for the caller of this to know.
    pub fn stream(topic: &str, key: &str) -> Self {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        Self {
            status: 200,
            headers: vec![("nexus-stream".to_owned(), format!("{topic} {key}"))],
            body: Vec::new(),
        }
    }

    /// The same with a header; the name in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same, not to be kept by anything between here and the client: personal data and tokens.
    #[must_use]
    pub fn no_store(self) -> Self {
        self.with_header("cache-control", "no-store")
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The whole body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn into_wire(self) -> wire::Response {
        wire::Response {
            status: self.status,
            headers: self.headers,
            body: self.body,
        }
    }

    fn json(status: u16, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body }
    }
}

/// How an envelope begins.
const DATA: &[u8] = br#"{"data":"#;

/// Writes JSON at once: a large answer is in memory as what it is made of and as its bytes, and in no third form.
fn write<T: Serialize>(body: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    serde_json::to_writer(body, value).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(response: Result<Response, Error>) -> String {
        String::from_utf8(response.unwrap().body).unwrap()
    }

    #[test]
    fn envelopes() {
        assert_eq!(text(Response::data(&json!({ "id": 1 }))), r#"{"data":{"id":1}}"#);
        assert_eq!(text(Response::message("deleted")), r#"{"data":"deleted"}"#);
        assert_eq!(text(Response::list::<i32>(&[])), r#"{"data":[]}"#);
        assert_eq!(text(Response::data(&None::<i32>)), r#"{"data":[]}"#);
        assert_eq!(text(Response::data(&"null")), r#"{"data":"null"}"#);
        assert_eq!(Response::created(&1).unwrap().status(), 201);
        let plain = Response::plain(401, &json!({ "success": false }));
        assert_eq!(plain.as_ref().unwrap().status(), 401);
        assert_eq!(text(plain), r#"{"success":false}"#);
    }

    #[test]
    fn a_stream_is_named_by_topic_and_key() {
        let wire = Response::stream("order.*", "a b/c").into_wire();
        assert_eq!(
            wire.headers,
            [("nexus-stream".to_owned(), "order.* a%20b%2Fc".to_owned())]
        );
    }

    #[test]
    fn a_page_has_its_pagination_beside_the_data() {
        let request = PageRequest {
            page: 1,
            limit: 2,
            cursor: None,
        };
        let page = Page::from_rows(&request, vec![1, 2, 3], 3, |id| *id);
        let body: serde_json::Value = serde_json::from_str(&text(Response::page(&request, &page))).unwrap();
        assert_eq!(body["data"], json!([1, 2]));
        assert_eq!(
            body["pagination"],
            json!({ "limit": 2, "total": 3, "page": 1, "next_page": 2, "cursor": null, "next_cursor": "Mg==" })
        );
    }
}
