//! A person's answers to external effects, in the form that the capability records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

const HTTP: &str = "wasi:http/outgoing-handler.handle";
const KEY_VALUES: &str = "wasi:keyvalue/store.";

/// None: the target is none of a capability's.
pub(crate) fn from_json(target: &str, json: &Json) -> Option<Result<Vec<u8>, String>> {
    if target == HTTP {
        return Some(response(json));
    }
    target.starts_with(KEY_VALUES).then(|| match json {
        Json::Null => Ok(Vec::new()),
        _ => Err("a write to a store has no result: write null".into()),
    })
}

/// None: the target is none of a capability's.
pub(crate) fn check(target: &str, recorded: &[u8]) -> Option<Result<(), String>> {
    if target == HTTP {
        let known = host_http_client::is_record(recorded);
        let text = "these bytes are no record of a response; answer with JSON: {\"status\": 200, \"headers\": {}, \"body\": \"\"}";
        return Some(known.then_some(()).ok_or_else(|| text.to_owned()));
    }
    target.starts_with(KEY_VALUES).then(|| match recorded {
        [] => Ok(()),
        _ => Err("a write to a store has no result: send no bytes".into()),
    })
}

fn response(json: &Json) -> Result<Vec<u8>, String> {
    const FORM: &str = "a response is {\"status\": 200, \"headers\": {\"name\": \"value\"}, \"body\": \"text\"}, with {\"base64\": ...} for a body that is no text";
    let form = || FORM.to_owned();
    let status = json.get("status").and_then(Json::as_u64);
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or_else(form)?;
    let headers = match json.get("headers") {
        None => Vec::new(),
        Some(headers) => {
            let headers = headers.as_object().ok_or_else(form)?.iter();
            let texts = headers.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            texts.collect::<Option<Vec<_>>>().ok_or_else(form)?
        }
    };
    let body = match json.get("body") {
        None => Vec::new(),
        Some(Json::String(text)) => text.clone().into_bytes(),
        Some(body) => {
            let text = body.get("base64").and_then(Json::as_str).ok_or_else(form)?;
            STANDARD.decode(text).map_err(|error| error.to_string())?
        }
    };
    host_http_client::recorded_response(status, &headers, body).map(Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_response_is_written_as_a_person_would() {
        for body in [json!("made"), json!({ "base64": "bWFkZQ==" })] {
            let answer = json!({ "status": 201, "headers": { "location": "/7" }, "body": body });
            let recorded = from_json(HTTP, &answer).expect("a capability's").expect("a response");
            assert_eq!(check(HTTP, &recorded), Some(Ok(())));
        }
        for answer in [
            json!(null),
            json!({ "status": 7 }),
            json!({ "status": 200, "headers": { "a": 1 } }),
        ] {
            assert!(from_json(HTTP, &answer).expect("a capability's").is_err(), "{answer}");
        }
        assert!(check(HTTP, b"made").expect("a capability's").is_err());
    }

    #[test]
    fn a_write_to_a_store_has_no_result() {
        assert_eq!(from_json("wasi:keyvalue/store.set", &Json::Null), Some(Ok(Vec::new())));
        assert!(check("wasi:keyvalue/store.set", b"x").expect("a capability's").is_err());
        assert_eq!(from_json("stock:shop:stock/levels.get", &Json::Null), None);
    }
}
