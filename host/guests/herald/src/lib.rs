//! Publishes events, is told of them, and streams them. What it is told leaves a row each time, and how it takes it is in a table, so that a
//! test can change its mood.

sdk::component!("test:herald/herald@0.1.0" in ["../../../wit", "wit"], events);

use std::time::Duration;

use bindings::exports::nexus::events::subscriber;
use bindings::exports::nexus::http::handler;
use sdk::http::{Error, Request, Response, Router};
use sdk::sql::{self, params, sql};
use sdk::{Checks, Input, events, routes};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/:name/tell" for anyone => tell,
    GET "/:name/stream/:key" for anyone => stream,
]);

struct Herald;

bindings::export!(Herald with_types_in bindings);

impl handler::Guest for Herald {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

impl subscriber::Guest for Herald {
    fn handle(event: subscriber::Event) -> Result<(), subscriber::Refusal> {
        refuse(&mood(&event.key), "before")?;
        let noted = sql::transaction(|tx| {
            tx.execute(
                sql!("INSERT INTO heard (event, subscription, topic, key, content) VALUES ($1, $2, $3, $4, $5)"),
                params![
                    event.id,
                    event.subscription,
                    event.topic,
                    event.key,
                    String::from_utf8_lossy(&event.payload).into_owned()
                ],
            )?;
            Ok::<_, sql::Error>(())
        });
        noted.map_err(|error| subscriber::Refusal::Retry(error.to_string()))?;
        refuse(&mood(&event.key), "after")
    }
}

/// How events of this key are taken: `retry before`, `reject after`, `trap before`, `blurt before`, `nap before`; or well.
fn mood(key: &str) -> String {
    let mood = sql::query_opt(sql!("SELECT mood FROM mood WHERE key = $1"), params![key]);
    let mood = mood.and_then(|row| row.map_or_else(|| Ok(String::new()), |row| row.get("mood")));
    mood.unwrap_or_else(|error| sdk::trap(&error.to_string()))
}

fn refuse(mood: &str, when: &str) -> Result<(), subscriber::Refusal> {
    match mood.split_once(' ') {
        Some(("retry", moment)) if moment == when => Err(subscriber::Refusal::Retry("not now".into())),
        // More than a cause keeps, and what no text of the database holds.
        Some(("blurt", moment)) if moment == when => {
            Err(subscriber::Refusal::Retry(format!("not\0now{}", "!".repeat(3 << 20))))
        }
        Some(("reject", moment)) if moment == when => Err(subscriber::Refusal::Reject("never".into())),
        Some(("trap", moment)) if moment == when => sdk::trap("in a bad mood"),
        Some(("nap", moment)) if moment == when => {
            sdk::sleep(Duration::from_secs(600));
            Ok(())
        }
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Tell {
    topic: String,
    key: String,
    #[serde(default)]
    roll_back: bool,
    /// Bytes of padding.
    #[serde(default)]
    size: usize,
    /// Without a transaction around it.
    #[serde(default)]
    bare: bool,
}

impl Input for Tell {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    count: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    padding: String,
}

/// Counts what is told of a key, and tells the count: in one transaction, so that counts are in the order of the commits.
fn tell(request: &Request) -> Result<Response, Error> {
    let Tell {
        topic,
        key,
        roll_back,
        size,
        bare,
    } = request.json()?;
    let padding = "x".repeat(size);
    if bare {
        let event = events::publish(&topic, &key, &Told { count: 0, padding });
        return Response::data(&event);
    }
    let mut event = String::new();
    let committed = sql::transaction(|tx| {
        let counted = sql!(
            "INSERT INTO told AS told (key, count) VALUES ($1, 1)
             ON CONFLICT (key) DO UPDATE SET count = told.count + 1 RETURNING count"
        );
        let count = tx.query_one(counted, params![key])?.get("count")?;
        event = events::publish(&topic, &key, &Told { count, padding });
        if roll_back { Err(sql::Error::Poisoned) } else { Ok(()) }
    });
    match committed {
        Ok(()) => Response::data(&event),
        Err(_) if roll_back => Response::data(&"rolled back"),
        Err(error) => Err(error.into()),
    }
}

/// Everything that is told of a key.
fn stream(request: &Request) -> Result<Response, Error> {
    let key: String = request.param("key")?;
    Ok(Response::stream("news.*", &key))
}
