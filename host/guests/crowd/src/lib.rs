//! The crowd that bounds are tested with: requests that take their time, and jobs that it sends to itself by the thousand. Its first
//! path segment is whatever route it is mounted on, so that one application can hold it twice.

sdk::component!("test:crowd/crowd@0.1.0" in ["../../../wit", "wit"]);

use std::time::Duration;

use bindings::exports::nexus::http::handler;
use bindings::exports::test::crowd::jobs;
use bindings::test::crowd::{jobs_schedule, jobs_send};
use sdk::http::{Error, Request, Response, Router};
use sdk::sql::{self, params, sql};
use sdk::{Checks, Input, routes, sleep};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/:who/note" for anyone => note_once,
    POST "/:who/idle" for anyone => idle,
    POST "/:who/nap" for anyone => nap_once,
    POST "/:who/begin" for anyone => begin,
    POST "/:who/loop" for anyone => run_laps,
    GET "/:who/greeting" for anyone => greeting,
]);

/// Jobs of one request: they are sent in one append.
const MAX_JOBS: u32 = 5_000;

struct Crowd;

bindings::export!(Crowd with_types_in bindings);

impl handler::Guest for Crowd {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

impl jobs::Guest for Crowd {
    fn nap(ticket: String, ms: u64) {
        // A trap is tried again, as a module's own failure would be.
        nap(&ticket, ms).expect("the notes of a nap can be written");
    }

    fn lap(ticket: String, left: u32) {
        lap(&ticket, left).expect("the note of a lap can be written");
    }
}

#[derive(Deserialize)]
struct Nap {
    ticket: String,
    ms: u64,
}

#[derive(Deserialize)]
struct Begin {
    ticket: String,
    count: u32,
    delay_ms: u64,
    ms: u64,
}

#[derive(Deserialize)]
struct Laps {
    ticket: String,
    laps: u32,
}

impl Input for Laps {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: &'static str,
}

impl Input for Nap {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Begin {
    fn check(&self, checks: &mut Checks) {
        checks.require("count", self.count <= MAX_JOBS, "must be at most 5000");
    }
}

fn told(told: &'static str) -> Result<Response, Error> {
    Response::data(&Told { told })
}

fn note(ticket: &str, what: &str) -> Result<(), sql::Error> {
    sql::transaction(|tx| {
        tx.execute(
            sql!("INSERT INTO note (ticket, what) VALUES ($1, $2)"),
            params![ticket, what],
        )?;
        Ok(())
    })
}

fn nap(ticket: &str, ms: u64) -> Result<(), sql::Error> {
    note(ticket, "before")?;
    sleep(Duration::from_millis(ms));
    note(ticket, "after")
}

/// A loop without an end in its journal: each round is an invocation of its own, which begins with the commit that ends the one before.
fn lap(ticket: &str, left: u32) -> Result<(), sql::Error> {
    sql::transaction(|tx| {
        let what = format!("lap {left}");
        tx.execute(
            sql!("INSERT INTO note (ticket, what) VALUES ($1, $2)"),
            params![ticket, what],
        )?;
        if left > 0 {
            jobs_send::lap(ticket, left - 1);
        }
        Ok(())
    })
}

fn run_laps(request: &Request) -> Result<Response, Error> {
    let Laps { ticket, laps } = request.json()?;
    lap(&ticket, laps)?;
    told("running")
}

/// One transaction.
fn note_once(request: &Request) -> Result<Response, Error> {
    let Nap { ticket, .. } = request.json()?;
    note(&ticket, "noted")?;
    told("noted")
}

/// Takes its time, and leaves nothing.
fn idle(request: &Request) -> Result<Response, Error> {
    let Nap { ms, .. } = request.json()?;
    sleep(Duration::from_millis(ms));
    told("idled")
}

/// Takes its time between two transactions.
fn nap_once(request: &Request) -> Result<Response, Error> {
    let Nap { ticket, ms } = request.json()?;
    nap(&ticket, ms)?;
    told("napped")
}

/// Sends many jobs to itself.
fn begin(request: &Request) -> Result<Response, Error> {
    let Begin {
        ticket,
        count,
        delay_ms,
        ms,
    } = request.json()?;
    sql::transaction(|tx| {
        tx.execute(
            sql!("INSERT INTO note (ticket, what) VALUES ($1, 'begun')"),
            params![ticket],
        )?;
        for _ in 0..count {
            jobs_schedule::nap(delay_ms, &ticket, ms);
        }
        Ok::<_, sql::Error>(())
    })?;
    told("begun")
}

/// Asks nobody.
fn greeting(_: &Request) -> Result<Response, Error> {
    told("hello")
}
