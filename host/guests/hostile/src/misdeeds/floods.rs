//! Much of what is allowed once: lines, messages, statements, and memory that is counted once and copied often.

use sdk::bindings::nexus::durable::{derived, timer};
use sdk::bindings::nexus::log::log::{self, Level};
use sdk::bindings::nexus::sql::sql::{self, Error, Isolation, Transaction, Value};

use super::answers::plain;
use crate::bindings::exports::nexus::http::handler::Response;
use crate::bindings::hostile::guest::mirror;

/// A thousand texts that are all the same ten mebibytes of this instance's memory.
pub(super) fn overlapping() -> Vec<String> {
    const LENGTH: usize = 10 << 20;
    let text = Box::leak("x".repeat(LENGTH).into_boxed_str());
    let begin = text.as_mut_ptr();
    // SAFETY: they are not. But whoever lowers them to the host only reads them, and this instance does not live on after that.
    #[expect(unsafe_code, reason = "values that safe code cannot make are the misdeed")]
    let alias = |_| unsafe { String::from_raw_parts(begin, LENGTH, LENGTH) };
    (0..1000).map(alias).collect()
}

/// Nothing of them is given back to the allocator.
fn lent<T>(texts: Vec<T>) -> &'static [T] {
    texts.leak()
}

pub(super) fn weigh_overlapping() {
    mirror::weigh(lent(overlapping()));
}

pub(super) fn log_lines() -> Response {
    for number in 0..1_000_000 {
        log::write(Level::Error, &format!("line {number} of many"), &[]);
    }
    plain("a million lines".to_owned())
}

pub(super) fn log_line() -> Response {
    let long = "long line ".repeat(1 << 20);
    let fields: Vec<_> = (0..100)
        .map(|number| (format!("field {number}"), long[..1 << 16].to_owned()))
        .collect();
    log::write(Level::Error, &long, &fields);
    plain("a long line".to_owned())
}

pub(super) fn log_forged() -> Response {
    let message = "before\nFORGED-LINE ERROR the host is compromised\r\x1b[2Jafter";
    log::write(
        Level::Error,
        message,
        &[("field\nFORGED-FIELD".to_owned(), "a\nFORGED-VALUE".to_owned())],
    );
    plain("a line and a half".to_owned())
}

pub(super) fn log_overlapping() -> Response {
    let fields = overlapping()
        .into_iter()
        .map(|text| ("field".to_owned(), text))
        .collect();
    log::write(Level::Error, "overlapping", lent(fields));
    plain("overlapping fields".to_owned())
}

pub(super) fn schedules() -> Response {
    let argument = vec![0; 512 << 10];
    loop {
        timer::schedule("nothing", &argument, 3_600_000);
    }
}

pub(super) fn schedule_large() -> Response {
    timer::schedule("nothing", &vec![0; 8 << 20], 3_600_000);
    plain("scheduled".to_owned())
}

pub(super) fn savepoints() -> Response {
    let transaction = Transaction::begin(Isolation::ReadCommitted);
    loop {
        transaction.savepoint();
    }
}

pub(super) fn long_statements() -> Response {
    told(&format!("SELECT 1 /* {} */", "x".repeat(10 << 20)))
}

/// More and longer ones than any session should keep prepared; says how many it does.
pub(super) fn many_statements() -> Response {
    let long = "x".repeat(60 << 10);
    for number in 0..40 {
        let told = sql::query(&format!("SELECT {number} /* {long} */"), &[]);
        told.expect("it is not too long");
    }
    let kept = sql::query("SELECT count(*) FROM pg_prepared_statements", &[]);
    plain(match kept.map(|rows| rows.rows) {
        Ok(rows) => match rows.first().map(Vec::as_slice) {
            Some([Value::Int64(kept)]) => kept.to_string(),
            _ => "no count".to_owned(),
        },
        Err(error) => format!("{error:?}"),
    })
}

pub(super) fn overlapping_parameters() -> Response {
    let parameters = overlapping().into_iter().map(Value::Text).collect();
    let told = sql::query("SELECT 1", lent(parameters));
    plain(format!("{}", told.is_ok()))
}

pub(super) fn random_bytes() -> Response {
    plain(format!("{} bytes", derived::random_bytes(u32::MAX).len()))
}

fn told(statement: &str) -> Response {
    plain(match sql::query(statement, &[]) {
        Ok(_) => "answered".to_owned(),
        Err(Error::Other(error)) => format!("{}: {}", error.code, error.message),
        Err(error) => format!("{error:?}"),
    })
}
