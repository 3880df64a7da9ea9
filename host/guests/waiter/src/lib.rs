//! Sleeps, and waits for promises that somebody else completes. Every step of an invocation leaves a row, so that a test can count how
//! often it happened. Before and after a sleep it may look at what its manifest says of it.

sdk::component!("test:waiter/waiter@0.1.0" in ["../../../wit", "wit"], promises);

use std::time::Duration;

use bindings::exports::nexus::http::handler;
use bindings::exports::test::waiter::{jobs, peers as exported_peers};
use bindings::nexus::link::{providers, types::Target};
use bindings::test::waiter::{jobs_schedule, jobs_send, peers};
use sdk::http::{Error, Request, Response, Router};
use sdk::promise::{Completion, WaitError};
use sdk::sql::{self, Transaction, params, sql};
use sdk::{Checks, Input, Promise, now, routes, sleep};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![
    POST "/waiter/sleep" for anyone => nap,
    POST "/waiter/wait" for anyone => wait,
    POST "/waiter/wait-for" for anyone => wait_for,
    POST "/waiter/complete" for anyone => complete,
    POST "/waiter/complete-own" for anyone => complete_own,
    POST "/waiter/wait-in-transaction" for anyone => wait_in_transaction,
    POST "/waiter/send" for anyone => send,
    POST "/waiter/review" for anyone => review,
    POST "/waiter/ask" for anyone => ask,
]);

struct Waiter;

bindings::export!(Waiter with_types_in bindings);

impl handler::Guest for Waiter {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

impl jobs::Guest for Waiter {
    fn note(ticket: String, what: String) -> Result<u32, String> {
        if what == "refused" {
            return Err("it is refused".into());
        }
        let what = match what.as_str() {
            "review" => seen(HELD_MIB),
            _ => what,
        };
        note(&ticket, &what).map_err(|error| error.to_string())?;
        Ok(1)
    }
}

impl exported_peers::Guest for Waiter {
    fn hear(provider: Target) -> String {
        provider.provider
    }
}

/// What a scheduled look at the manifest holds.
const HELD_MIB: usize = 16;

#[derive(Deserialize)]
struct Nap {
    ticket: String,
    ms: u64,
}

#[derive(Deserialize)]
struct Review {
    ticket: String,
    ms: u64,
    mib: usize,
}

#[derive(Deserialize)]
struct Wait {
    ticket: String,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct WaitFor {
    promise: String,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Complete {
    promise: String,
    value: String,
    #[serde(default)]
    roll_back: bool,
}

#[derive(Deserialize)]
struct Ticket {
    ticket: String,
}

#[derive(Deserialize)]
struct Ask {
    provider: String,
}

impl Input for Nap {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Review {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Wait {
    fn check(&self, _: &mut Checks) {}
}

impl Input for WaitFor {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Complete {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Ticket {
    fn check(&self, _: &mut Checks) {}
}

impl Input for Ask {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Deserialize)]
struct Send {
    ticket: String,
    what: String,
    delay_ms: Option<u64>,
    #[serde(default)]
    roll_back: bool,
}

impl Input for Send {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: String,
}

fn told(told: impl Into<String>) -> Result<Response, Error> {
    Response::data(&Told { told: told.into() })
}

fn waited(outcome: Result<String, WaitError>) -> String {
    match outcome {
        Ok(value) => format!("value {value}"),
        Err(WaitError::TimedOut) => "timed out".into(),
        Err(WaitError::NotFound) => "not found".into(),
    }
}

const fn completed(outcome: Completion) -> &'static str {
    match outcome {
        Completion::Completed => "completed",
        Completion::AlreadyCompleted => "already completed",
        Completion::NotFound => "not found",
    }
}

fn note(ticket: &str, what: &str) -> Result<(), sql::Error> {
    sql::transaction(|tx| note_in(tx, ticket, what))
}

fn note_in(tx: &Transaction, ticket: &str, what: &str) -> Result<(), sql::Error> {
    tx.execute(
        sql!("INSERT INTO note (ticket, what) VALUES ($1, $2)"),
        params![ticket, what],
    )?;
    Ok(())
}

/// Notes, sleeps, notes; tells how long it slept by its own clock.
fn nap(request: &Request) -> Result<Response, Error> {
    let Nap { ticket, ms } = request.json()?;
    note(&ticket, "before")?;
    let before = now();
    sleep(Duration::from_millis(ms));
    let slept_ms = now().as_ms() - before.as_ms();
    note(&ticket, "after")?;
    told(slept_ms.to_string())
}

/// Notes what it sees of its manifest, sleeps, and looks again.
fn review(request: &Request) -> Result<Response, Error> {
    let Review { ticket, ms, mib } = request.json()?;
    note(&ticket, &format!("before: {}", seen(0)))?;
    sleep(Duration::from_millis(ms));
    let seen = seen(mib);
    note(&ticket, &format!("then: {seen}"))?;
    told(seen)
}

/// Who of the peers it may name answers, and how many mebibytes it can hold.
fn seen(mib: usize) -> String {
    let heard = providers::granted("test:waiter/peers").into_iter();
    let heard: Vec<_> = heard.map(|provider| peers::hear(&Target { provider })).collect();
    let held = std::hint::black_box(vec![1_u8; mib << 20]);
    format!("{} with {} MiB", heard.join(" and "), held.len() >> 20)
}

/// Asks the peer of that name, whether it may or not.
fn ask(request: &Request) -> Result<Response, Error> {
    let Ask { provider } = request.json()?;
    told(peers::hear(&Target { provider }))
}

/// Hands a promise out under a name, waits for it, and notes what came.
fn wait(request: &Request) -> Result<Response, Error> {
    let Wait { ticket, timeout_ms } = request.json()?;
    let promise = sql::transaction(|tx| {
        let promise = Promise::<String>::new();
        tx.execute(
            sql!("INSERT INTO ticket (name, promise) VALUES ($1, $2)"),
            params![ticket, promise.id()],
        )?;
        note_in(tx, &ticket, "before")?;
        Ok::<_, sql::Error>(promise)
    })?;
    let outcome = waited(promise.wait(timeout_ms.map(Duration::from_millis)));
    note(&ticket, &outcome)?;
    told(outcome)
}

/// Waits for somebody else's promise.
fn wait_for(request: &Request) -> Result<Response, Error> {
    let WaitFor { promise, timeout_ms } = request.json()?;
    let outcome = Promise::<String>::with_id(promise).wait(timeout_ms.map(Duration::from_millis));
    told(waited(outcome))
}

/// Completes a promise and notes it in one transaction, which may be rolled back.
fn complete(request: &Request) -> Result<Response, Error> {
    let Complete {
        promise,
        value,
        roll_back,
    } = request.json()?;
    let mut outcome = Completion::NotFound;
    let committed = sql::transaction(|tx| {
        outcome = Promise::with_id(&*promise).complete(&value);
        note_in(tx, &promise, completed(outcome))?;
        if roll_back { Err(sql::Error::Poisoned) } else { Ok(()) }
    });
    match committed {
        Ok(()) => told(completed(outcome)),
        Err(_) if roll_back => told("rolled back"),
        Err(error) => Err(error.into()),
    }
}

/// A promise that is completed before anything of it is written, and by nobody else: twice, and then waited for.
fn complete_own(request: &Request) -> Result<Response, Error> {
    let Ticket { ticket } = request.json()?;
    let promise = Promise::<String>::new();
    let first = promise.complete(&"own".into());
    let second = promise.complete(&"again".into());
    let outcome = waited(promise.wait(None));
    note(&ticket, &outcome)?;
    told(format!("{}, {}, {outcome}", completed(first), completed(second)))
}

/// May not be: nothing waits while a transaction is open.
fn wait_in_transaction(request: &Request) -> Result<Response, Error> {
    let Ticket { ticket } = request.json()?;
    sql::transaction(|tx| {
        note_in(tx, &ticket, "within")?;
        sleep(Duration::from_millis(1));
        Ok::<_, sql::Error>(())
    })?;
    told("slept")
}

/// Sends to itself in a transaction that may be rolled back; tells the new invocation's id.
fn send(request: &Request) -> Result<Response, Error> {
    let Send {
        ticket,
        what,
        delay_ms,
        roll_back,
    } = request.json()?;
    let mut sent = String::new();
    let committed = sql::transaction(|tx| {
        note_in(tx, &ticket, "sent")?;
        sent = match delay_ms {
            Some(delay_ms) => jobs_schedule::note(delay_ms, &ticket, &what),
            None => jobs_send::note(&ticket, &what),
        };
        if roll_back { Err(sql::Error::Poisoned) } else { Ok(()) }
    });
    match committed {
        Ok(()) => told(sent),
        Err(_) if roll_back => told("rolled back"),
        Err(error) => Err(error.into()),
    }
}
