//! Components that are not ours: built with Spin's SDK for Rust, version 7, or for `wasi:http` 0.2, and run as they are.

mod calls;
mod capabilities;
mod grants;
mod limits;
mod serving;
mod streams;
mod world;
