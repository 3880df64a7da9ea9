//! Why a function cannot be linked, or a value cannot cross.

/// Why a function cannot be linked, or a value cannot cross.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The function's type cannot cross components: the deployer's fault, found when linking.
    #[error("function {function}: {kind} cannot cross components")]
    Unsupported {
        /// The function.
        function: String,
        /// What kind of type.
        kind: &'static str,
    },
    /// The function's type is larger than any real one: the deployer's fault, found when linking.
    #[error("function {function}: its type is too large")]
    TypeTooLarge {
        /// The function.
        function: String,
    },
    /// Wasmtime refuses the definition: the name is taken.
    #[error("define import {function}")]
    Define {
        /// The function.
        function: String,
        /// What wasmtime says.
        #[source]
        source: wasmtime::Error,
    },
    /// The guest passed something that is no value of the type: the guest's fault, a trap.
    #[error("invalid value from the guest: {0}")]
    GuestValue(&'static str),
    /// Bytes that are no encoding of a value of the type.
    #[error("invalid encoded value")]
    Encoded(#[from] minicbor::decode::Error),
    /// Bytes that encode something else than a value of the type.
    #[error("invalid encoded value: {0}")]
    Shape(&'static str),
    /// A [`Value`] that is not of the type.
    ///
    /// [`Value`]: crate::Value
    #[error("value is not of type {expected}")]
    Value {
        /// What was expected.
        expected: &'static str,
    },
}
