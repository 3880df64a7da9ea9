//! What a hostile module can do to others: nothing. The module is `host/guests/hostile`, beside an honest neighbour in a real host.

mod attacked;
mod cancelled;
mod limits;
mod neighbour;
mod statements;
mod stopping;
