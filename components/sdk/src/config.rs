//! The component's variables, as the manifest and the environment set them.

use std::str::FromStr;

use crate::{bindings::wasi::config::store, saga::trap};

/// A variable that is missing or does not parse: the operator's fault, not the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The component cannot work without it.
    #[error("variable {0} is not set")]
    Missing(String),
    /// It is set to something this component cannot read.
    #[error("variable {name} has a value that is no {expected}")]
    Invalid {
        /// The variable.
        name: String,
        /// The Rust type asked for.
        expected: &'static str,
    },
}

/// The variable, or none when it is not set or empty. Asks the host; traps when the host's store fails, so that it is retried.
pub fn get(name: &str) -> Option<String> {
    match store::get(name) {
        Ok(value) => value.filter(|value| !value.is_empty()),
        Err(error) => trap(&format!("read variable {name}: {error}")),
    }
}

/// The variable as a `T`; none when it is not set. Asks the host.
pub fn parse<T: FromStr>(name: &str) -> Result<Option<T>, Error> {
    get(name).map(|text| read(name, &text)).transpose()
}

/// The variable as a `T`, or `default` when it is not set. Asks the host.
pub fn parse_or<T: FromStr>(name: &str, default: T) -> Result<T, Error> {
    Ok(parse(name)?.unwrap_or(default))
}

/// The variable as a `T`; an error when it is not set. Asks the host.
pub fn require<T: FromStr>(name: &str) -> Result<T, Error> {
    parse(name)?.ok_or_else(|| Error::Missing(name.to_owned()))
}

fn read<T: FromStr>(name: &str, text: &str) -> Result<T, Error> {
    // The value itself stays out of the message: it may be a secret.
    text.trim().parse().map_err(|_| Error::Invalid {
        name: name.to_owned(),
        expected: std::any::type_name::<T>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated_in_the_error() {
        let error = read::<u32>("limit", "hunter2").unwrap_err();
        assert_eq!(error.to_string(), "variable limit has a value that is no u32");
        assert_eq!(read::<u32>("limit", " 12 "), Ok(12));
    }
}
