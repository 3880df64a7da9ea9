//! A module that tries what a module may not do. What it tries is chosen by the request, so that the tests list it:
//!
//! | Request | Does |
//! |---|---|
//! | `POST /hostile/query` | each statement of the body, a JSON list, on its own, as one that only reads |
//! | `POST /hostile/execute` | each on its own, in a transaction of its own |
//! | `POST /hostile/transaction` | all in one transaction, which is then committed |
//! | `POST /hostile/do/<misdeed>` | one of [`misdeeds`]; with `?after=append`, when the invocation is durable already |

sdk::component!("hostile:guest/hostile@0.1.0" in ["../../../wit", "wit"], timer, workflows);

mod misdeeds;
mod statements;

use bindings::exports::hostile::guest::mirror;
use bindings::exports::nexus::durable::scheduled;
use bindings::exports::nexus::http::handler::{self, Request, Response};
use serde_json::Value as Json;

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl handler::Guest for Hostile {
    fn handle(request: Request) -> Response {
        let path = request.path.strip_prefix("/hostile/").unwrap_or_default();
        if let Some(name) = path.strip_prefix("do/") {
            if request.query == "after=append" {
                statements::leave_a_trace(name);
            }
            return match misdeeds::find(name) {
                Some(misdeed) => misdeed(),
                None => answer(404, &Json::from("there is no such misdeed")),
            };
        }
        let Ok(statements) = serde_json::from_slice::<Vec<String>>(&request.body) else {
            return answer(400, &Json::from("the body is no list of statements"));
        };
        let outcomes = match path {
            "query" => statements.iter().map(|text| statements::query(text)).collect(),
            "execute" => statements.iter().map(|text| statements::execute(text)).collect(),
            "transaction" => statements::transaction(&statements),
            _ => return answer(404, &Json::from("there is no such way")),
        };
        answer(200, &Json::Array(outcomes))
    }
}

impl mirror::Guest for Hostile {
    fn deeper(more: u32) -> u32 {
        match more.checked_sub(1) {
            Some(more) => 1 + bindings::hostile::guest::mirror::deeper(more),
            None => 0,
        }
    }

    fn weigh(texts: Vec<String>) -> u64 {
        texts.iter().map(|text| text.len() as u64).sum()
    }
}

impl scheduled::Guest for Hostile {
    fn run(_: String, _: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

fn answer(status: u16, body: &Json) -> Response {
    Response {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}
