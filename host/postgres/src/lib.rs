//! A private PostgreSQL: finds its programs, creates a cluster in a data directory, starts it, adopts one that a killed
//! process left behind, and stops it.
//!
//! ```no_run
//! # async fn example() -> Result<(), host_postgres::Error> {
//! use host_postgres::{DataDir, Options, Programs, Server};
//!
//! let data_dir = DataDir::lock(".nexus")?;
//! let programs = Programs::find_or_install(&mut |line| eprintln!("{line}")).await?;
//! let server = Server::start(&programs, &data_dir, &Options::default()).await?;
//! let url = server.connection().url(); // for sqlx and tokio-postgres alike
//! # let _ = url;
//! server.stop().await
//! # }
//! ```

mod connection;
mod data_dir;
mod error;
mod home;
mod password;
mod pid_file;
mod programs;
mod random;
mod server;
mod settings;
mod temporary;
pub mod test_support;
mod user;

pub use connection::Connection;
pub use data_dir::DataDir;
pub use error::{Error, Result};
pub use programs::Programs;
pub use server::{Options, Server};
pub use settings::Settings;
pub use temporary::TemporaryServer;
pub use user::User;
