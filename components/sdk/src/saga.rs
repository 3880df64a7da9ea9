//! The undo list of a flow that spans several modules.

use std::fmt::Display;

use crate::log;

type Step<'a> = Box<dyn FnOnce() -> Result<(), String> + 'a>;

/// What to undo when the flow fails, in the order it was done.
#[derive(Default)]
pub struct Undo<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Undo<'a> {
    /// Adds a step. Push it *before* what it undoes: a failure whose outcome is unknown must be undone too, so an undo has
    /// to be a no-op when there is nothing to undo.
    pub fn push<E: Display>(&mut self, step: impl FnOnce() -> Result<(), E> + 'a) {
        self.steps
            .push(Box::new(move || step().map_err(|error| error.to_string())));
    }

    /// Runs the steps backwards; the first that fails ends it with its reason.
    fn run(self) -> Result<(), String> {
        self.steps.into_iter().rev().try_for_each(|step| step())
    }
}

/// Runs `flow`; when it fails, runs what it pushed backwards and then returns its error.
///
/// An undo that fails traps, so that the host tries the whole invocation again: what was done is answered from its record,
/// and only the failed undo and those after it are repeated.
pub fn saga<'a, T, E>(flow: impl FnOnce(&mut Undo<'a>) -> Result<T, E>) -> Result<T, E> {
    let mut undo = Undo { steps: Vec::new() };
    let outcome = flow(&mut undo);
    if outcome.is_err()
        && let Err(reason) = undo.run()
    {
        trap(&format!("undo failed: {reason}"));
    }
    outcome
}

/// Gives this attempt up with a reason; the host logs it and tries again. Asks the host.
pub fn trap(reason: &str) -> ! {
    log::error(reason, &[]);
    panic!("{reason}")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn trace(fail: bool) -> (Result<u8, &'static str>, Vec<&'static str>) {
        let done = RefCell::new(Vec::new());
        let note = |what| {
            done.borrow_mut().push(what);
            Ok::<(), String>(())
        };
        let outcome = saga(|undo| {
            undo.push(|| note("release stock"));
            undo.push(|| note("refund"));
            if fail { Err("declined") } else { Ok(7) }
        });
        (outcome, done.into_inner())
    }

    #[test]
    fn a_failed_flow_is_undone_backwards() {
        assert_eq!(trace(true), (Err("declined"), vec!["refund", "release stock"]));
    }

    #[test]
    fn a_finished_flow_is_not_undone() {
        assert_eq!(trace(false), (Ok(7), vec![]));
    }

    #[test]
    fn an_undo_that_fails_ends_the_list_with_its_reason() {
        let reached = RefCell::new(false);
        let mut undo = Undo { steps: Vec::new() };
        undo.push(|| {
            *reached.borrow_mut() = true;
            Ok::<(), String>(())
        });
        undo.push(|| Err("gateway down"));
        assert_eq!(undo.run(), Err("gateway down".to_owned()));
        assert!(!reached.into_inner(), "a step before the failed one ran out of order");
    }
}
