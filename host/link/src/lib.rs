//! A component's import answered by another component's export
