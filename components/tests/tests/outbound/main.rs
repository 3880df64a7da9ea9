//! What a component may reach outside of the database, and what becomes of it when the host dies on the way.

mod doubt;
mod entries;
mod grants;
mod key_values;
mod peer;
mod world;
