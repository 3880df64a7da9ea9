//! The private PostgreSQL against the real programs. One program for all, since linking is what takes time.

mod place;
mod server;
mod support;
mod test_support;
