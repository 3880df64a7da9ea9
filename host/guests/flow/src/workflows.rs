//! Starting workflows, waiting for them, completing their promises; and what they do.

use std::time::Duration;

use sdk::http::{Error, Request, Response};
use sdk::promise::{Completion, WaitError};
use sdk::{Workflow, deadline, sql};

use crate::bindings::test::flow::{desks, jobs_attach, jobs_workflow};
use crate::{Asked, note, note_in, told};
use sdk::bindings::nexus::durable::workflows::{AttachError, Started};

const FUNCTION: &str = "test:flow/jobs.run";

/// The workflow itself.
pub(crate) fn run(ticket: &str, what: &str) -> Result<String, String> {
    let failed = |error: sql::Error| error.to_string();
    note(ticket, "begun").map_err(failed)?;
    let outcome = match what {
        "refuse" => return Err("it is refused".into()),
        "await" => {
            let workflow = Workflow::current().ok_or("no workflow")?;
            let paid = workflow.promise::<String>("paid").wait(None);
            format!("{} {}", workflow.id(), waited(paid))
        }
        what => match what.split_once(' ') {
            Some(("visit", desk)) => visit(desk, ticket)?,
            Some(("follow", id)) => follow(id)?,
            Some(("own", id)) => attached(jobs_attach::run(id, None)),
            _ => what.to_owned(),
        },
    };
    note(ticket, &outcome).map_err(failed)?;
    Ok(outcome)
}

/// Once it is paid it is served at a desk.
fn visit(desk: &str, ticket: &str) -> Result<String, String> {
    let workflow = Workflow::current().ok_or("no workflow")?;
    let paid = waited(workflow.promise::<String>("paid").wait(None));
    Ok(match desks::serve(desk, ticket, "quick") {
        Ok(served) => format!("{paid}, {served}"),
        Err(reason) => format!("{paid}, refused: {reason}"),
    })
}

/// Once it is told to go it waits for what another one returns.
fn follow(id: &str) -> Result<String, String> {
    let workflow = Workflow::current().ok_or("no workflow")?;
    let told = waited(workflow.promise::<String>("go").wait(None));
    Ok(format!("{told}, {}", attached(jobs_attach::run(id, None))))
}

/// What a workflow returned, for which it is waited once it says `go`.
pub(crate) fn end_of(id: &str) -> String {
    let told = Workflow::new(FUNCTION, id).promise::<String>("go").wait(None);
    format!("{}, {}", waited(told), attached(jobs_attach::run(id, None)))
}

/// Starts one and notes it in one transaction, which may be rolled back.
pub(crate) fn start(request: &Request) -> Result<Response, Error> {
    let Asked {
        id,
        ticket,
        what,
        roll_back,
        ..
    } = request.json()?;
    let mut outcome = String::new();
    let committed = sql::transaction(|tx| {
        note_in(tx, &ticket, "asked")?;
        outcome = match jobs_workflow::run(&id, &ticket, &what) {
            Started::Started(_) => "started".to_owned(),
            Started::AlreadyStarted(invocation) => format!("already started {invocation}"),
        };
        if roll_back { Err(sql::Error::Poisoned) } else { Ok(()) }
    });
    match committed {
        Ok(()) => told(outcome),
        Err(_) if roll_back => told("rolled back"),
        Err(error) => Err(error.into()),
    }
}

/// Waits for its output, and notes it.
pub(crate) fn attach(request: &Request) -> Result<Response, Error> {
    let Asked {
        id, ticket, timeout_ms, ..
    } = request.json()?;
    let outcome = attached(jobs_attach::run(&id, timeout_ms));
    note(&ticket, &outcome)?;
    told(outcome)
}

fn attached(outcome: Result<Result<String, String>, AttachError>) -> String {
    match outcome {
        Ok(Ok(value)) => format!("returned {value}"),
        Ok(Err(error)) => format!("failed: {error}"),
        Err(AttachError::TimedOut) => "timed out".into(),
        Err(AttachError::NotFound) => "not found".into(),
        Err(AttachError::Cancelled) => "cancelled".into(),
        Err(AttachError::Circle) => "a circle".into(),
    }
}

/// Completes one of its promises and notes it in one transaction.
pub(crate) fn complete(request: &Request) -> Result<Response, Error> {
    let Asked {
        id, ticket, what, name, ..
    } = request.json()?;
    let outcome = sql::transaction(|tx| {
        let promise = Workflow::new(FUNCTION, &*id).promise::<String>(&*name);
        let outcome = match promise.complete(&what) {
            Completion::Completed => "completed",
            Completion::AlreadyCompleted => "already completed",
            Completion::NotFound => "not found",
        };
        note_in(tx, &ticket, outcome)?;
        Ok::<_, sql::Error>(outcome)
    })?;
    told(outcome)
}

/// Waits for one of its promises.
pub(crate) fn wait(request: &Request) -> Result<Response, Error> {
    let Asked {
        id, name, timeout_ms, ..
    } = request.json()?;
    let promise = Workflow::new(FUNCTION, id).promise::<String>(name);
    told(waited(promise.wait(timeout_ms.map(Duration::from_millis))))
}

/// Waits for one of its promises, and is served at a desk, all within a time.
pub(crate) fn hurry(request: &Request) -> Result<Response, Error> {
    let Asked {
        id,
        name,
        desk,
        ticket,
        what,
        timeout_ms,
        ..
    } = request.json()?;
    let within = Duration::from_millis(timeout_ms.unwrap_or_default());
    let (promised, served) = deadline::within(within, || {
        let promise = Workflow::new(FUNCTION, id).promise::<String>(name);
        (waited(promise.wait(None)), desks::serve(&desk, &ticket, &what))
    });
    let served = served.unwrap_or_else(|reason| format!("failed: {reason}"));
    let after = deadline::current().is_some();
    told(format!("{promised}; {served}; still hurried: {after}"))
}

fn waited(outcome: Result<String, WaitError>) -> String {
    match outcome {
        Ok(value) => value,
        Err(WaitError::TimedOut) => "timed out".into(),
        Err(WaitError::NotFound) => "not found".into(),
    }
}
