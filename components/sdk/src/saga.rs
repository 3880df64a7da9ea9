//! The undo list of a flow that spans several modules. The world must import `nexus:durable/compensation` and export
//! `nexus:durable/compensate`.
//!
//! A compensation is a value, not a closure: what it needs is in it, so that the host can have it run in a fresh instance when an
//! operator cancels the invocation, long after the memory that pushed it is gone. A component has one enum for all of its own:
//!
//! ```ignore
//! #[derive(Serialize, Deserialize)]
//! enum Undo { ReleaseStock(ReservationId), CloseSession(SessionId) }
//!
//! impl Compensation for Undo {
//!     type Error = Error;
//!     fn name(&self) -> &'static str { ... }   // what an operator reads
//!     fn run(self) -> Result<(), Error> { ... }
//! }
//!
//! saga(|undo| {
//!     undo.push(Undo::ReleaseStock(line.reservation_id));   // before what it undoes
//!     inventory::reserve(line)?;
//!     undo.push(Undo::CloseSession(session_id));
//!     open(session_id)
//! })
//! ```
//!
//! A compensation may run when what it undoes never happened, and it may run twice: both must be harmless. Where what it undoes could
//! still happen afterwards, under the same id, it also keeps it from happening: "release the reservation" blocks an id that was never
//! reserved.

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};

use crate::{bindings::nexus::durable::compensation, log};

/// What a component can undo.
pub trait Compensation: Serialize + DeserializeOwned {
    /// Why it cannot be undone now; it is tried again.
    type Error: Display;

    /// What an operator reads of it.
    fn name(&self) -> &'static str;

    /// Undoes it. Harmless when repeated, and when there is nothing to undo.
    fn run(self) -> Result<(), Self::Error>;
}

/// What to undo when the flow fails, in the order it was done.
pub struct Undo<'a, C> {
    steps: Vec<C>,
    host: &'a dyn Host,
}

/// Who knows the list beside this instance.
trait Host {
    fn push(&self, name: &str, argument: &[u8]);
    fn undone(&self);
    fn settle(&self, count: u32);
}

/// The host this component runs in.
struct Imported;

impl Host for Imported {
    fn push(&self, name: &str, argument: &[u8]) {
        compensation::push(name, argument);
    }

    fn undone(&self) {
        compensation::undone();
    }

    fn settle(&self, count: u32) {
        compensation::settle(count);
    }
}

impl<C: Compensation> Undo<'_, C> {
    /// Adds a step. Push it *before* what it undoes: a failure whose outcome is unknown must be undone too.
    pub fn push(&mut self, step: C) {
        let argument = serde_json::to_vec(&step)
            .unwrap_or_else(|error| trap(&format!("compensation {} has no JSON form: {error}", step.name())));
        self.host.push(step.name(), &argument);
        self.steps.push(step);
    }

    /// Runs the steps backwards; the first that fails ends it with its reason.
    fn run(self) -> Result<(), String> {
        for step in self.steps.into_iter().rev() {
            let name = step.name();
            step.run().map_err(|error| format!("{name}: {error}"))?;
            self.host.undone();
        }
        Ok(())
    }
}

/// Runs `flow`; when it fails, runs what it pushed backwards and then returns its error. Asks the host.
///
/// An undo that fails traps, so that the host tries the whole invocation again: what was done is answered from its record,
/// and only the failed undo and those after it are repeated. When the host gives that up, the invocation is paused.
///
/// A flow that ends well settles its list: from then on a cancellation undoes nothing of it.
pub fn saga<C: Compensation, T, E>(flow: impl FnOnce(&mut Undo<'_, C>) -> Result<T, E>) -> Result<T, E> {
    run(&Imported, flow).unwrap_or_else(|reason| trap(&format!("undo failed: {reason}")))
}

/// `Err`: the flow failed, and undoing it did too.
fn run<C: Compensation, T, E>(
    host: &dyn Host,
    flow: impl FnOnce(&mut Undo<'_, C>) -> Result<T, E>,
) -> Result<Result<T, E>, String> {
    let mut undo = Undo {
        steps: Vec::new(),
        host,
    };
    let outcome = flow(&mut undo);
    match &outcome {
        Err(_) => undo.run()?,
        Ok(_) if undo.steps.is_empty() => {}
        Ok(_) => host.settle(u32::try_from(undo.steps.len()).unwrap_or(u32::MAX)),
    }
    Ok(outcome)
}

/// Runs a compensation that was pushed by this component, from what the host kept of it: the whole of an export `compensate.run`.
pub fn compensate<C: Compensation>(name: &str, argument: &[u8]) -> Result<(), String> {
    let step: C = serde_json::from_slice(argument).map_err(|error| format!("the argument of {name}: {error}"))?;
    if step.name() != name {
        return Err(format!("{name} was pushed with the argument of {}", step.name()));
    }
    step.run().map_err(|error| error.to_string())
}

/// Gives this attempt up with a reason; the host logs it and tries again. Asks the host.
pub fn trap(reason: &str) -> ! {
    log::error(reason, &[]);
    panic!("{reason}")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde::Deserialize;

    use super::*;

    thread_local! {
        /// What was run, and what the host was told: tests have a thread each.
        static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Serialize, Deserialize)]
    enum Step {
        Release(u32),
        Refund,
        Broken,
    }

    impl Compensation for Step {
        type Error = String;

        fn name(&self) -> &'static str {
            match self {
                Self::Release(_) => "release",
                Self::Refund => "refund",
                Self::Broken => "broken",
            }
        }

        fn run(self) -> Result<(), String> {
            if matches!(self, Self::Broken) {
                return Err("gateway down".into());
            }
            seen(format!("run {}", self.name()));
            Ok(())
        }
    }

    struct Watched;

    impl Host for Watched {
        fn push(&self, name: &str, argument: &[u8]) {
            seen(format!("push {name} {}", String::from_utf8_lossy(argument)));
        }

        fn undone(&self) {
            seen("undone".into());
        }

        fn settle(&self, count: u32) {
            seen(format!("settle {count}"));
        }
    }

    fn seen(what: String) {
        SEEN.with_borrow_mut(|seen| seen.push(what));
    }

    fn trace(
        steps: impl IntoIterator<Item = Step>,
        fails: bool,
    ) -> (Result<Result<u8, &'static str>, String>, Vec<String>) {
        let outcome = run(&Watched, |undo| {
            steps.into_iter().for_each(|step| undo.push(step));
            if fails { Err("declined") } else { Ok(7) }
        });
        (outcome, SEEN.take())
    }

    #[test]
    fn a_failed_flow_is_undone_backwards() {
        let (outcome, seen) = trace([Step::Release(3), Step::Refund], true);
        assert_eq!(outcome, Ok(Err("declined")));
        let expected = [
            "push release {\"Release\":3}",
            "push refund \"Refund\"",
            "run refund",
            "undone",
            "run release",
            "undone",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_finished_flow_is_settled_and_not_undone() {
        let (outcome, seen) = trace([Step::Release(3), Step::Refund], false);
        assert_eq!(
            (outcome, seen.last().map(String::as_str)),
            (Ok(Ok(7)), Some("settle 2"))
        );
        assert_eq!(
            trace([], false).1,
            [""; 0],
            "with nothing to undo there is nothing to say"
        );
    }

    #[test]
    fn an_undo_that_fails_ends_the_list_with_its_reason() {
        let (outcome, seen) = trace([Step::Release(3), Step::Broken, Step::Refund], true);
        assert_eq!(outcome, Err("broken: gateway down".to_owned()));
        assert_eq!(
            seen[3..],
            ["run refund", "undone"],
            "a step before the failed one ran out of order"
        );
    }

    #[test]
    fn what_was_pushed_can_be_run_from_its_name_and_argument() {
        assert_eq!(compensate::<Step>("release", br#"{"Release":3}"#), Ok(()));
        assert_eq!(SEEN.take(), ["run release"]);
        assert_eq!(
            compensate::<Step>("broken", br#""Broken""#),
            Err("gateway down".to_owned())
        );
        assert!(compensate::<Step>("refund", br#"{"Release":3}"#).is_err());
        assert!(compensate::<Step>("forget", br#""Forget""#).is_err());
        assert_eq!(SEEN.take(), [""; 0]);
    }
}
