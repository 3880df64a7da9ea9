//! Several calls and queries at once, each of which leaves a trace: a row, or a value it drew.

sdk::component!("test:joiner/joiner@0.1.0" in ["../../../wit", "wit"]);

use std::time::Duration;

use bindings::exports::nexus::http::handler;
use bindings::exports::test::joiner::steps as exported;
use bindings::test::joiner::{steps, steps_begin, steps_finish};
use sdk::http::{Error, Request, Response, Router};
use sdk::sql::{self, params, sql};
use sdk::{Checks, Input, begin, join, join_all, new_id, now, routes, sleep};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/joiner/naps" for anyone => naps,
    POST "/joiner/naps-in-turn" for anyone => naps_in_turn,
    POST "/joiner/notes" for anyone => notes,
    POST "/joiner/queries" for anyone => queries,
    POST "/joiner/work" for anyone => work,
    POST "/joiner/fall" for anyone => fall,
    POST "/joiner/spread" for anyone => spread,
    POST "/joiner/unfinished" for anyone => unfinished,
    POST "/joiner/misuse" for anyone => misuse,
]);

struct Joiner;

bindings::export!(Joiner with_types_in bindings);

impl handler::Guest for Joiner {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

impl exported::Guest for Joiner {
    fn nap(name: String, ms: u64) -> String {
        sleep(Duration::from_millis(ms));
        name
    }

    fn note(ticket: String, what: String) -> Result<String, String> {
        if what == "refused" {
            return Err("it is refused".into());
        }
        let seen = now().as_ms();
        leave(&ticket, &what).map_err(|error| error.to_string())?;
        Ok(format!("{what} {} {seen}", new_id()))
    }

    fn work(ticket: String, what: String, ms: u64) -> Result<String, String> {
        let note = |when: &str| leave(&ticket, &format!("{what} {when}")).map_err(|error| error.to_string());
        note("before")?;
        sleep(Duration::from_millis(ms));
        note("after")?;
        Ok(format!("{what} {}", new_id()))
    }

    fn fall(ms: u64) -> u32 {
        sleep(Duration::from_millis(ms));
        panic!("it falls")
    }

    fn spread(width: u32, depth: u32) -> u32 {
        if depth == 0 {
            sleep(Duration::from_millis(1));
            return 1;
        }
        let below = (0..width).map(|_| begin(steps_begin::spread(width, depth - 1), steps_finish::spread));
        join_all(below).into_iter().sum()
    }
}

fn leave(ticket: &str, what: &str) -> Result<(), sql::Error> {
    sql::execute(
        sql!("INSERT INTO note (ticket, what) VALUES ($1, $2)"),
        params![ticket, what],
    )?;
    Ok(())
}

#[derive(Deserialize)]
struct Naps {
    count: u64,
    ms: u64,
}

#[derive(Deserialize)]
struct Notes {
    ticket: String,
    what: Vec<String>,
}

#[derive(Deserialize)]
struct Work {
    ticket: String,
    ms: u64,
}

#[derive(Deserialize)]
struct Spread {
    width: u32,
    depth: u32,
}

#[derive(Deserialize)]
struct Misuse {
    ticket: String,
    how: String,
}

impl Input for Naps {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Notes {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Work {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Spread {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Misuse {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: Vec<String>,
}

fn told(told: Vec<String>) -> Result<Response, Error> {
    Response::data(&Told { told })
}

fn either(outcome: Result<String, String>) -> String {
    outcome.unwrap_or_else(|error| error)
}

/// So many naps at once.
fn naps(request: &Request) -> Result<Response, Error> {
    let Naps { count, ms } = request.json()?;
    let naps = (0..count).map(|nap| begin(steps_begin::nap(&nap.to_string(), ms), steps_finish::nap));
    told(join_all(naps))
}

/// The same one after the other.
fn naps_in_turn(request: &Request) -> Result<Response, Error> {
    let Naps { count, ms } = request.json()?;
    told((0..count).map(|nap| steps::nap(&nap.to_string(), ms)).collect())
}

/// Transactions at once, each in an instance of its own; and an id that is drawn after them.
fn notes(request: &Request) -> Result<Response, Error> {
    let Notes { ticket, what } = request.json()?;
    let notes = what
        .iter()
        .map(|what| begin(steps_begin::note(&ticket, what), steps_finish::note));
    let mut seen: Vec<String> = join_all(notes).into_iter().map(either).collect();
    seen.push(new_id().to_string());
    told(seen)
}

/// Reads at once, and one that is refused among them.
fn queries(request: &Request) -> Result<Response, Error> {
    let Naps { count, .. } = request.json()?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let reads = (0..count).map(|n| sql::begin_query(sql!("SELECT 2 * $1::int8 AS twice"), params![n]));
    let mut seen = Vec::new();
    for read in join_all(reads) {
        let twice: i64 = sql::Row::get(&read?[0], "twice")?;
        seen.push(twice.to_string());
    }
    let (broken, fine) = join((
        sql::begin_query(sql!("SELECT nothing FROM nowhere"), params![]),
        sql::begin_query(sql!("SELECT 1 AS one"), params![]),
    ));
    seen.push(
        if broken.is_err() && fine.is_ok() {
            "refused"
        } else {
            "not refused"
        }
        .into(),
    );
    told(seen)
}

/// One that works for long, and one that does not; then both are noted.
fn work(request: &Request) -> Result<Response, Error> {
    let Work { ticket, ms } = request.json()?;
    let (long, short) = join((
        begin(steps_begin::work(&ticket, "long", ms), steps_finish::work),
        begin(steps_begin::work(&ticket, "short", 0), steps_finish::work),
    ));
    leave(&ticket, "both")?;
    told(vec![either(long), either(short), new_id().to_string()])
}

/// One of two panics.
fn fall(request: &Request) -> Result<Response, Error> {
    let Work { ticket, ms } = request.json()?;
    let (noted, _) = join((
        begin(steps_begin::work(&ticket, "beside", 2_000), steps_finish::work),
        begin(steps_begin::fall(ms), steps_finish::fall),
    ));
    told(vec![either(noted)])
}

fn spread(request: &Request) -> Result<Response, Error> {
    let Spread { width, depth } = request.json()?;
    told(vec![steps::spread(width, depth).to_string()])
}

/// Returns before what it began does.
fn unfinished(request: &Request) -> Result<Response, Error> {
    let Work { ticket, ms } = request.json()?;
    let _never_finished = begin(steps_begin::work(&ticket, "left", ms), steps_finish::work);
    told(vec!["returned".into()])
}

/// What may not be.
fn misuse(request: &Request) -> Result<Response, Error> {
    let Misuse { ticket, how } = request.json()?;
    match &*how {
        "twice" => {
            let call = steps_begin::nap("a", 0);
            steps_finish::nap(call);
            steps_finish::nap(call);
        }
        "another" => {
            steps_finish::fall(steps_begin::nap("a", 0));
        }
        "too many" => {
            for _ in 0..17 {
                steps_begin::nap("a", 0);
            }
        }
        "too many queries" => {
            let _open: Vec<_> = (0..17).map(|_| sql::begin_query(sql!("SELECT 1"), params![])).collect();
        }
        "in a transaction" => {
            let call = steps_begin::nap("a", 0);
            sql::transaction(|tx| {
                tx.execute(
                    sql!("INSERT INTO note (ticket, what) VALUES ($1, 'within')"),
                    params![ticket],
                )?;
                steps_finish::nap(call);
                Ok::<_, sql::Error>(())
            })?;
        }
        _ => {
            steps_finish::nap(7);
        }
    }
    told(Vec::new())
}
