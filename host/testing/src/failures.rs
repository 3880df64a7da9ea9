//! `fail_each_call`: whatever a flow asks for, it does not get once.

use std::fmt::Debug;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use host_journal::Payload;
use host_types::Fault;
use parking_lot::Mutex;

use crate::TestHost;

/// No flow asks for more: one that never ends would be a bug of the test.
const COMMANDS: usize = 500;

/// How often something was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Something was not there once.
    pub transient: usize,
    /// A call returned an error that its type declares.
    pub declared: usize,
}

/// Runs a flow undisturbed, then once for everything it asks for: each command, be it a call of another component, a transaction, a
/// query, a request or a wait, is not there once, and the flow must come to the same. Then each call of another component returns each
/// error that its type declares; whatever the flow comes to then, `holds` must find nothing held.
///
/// The flow is as for [`crate::crash_at_each_entry`]; it must not fail where a call was refused, but return what its client was told. What
/// it scheduled has come when it ends ([`TestHost::skip`]): a timer that comes during a later run makes its calls there.
pub async fn fail_each_call<T: PartialEq + Debug>(
    host: &TestHost,
    mut flow: impl AsyncFnMut(&TestHost, u32) -> Result<T>,
    mut holds: impl AsyncFnMut(&TestHost) -> Result<()>,
) -> Result<Failures> {
    let mut runs = 1..;
    let mut run = || runs.next().unwrap_or_default();
    let undisturbed = flow(host, 0).await.context("undisturbed")?;
    let mut failures = Failures::default();
    let calls = loop {
        ensure!(
            failures.transient < COMMANDS,
            "the flow asks for more than {COMMANDS} things"
        );
        let failing = Failing::command(failures.transient + 1);
        let came_to = failing.disturbing(host, flow(host, run())).await;
        let Some(what) = failing.failed() else {
            came_to?;
            break failing.calls();
        };
        failures.transient += 1;
        let came_to = came_to.with_context(|| what.clone())?;
        ensure!(
            came_to == undisturbed,
            "{what}: it came to {came_to:#?}, undisturbed to {undisturbed:#?}"
        );
        holds(host).await.context(what)?;
    };
    ensure!(failures.transient > 0, "this flow asks for nothing");
    for (at, target) in calls.iter().enumerate() {
        let nth = calls[..=at].iter().filter(|call| *call == target).count();
        for (error, payload) in host.deployment().declared_errors(target) {
            let failing = Failing::call(nth, target, &error, payload);
            let came_to = failing.disturbing(host, flow(host, run())).await;
            let Some(what) = failing.failed() else {
                bail!("call {nth} of {target} is made in one run and not in another");
            };
            came_to.with_context(|| what.clone())?;
            holds(host).await.context(what)?;
            failures.declared += 1;
        }
    }
    Ok(failures)
}

/// Fails one command, and takes note of what there is to fail.
pub(crate) struct Failing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Commands until one is not there.
    left: Option<usize>,
    /// Which call returns an error.
    returns: Option<Returns>,
    /// Every call so far.
    calls: Vec<String>,
    /// What failed.
    failed: Option<String>,
}

struct Returns {
    /// It is its how manieth call of this target.
    nth: usize,
    target: String,
    error: String,
    payload: Payload,
}

impl Failing {
    fn command(nth: usize) -> Arc<Self> {
        let left = Some(nth);
        let state = Mutex::new(State {
            left,
            ..State::default()
        });
        Arc::new(Self { state })
    }

    fn call(nth: usize, target: &str, error: &str, payload: Vec<u8>) -> Arc<Self> {
        let returns = Some(Returns {
            nth,
            target: target.to_owned(),
            error: error.to_owned(),
            payload: payload.into(),
        });
        let state = Mutex::new(State {
            returns,
            ..State::default()
        });
        Arc::new(Self { state })
    }

    /// The flow with this in its way.
    async fn disturbing<T>(self: &Arc<Self>, host: &TestHost, flow: impl Future<Output = T>) -> T {
        host.disturbance().fail(Some(Arc::clone(self)));
        let came_to = flow.await;
        host.disturbance().fail(None);
        came_to
    }

    fn failed(&self) -> Option<String> {
        self.state.lock().failed.clone()
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().calls)
    }

    /// A command is about to be performed: whether it fails.
    pub(crate) fn fault(&self, target: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        let left = state.left.as_mut()?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        state.left = None;
        let what = format!("{target} was not there");
        state.failed = Some(what.clone());
        Some(Fault::Transient(what))
    }

    /// A call is about to be made: what it returns instead.
    pub(crate) fn answer(&self, target: &str) -> Option<Payload> {
        let mut state = self.state.lock();
        state.calls.push(target.to_owned());
        let nth = state.calls.iter().filter(|call| *call == target).count();
        let returns = state
            .returns
            .take_if(|returns| returns.target == target && returns.nth == nth)?;
        state.failed = Some(format!("call {nth} of {target} returned {}", returns.error));
        Some(returns.payload)
    }
}
