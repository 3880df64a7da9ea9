//! One structured line per call, written by the host and not repeated on replay. No secrets, no personal data.

use std::fmt::Display;

use crate::bindings::nexus::log::log;
pub use crate::bindings::nexus::log::log::Level;

/// Fields of a line: a name and anything with a text form.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// Writes one line. Asks the host.
pub fn write(level: Level, message: &str, fields: Fields<'_>) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_string()))
        .collect();
    log::write(level, message, &fields);
}

/// For a developer following one invocation.
pub fn debug(message: &str, fields: Fields<'_>) {
    write(Level::Debug, message, fields);
}

/// Something an operator may want to see in normal running.
pub fn info(message: &str, fields: Fields<'_>) {
    write(Level::Info, message, fields);
}

/// Something unexpected that was handled.
pub fn warn(message: &str, fields: Fields<'_>) {
    write(Level::Warn, message, fields);
}

/// Something failed that somebody must look at.
pub fn error(message: &str, fields: Fields<'_>) {
    write(Level::Error, message, fields);
}
