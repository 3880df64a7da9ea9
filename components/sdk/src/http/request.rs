//! A request as a handler sees it.

use std::cell::{Cell, OnceCell};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Caller, Error, FromText, Gate, Query, gate::admit, query::read, wire};
use crate::{AccountId, Checks, Input, PageRequest, json::has_nul};

/// A request with its path parameters and its query decoded.
#[derive(Debug, Clone)]
pub struct Request {
    wire: wire::Request,
    params: Vec<(&'static str, String)>,
    query: Query,
    gate: Gate,
    /// What the gate said; empty until somebody wants to know who calls.
    caller: OnceCell<Result<Caller, Error>>,
    /// Somebody wanted to know what the token says.
    asked: Cell<bool>,
}

/// Who calls, as the verified access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The account.
    pub account_id: AccountId,
    /// Its sequential number.
    pub account_number: i64,
}

/// The payload of an access token; what is not needed here is left out.
#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "Account")]
    account: PayloadAccount,
}

#[derive(Deserialize)]
struct PayloadAccount {
    #[serde(rename = "ID")]
    id: AccountId,
    #[serde(rename = "Number")]
    number: i64,
}

impl Request {
    /// A request whose path was matched; `params` are still percent-encoded. `gate` says which accounts may act.
    pub fn new(wire: wire::Request, params: Vec<(&'static str, &str)>, gate: Gate) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let params = params.into_iter().map(|(name, value)| (name, decode(value))).collect();
        let query = Query::parse(&wire.query);
        Self {
            wire,
            params,
            query,
            gate,
            caller: OnceCell::new(),
            asked: Cell::new(false),
        }
    }

    /// Upper case.
    pub fn method(&self) -> &str {
        &self.wire.method
    }

    /// As received, percent-encoded, without the query.
    pub fn path(&self) -> &str {
        &self.wire.path
    }

    /// The address the request came from, without port.
    pub fn peer(&self) -> &str {
        &self.wire.peer
    }

    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.wire
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.wire.headers
    }

    /// The query as it was sent, percent-encoded.
    pub fn query_text(&self) -> &str {
        &self.wire.query
    }

    /// The body as it was sent.
    pub fn body(&self) -> &[u8] {
        &self.wire.body
    }

    /// The query parameters.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// `page`, `limit` and `cursor` of the query.
    pub fn page(&self) -> Result<PageRequest, Error> {
        PageRequest::from_query(&self.query)
    }

    /// A path parameter by its name in the route's pattern.
    pub fn param<T: FromText>(&self, name: &str) -> Result<T, Error> {
        let (_, text) = self
            .params
            .iter()
            .find(|(key, _)| *key == name)
            .ok_or_else(|| Error::internal(format!("the route of {} has no parameter {name}", self.wire.path)))?;
        read(name, text)
    }

    /// The JSON body, decoded and checked. A request without a body is one with an empty object.
    pub fn json<T: Input>(&self) -> Result<T, Error> {
        let input: T = self.decode()?;
        let mut checks = Checks::new();
        input.check(&mut checks);
        checks.finish()?;
        Ok(input)
    }

    /// The JSON body and who sent it. A bad body is told before a missing token, as clients know it.
    pub fn json_for_account<T: Input>(&self) -> Result<(T, AccountId), Error> {
        let input = self.json()?;
        Ok((input, self.account()?))
    }

    /// The calling account, which may act; 401 without a valid token, 403 when it is suspended. Asks the router's gate, once in a request:
    /// not while a transaction is open.
    pub fn account(&self) -> Result<AccountId, Error> {
        self.caller().map(|caller| caller.account_id)
    }

    /// The same with what the gate knows of the account.
    pub fn caller(&self) -> Result<&Caller, Error> {
        let asked = self.caller.get_or_init(|| admit(self.gate, self.claims()?.account_id));
        asked.as_ref().map_err(Error::clone)
    }

    /// The calling account; none without a valid token. One that is suspended is refused here, too: its token is used.
    pub fn account_opt(&self) -> Result<Option<AccountId>, Error> {
        match self.account() {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.status() == 401 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the token says; 401 without a valid one. Whether the account may act is another question: [`account`](Self::account).
    pub fn claims(&self) -> Result<Claims, Error> {
        self.asked.set(true);
        let claims = match &self.wire.identity {
            wire::Identity::Verified(claims) => claims,
            wire::Identity::Invalid(reason) => return Err(Error::unauthorized(reason)),
            wire::Identity::Anonymous => return Err(Error::unauthorized("an access token is required")),
        };
        let payload: Payload = serde_json::from_str(&claims.payload)
            .map_err(|_| Error::unauthorized("the access token names no account"))?;
        Ok(Claims {
            account_id: payload.account.id,
            account_number: payload.account.number,
        })
    }

    /// Whether the handler wanted to know who calls.
    pub(super) fn asked_who_calls(&self) -> bool {
        self.asked.get()
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.wire.body.is_empty() {
            return from_json(b"{}");
        }
        if let Some(kind) = self.header("content-type")
            && !is_json(kind)
        {
            return Err(Error::new(
                415,
                "unsupported_media_type",
                "the body must be application/json",
            ));
        }
        if has_nul(&self.wire.body) {
            return Err(Error::invalid("body", "must not contain the character U+0000"));
        }
        from_json(&self.wire.body)
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // A derived reader would take a list for the fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::invalid("body", "must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        // Where a text stops being JSON the reader is between two fields, or within one that is not to blame.
        if path == "." || !cause.is_data() {
            return Error::invalid("body", format!("is not the JSON expected: {cause}"));
        }
        Error::invalid(&path, format!("cannot be read: {cause}"))
    })?;
    deserializer
        .end()
        .map_err(|error| Error::invalid("body", format!("is not one JSON value: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::http::Standing;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Body {
        #[serde(default)]
        name: String,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Item {
        quantity: i64,
    }

    impl Input for Body {
        fn check(&self, checks: &mut Checks) {
            checks.text("name", self.name.as_str()).required();
        }
    }

    thread_local! {
        static ASKED: Cell<u32> = const { Cell::new(0) };
    }

    /// Lets everybody in but the two accounts that end in 2 and 3.
    fn gate(account: AccountId) -> Result<Standing, Error> {
        ASKED.set(ASKED.get() + 1);
        Ok(match account.to_string().chars().last() {
            Some('2') => Standing::Suspended,
            Some('3') => Standing::Unknown,
            _ => Standing::Active(Caller {
                account_id: account,
                country: "VN".to_owned(),
                currency: "VND".to_owned(),
            }),
        })
    }

    fn signed_in(id: &str) -> Request {
        let payload = format!(r#"{{"sub":"{id}","jti":"j","iat":1,"exp":2,"Account":{{"ID":"{id}","Number":42}}}}"#);
        let subject = id.to_owned();
        request("", None, wire::Identity::Verified(wire::Claims { subject, payload }))
    }

    fn request(body: &str, content_type: Option<&str>, identity: wire::Identity) -> Request {
        let headers = content_type.map(|kind| ("content-type".to_owned(), kind.to_owned()));
        let wire = wire::Request {
            method: "POST".to_owned(),
            path: "/x".to_owned(),
            query: String::new(),
            headers: headers.into_iter().collect(),
            identity,
            peer: "127.0.0.1".to_owned(),
            body: body.as_bytes().to_vec(),
        };
        Request::new(wire, vec![("id", "a%2Fb")], gate)
    }

    fn json(body: &str) -> Result<Body, Error> {
        request(body, Some("application/json; charset=utf-8"), wire::Identity::Anonymous).json()
    }

    #[test]
    fn a_failure_names_the_json_field() {
        let error = json(r#"{"name":"x","items":[{"quantity":"two"}]}"#).unwrap_err();
        assert_eq!((error.status(), error.code()), (400, "validation"));
        assert!(
            error.message().contains(r#""items[0].quantity""#),
            "{}",
            error.message()
        );
        assert!(json(r#"{"name":3}"#).unwrap_err().message().contains(r#"{"name":"#));
    }

    #[test]
    fn what_is_no_json_is_a_400() {
        for body in [
            "{",
            "[]",
            "{} x",
            "\u{1}",
            r#"{"name":"x""#,
            r#"{"items":[{"quantity":1"#,
            r#"{"name":}"#,
        ] {
            let error = json(body).unwrap_err();
            assert!(
                error.message().starts_with(r#"validation: {"body":"#),
                "{body}: {}",
                error.message()
            );
        }
    }

    #[test]
    fn the_nul_character_is_refused_and_a_text_about_it_is_not() {
        assert_eq!(json(r#"{"name":"a\u0000"}"#).unwrap_err().status(), 400);
        assert_eq!(json(r#"{"name":"a\\u0000"}"#).unwrap().name, r"a\u0000");
    }

    #[test]
    fn no_body_is_an_empty_object() {
        let error = request("", None, wire::Identity::Anonymous).json::<Body>().unwrap_err();
        assert_eq!(error.message(), r#"validation: {"name":"is required"}"#);
    }

    #[test]
    fn another_content_type_is_a_415() {
        let form = request(
            "name=x",
            Some("application/x-www-form-urlencoded"),
            wire::Identity::Anonymous,
        );
        assert_eq!(form.json::<Body>().unwrap_err().status(), 415);
        let merge = request(
            r#"{"name":"x"}"#,
            Some("application/merge-patch+json"),
            wire::Identity::Anonymous,
        );
        assert!(merge.json::<Body>().is_ok());
    }

    #[test]
    fn a_bad_body_is_told_before_a_missing_token() {
        let bad = request("{}", None, wire::Identity::Anonymous);
        assert_eq!(bad.json_for_account::<Body>().unwrap_err().status(), 400);
        let good = request(r#"{"name":"x"}"#, None, wire::Identity::Invalid("expired".to_owned()));
        let error = good.json_for_account::<Body>().unwrap_err();
        assert_eq!((error.status(), error.message()), (401, "unauthorized: expired"));
    }

    #[test]
    fn the_caller_is_the_account_of_the_token() {
        let id = "0190a5b2-7c11-7d3e-8f00-0123456789ab";
        let claims = signed_in(id).claims().unwrap();
        assert_eq!(
            (claims.account_id.to_string().as_str(), claims.account_number),
            (id, 42)
        );
        let strange = wire::Identity::Verified(wire::Claims {
            subject: id.to_owned(),
            payload: "{}".to_owned(),
        });
        assert_eq!(request("", None, strange).account().unwrap_err().status(), 401);
    }

    #[test]
    fn the_gate_is_asked_once_in_a_request_and_never_for_nobody() {
        let active = signed_in("0190a5b2-7c11-7d3e-8f00-0123456789a1");
        assert_eq!(ASKED.get(), 0);
        let account = active.account().unwrap();
        assert_eq!(active.account_opt(), Ok(Some(account)));
        assert_eq!(active.caller().unwrap().currency, "VND");
        assert_eq!(ASKED.get(), 1);
        for identity in [wire::Identity::Anonymous, wire::Identity::Invalid("expired".to_owned())] {
            let nobody = request("", None, identity);
            assert_eq!(nobody.account_opt(), Ok(None));
            assert_eq!(nobody.account().unwrap_err().status(), 401);
        }
        assert_eq!(ASKED.get(), 1);
    }

    #[test]
    fn who_is_suspended_is_refused_wherever_the_token_counts() {
        let suspended = signed_in("0190a5b2-7c11-7d3e-8f00-0123456789a2");
        for error in [suspended.account().unwrap_err(), suspended.account_opt().unwrap_err()] {
            assert_eq!((error.status(), error.code()), (403, "account_suspended"));
        }
        let gone = signed_in("0190a5b2-7c11-7d3e-8f00-0123456789a3");
        assert_eq!(gone.account().unwrap_err().status(), 401);
        assert_eq!(gone.account_opt(), Ok(None));
    }

    #[test]
    fn path_parameters_are_decoded() {
        assert_eq!(
            request("", None, wire::Identity::Anonymous).param::<String>("id"),
            Ok("a/b".to_owned())
        );
        let error = request("", None, wire::Identity::Anonymous)
            .param::<i64>("id")
            .unwrap_err();
        assert_eq!(error.message(), r#"validation: {"id":"must be an integer"}"#);
    }
}
