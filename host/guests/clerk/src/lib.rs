//! Writes in transactions of every kind, one after the other: serializable, with savepoints that are kept and undone, rolled back, and refused
//! at the commit. What stands leaves a row each time.

sdk::component!("test:clerk/clerk@0.1.0" in ["../../../wit", "wit"]);

use bindings::exports::nexus::http::handler;
use sdk::http::{Error, Request, Response, Router};
use sdk::sql::{self, Transaction, params};
use sdk::{Checks, Input, routes};
use serde::{Deserialize, Serialize};

const ROUTER: Router = Router::new(&routes![POST "/clerk/write" for anyone => write]);

struct Clerk;

bindings::export!(Clerk with_types_in bindings);

impl handler::Guest for Clerk {
    fn handle(request: handler::Request) -> handler::Response {
        ROUTER.handle(request)
    }
}

#[derive(Deserialize)]
struct Write {
    ticket: String,
}

impl Input for Write {
    fn check(&self, _: &mut Checks) {}
}

#[derive(Serialize)]
struct Told {
    told: Vec<String>,
}

fn write(request: &Request) -> Result<Response, Error> {
    let Write { ticket } = request.json()?;
    let told = vec![
        format!("{} before", next(&ticket)?),
        format!("{} before", next(&ticket)?),
        in_parts(&ticket)?,
        rolled_back(&ticket)?,
        refused(&ticket)?,
        format!("{} after", next(&ticket)?),
    ];
    Response::data(&Told { told })
}

fn note(tx: &Transaction, ticket: &str, what: &str) -> Result<(), sql::Error> {
    tx.execute("INSERT INTO note (ticket, what) VALUES ($1, $2)", params![ticket, what])?;
    Ok(())
}

/// Reads how many there are and writes the next number, which is right for nobody else who does so at the same time.
fn next(ticket: &str) -> Result<i64, sql::Error> {
    sql::serializable(|tx| {
        let counted = tx.query_one("SELECT count(*) AS count FROM note WHERE ticket = $1", params![ticket])?;
        let count: i64 = counted.get("count")?;
        note(tx, ticket, &format!("number {count}"))?;
        Ok(count)
    })
}

/// Keeps one savepoint, and undoes one with another one that was kept in it, and one in which a statement failed.
fn in_parts(ticket: &str) -> Result<String, sql::Error> {
    sql::transaction(|tx| {
        note(tx, ticket, "begun")?;
        tx.savepoint(|tx| note(tx, ticket, "kept"))?;
        let undone = tx.savepoint(|tx| {
            tx.savepoint(|tx| note(tx, ticket, "kept in what is undone"))?;
            Err::<(), _>(sql::Error::Poisoned)
        });
        let failed = tx.savepoint(|tx| note(tx, ticket, "kept"));
        note(tx, ticket, "ended")?;
        Ok(match (undone, failed) {
            (Err(_), Err(failed)) if failed.violates("note_what_once") => "in parts".to_owned(),
            other => format!("{other:?}"),
        })
    })
}

fn rolled_back(ticket: &str) -> Result<String, sql::Error> {
    let undone = sql::transaction(|tx| {
        note(tx, ticket, "rolled back")?;
        Err::<(), _>(sql::Error::Poisoned)
    });
    Ok(undone.map_or_else(|_| "rolled back".to_owned(), |()| "committed".to_owned()))
}

/// Violates what is checked at the commit.
fn refused(ticket: &str) -> Result<String, sql::Error> {
    let outcome = sql::transaction(|tx| {
        note(tx, ticket, "refused")?;
        tx.execute(
            "INSERT INTO answer (ticket, what) VALUES ($1, 'never asked')",
            params![ticket],
        )?;
        Ok::<_, sql::Error>(())
    });
    match outcome {
        Err(error) if error.violates("answer_is_to_a_note") => Ok("refused".to_owned()),
        other => Ok(format!("{other:?}")),
    }
}
