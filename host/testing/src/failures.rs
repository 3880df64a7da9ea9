//! `fail_each_call`: whatever a flow asks for, it does not get once.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_journal::{CommandKind, Payload};
use host_recorder::interpose::{Interpose, interpose, withdraw};
use host_types::Fault;
use parking_lot::Mutex;

use crate::TestHost;

/// No flow asks for more: one that never ends would be a bug of the test.
const COMMANDS: usize = 500;

/// What failed in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failed {
    target: String,
    /// The error of its type that it returned; none: it was not there.
    error: Option<String>,
}

/// Fails one command, and takes note of what there is to fail.
struct Failing {
    /// Commands until one is not there.
    left: Mutex<Option<usize>>,
    /// The call that returns an error: target, its how manieth call, the error.
    returns: Mutex<Option<(usize, String, Payload)>>,
    calls: Mutex<Vec<String>>,
    failed: Mutex<Option<Failed>>,
}

impl Failing {
    fn new(left: Option<usize>, returns: Option<(usize, String, Payload)>) -> Self {
        Self {
            left: Mutex::new(left),
            returns: Mutex::new(returns),
            calls: Mutex::default(),
            failed: Mutex::default(),
        }
    }
}

impl Interpose for Failing {
    fn fault(&self, kind: CommandKind, target: &str) -> Option<Fault> {
        // What only notes something, or waits, asks nobody for anything.
        if matches!(kind, CommandKind::Wait | CommandKind::Message) || is_note(target) {
            return None;
        }
        let mut left = self.left.lock();
        let count = left.as_mut()?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        *left = None;
        *self.failed.lock() = Some(Failed {
            target: target.to_owned(),
            error: None,
        });
        Some(Fault::Transient(format!("{target} was made to fail")))
    }

    fn answer(&self, target: &str) -> Option<Payload> {
        let mut calls = self.calls.lock();
        calls.push(target.to_owned());
        let (_, error, payload) = self.returns.lock().take_if(|(call, ..)| *call == calls.len())?;
        *self.failed.lock() = Some(Failed {
            target: target.to_owned(),
            error: Some(error),
        });
        Some(payload)
    }
}

/// Observations of what the host knows by itself.
fn is_note(target: &str) -> bool {
    ["nexus:durable/compensation.", "wasi:config/"]
        .iter()
        .any(|prefix| target.starts_with(prefix))
}

/// How often something was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// Something was not there once.
    pub transient: usize,
    /// A call returned an error that its type declares.
    pub declared: usize,
}

/// Runs a flow undisturbed, then once for everything it asks for: each call of another component, transaction, query, request and
/// key-value access is not there once, and the flow must come to the same; then each call of another component returns each error that
/// its type declares, and whatever the flow then comes to, `holds` must find nothing held.
///
/// The flow is as for [`crate::crash_at_each_entry`]; it must not fail where a call was refused, but return what its client was told.
pub async fn fail_each_call<T: PartialEq + Debug>(
    host: &TestHost,
    mut flow: impl AsyncFnMut(&TestHost, u32) -> Result<T>,
    mut holds: impl AsyncFnMut(&TestHost) -> Result<()>,
) -> Result<Failures> {
    let mut run = 0;
    let undisturbed = flow(host, run).await.context("undisturbed")?;
    let mut failures = Failures {
        transient: 0,
        declared: 0,
    };
    let mut calls = Vec::new();
    for command in 1..=COMMANDS {
        run += 1;
        let failing = Arc::new(Failing::new(Some(command), None));
        let came_to = failed(host, &failing, flow(host, run)).await;
        let Some(Failed { target, .. }) = failing.failed.lock().take() else {
            ensure!(failures.transient > 0, "this flow asks for nothing");
            calls = failing.calls.lock().clone();
            break;
        };
        failures.transient += 1;
        let came_to = came_to.with_context(|| format!("{target}, command {command}, failed once"))?;
        ensure!(
            came_to == undisturbed,
            "{target}, command {command}, failed once: it came to {came_to:#?}, undisturbed to {undisturbed:#?}"
        );
        holds(host)
            .await
            .with_context(|| format!("{target}, command {command}, failed once"))?;
    }
    let mut errors: VecDeque<_> = (1..)
        .zip(calls)
        .flat_map(|(call, target)| {
            let declared = host.declared_errors(&target).into_iter();
            declared.map(move |(error, payload)| (call, error, Payload::from(payload)))
        })
        .collect();
    while let Some((call, error, payload)) = errors.pop_front() {
        run += 1;
        let failing = Arc::new(Failing::new(None, Some((call, error, payload))));
        let came_to = failed(host, &failing, flow(host, run)).await;
        let Some(failed) = failing.failed.lock().take() else {
            continue;
        };
        let what = || {
            format!(
                "call {call}, of {}, returned {}",
                failed.target,
                failed.error.as_deref().unwrap_or_default()
            )
        };
        came_to.with_context(what)?;
        holds(host).await.with_context(what)?;
        failures.declared += 1;
    }
    Ok(failures)
}

/// The flow with this in its way.
async fn failed<T>(host: &TestHost, failing: &Arc<Failing>, flow: impl Future<Output = Result<T>>) -> Result<T> {
    interpose(host.node(), Arc::clone(failing) as _);
    let came_to = flow.await;
    withdraw(host.node());
    came_to
}
