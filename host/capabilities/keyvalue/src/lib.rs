//! Key-value stores granted to a component
