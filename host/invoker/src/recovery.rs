//! What became of an append nobody saw acknowledged. The answer is never read off the database: a fence is appended, and what
//! stands before it is what happened.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{
    Append, AppendError, Body, Claim, Entry, FenceReason, Header, InvocationStatus, Machine, Start, decode, encode,
};
use host_store::{Fence, InvocationRow, Loaded};
use host_types::{DeploymentNumber, InvocationId};

use crate::backlog::enqueue;
use crate::handlers::Handlers;
use crate::invoker::Inner;
use crate::run::{Output, Run};
use crate::turns::Turn;
use crate::unrunnable::{no_history, unreadable};

/// An invocation this node owns, by a fence it has just appended.
pub(crate) struct Recovered {
    pub(crate) invocation: InvocationId,
    pub(crate) machine: Machine,
    pub(crate) salt: Option<[u8; 32]>,
    pub(crate) attempts: u32,
}

pub(crate) enum Outcome {
    Ours(Box<Recovered>),
    /// It has returned.
    Ended(Output),
    /// Its key belongs to another invocation: it never was.
    KeyTaken,
    /// Another node owns it, or it waits for a person.
    Elsewhere,
}

/// Why a fence was not appended.
enum Unfenced {
    Append(AppendError),
    /// What stands before it cannot be replayed. Behind a fence it could not either.
    NoHistory(String),
}

/// A wait for another attempt that keeps the invocation on this node, with its turn. Until a longer one is over it is nobody's.
pub(crate) const HELD_RETRY_MS: u64 = 1_000;
/// How long one waits between tries of something that the database does not do: longer each time.
struct Pauses {
    next: Duration,
}

impl Pauses {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);

    fn new() -> Self {
        Self { next: Self::SHORTEST }
    }

    async fn after(&mut self, invocation: InvocationId, error: &(dyn Display + Sync)) {
        tracing::warn!(invocation.id = %invocation, %error, "the database does not do what it has to; trying again");
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

impl Inner {
    /// Finds out, by fencing, what an invocation of this node has done. Tries until the database answers; one whose journal is none is
    /// paused. `machine` is what its attempt knew, with what that had handed over to be appended.
    pub(crate) async fn recover(
        &self,
        invocation: InvocationId,
        machine: &Machine,
        salt: Option<[u8; 32]>,
        claim: Option<Claim>,
    ) -> Outcome {
        let mut pauses = Pauses::new();
        loop {
            let loaded = match self.store.load(invocation).await {
                Ok(loaded) => loaded,
                Err(error) if error.is_erased() => match self.recover_erased(invocation, machine).await {
                    Ok(outcome) => return outcome,
                    Err(error) => {
                        pauses.after(invocation, &error).await;
                        continue;
                    }
                },
                Err(error) if error.is_lasting() => match self.give_up(invocation, &unreadable(&error)).await {
                    Ok(()) => return Outcome::Elsewhere,
                    Err(error) => {
                        pauses.after(invocation, &error).await;
                        continue;
                    }
                },
                Err(error) => {
                    pauses.after(invocation, &error).await;
                    continue;
                }
            };
            let Some(loaded) = loaded else {
                // No row: its own start is the fence. Of this and the append whose fate is unknown only one can succeed.
                match self
                    .start_as_fence(invocation, machine.header(), salt, claim.clone())
                    .await
                {
                    Ok(()) | Err(AppendError::Fenced) => continue,
                    Err(AppendError::KeyTaken) => return Outcome::KeyTaken,
                    Err(error @ (AppendError::Refused(_) | AppendError::Unknown(_))) => {
                        pauses.after(invocation, &error).await;
                        continue;
                    }
                }
            };
            if loaded.row.status.is_final() {
                return match output(&loaded.entries) {
                    Some(output) => Outcome::Ended(output),
                    None => Outcome::Elsewhere,
                };
            }
            if !self.owns(&loaded.row) {
                return Outcome::Elsewhere;
            }
            match self
                .append_fence(loaded, FenceReason::TakeOver, InvocationStatus::Running, 0, None)
                .await
            {
                Ok(recovered) => return Outcome::Ours(Box::new(recovered)),
                Err(Unfenced::Append(AppendError::Fenced)) => continue,
                Err(Unfenced::Append(
                    error @ (AppendError::KeyTaken | AppendError::Refused(_) | AppendError::Unknown(_)),
                )) => pauses.after(invocation, &error).await,
                Err(Unfenced::NoHistory(error)) => match self.give_up(invocation, &no_history(&error)).await {
                    Ok(()) => return Outcome::Elsewhere,
                    Err(error) => pauses.after(invocation, &error).await,
                },
            }
        }
    }

    /// The commit that ended an invocation of a sensitive route erased its payloads. Its output is known all the same when
    /// that commit was ours: when nobody has fenced our attempt.
    async fn recover_erased(&self, invocation: InvocationId, machine: &Machine) -> host_store::Result<Outcome> {
        let Some((row, bodies)) = self.store.stored(invocation).await? else {
            return Ok(Outcome::Elsewhere);
        };
        let is_completed = row.status == InvocationStatus::Completed;
        let first_pending = machine.pending().first().map_or(0, |entry| entry.index);
        // A fence has no payload: it can be read although the others cannot.
        let seal = self.store.seal(invocation, None);
        let is_fenced = bodies.iter().any(|(index, body)| {
            let read = || decode(*index, body, &*seal).map(|entry| entry.body);
            *index >= first_pending && matches!(read(), Ok(Body::Fence { .. }))
        });
        let output = machine
            .recorded_output()
            .and_then(|output| minicbor::decode(output).ok());
        Ok(match output {
            Some(output) if is_completed && !is_fenced => Outcome::Ended(output),
            _ => Outcome::Elsewhere,
        })
    }

    /// Appends a fence to an invocation this node owns. `None`: it does not own it any more, or it cannot be run and is paused.
    pub(crate) async fn refence(
        &self,
        invocation: InvocationId,
        reason: FenceReason,
        status: InvocationStatus,
        delay_ms: u64,
    ) -> Option<Recovered> {
        let mut pauses = Pauses::new();
        loop {
            match self.store.load(invocation).await {
                Ok(Some(loaded)) if self.owns(&loaded.row) => {
                    match self.append_fence(loaded, reason.clone(), status, delay_ms, None).await {
                        Ok(recovered) => return Some(recovered),
                        Err(Unfenced::Append(AppendError::Fenced)) => continue,
                        Err(Unfenced::Append(error)) => pauses.after(invocation, &error).await,
                        Err(Unfenced::NoHistory(error)) => match self.give_up(invocation, &no_history(&error)).await {
                            Ok(()) => return None,
                            Err(error) => pauses.after(invocation, &error).await,
                        },
                    }
                }
                Ok(_) => return None,
                Err(error) if error.is_lasting() => match self.give_up(invocation, &unreadable(&error)).await {
                    Ok(()) => return None,
                    Err(error) => pauses.after(invocation, &error).await,
                },
                Err(error) => pauses.after(invocation, &error).await,
            }
        }
    }

    /// Whether it runs, and is this node's. Of a row that was loaded with its entries: whoever has said otherwise since is in the way of a fence
    /// behind them.
    pub(crate) fn owns(&self, row: &InvocationRow) -> bool {
        row.status == InvocationStatus::Running && row.node == Some(self.store.node())
    }

    /// Takes an open invocation over that was given to this node. `None`: it is not this node's any more, or cannot be run here.
    pub(crate) async fn take_over(&self, invocation: InvocationId, reason: FenceReason) -> Option<Recovered> {
        let loaded = match self.store.load(invocation).await {
            Ok(loaded) => loaded?,
            Err(error) if error.is_lasting() => {
                self.give_up_once(invocation, &unreadable(&error)).await;
                return None;
            }
            Err(error) => {
                tracing::warn!(invocation.id = %invocation, %error, "an invocation cannot be loaded");
                return None;
            }
        };
        // Many are given to this node at once, and each comes up later: meanwhile an operator may have paused it, or set it going elsewhere.
        if !self.owns(&loaded.row) {
            return None;
        }
        let pin = self.first_pin(&loaded).await;
        // Before the fence: one that cannot be run gathers none.
        self.runnable(invocation, pin.unwrap_or(loaded.row.deployment)).await?;
        let fenced = self.append_fence(loaded, reason, InvocationStatus::Running, 0, pin);
        match fenced.await {
            Ok(recovered) => Some(recovered),
            // It is looked at again, as a stray, if it is still this node's.
            Err(Unfenced::Append(error)) => {
                tracing::debug!(invocation.id = %invocation, %error, "an invocation is not taken over");
                None
            }
            Err(Unfenced::NoHistory(error)) => {
                self.give_up_once(invocation, &no_history(&error)).await;
                None
            }
        }
    }

    /// What an invocation that somebody has sent is pinned to by its first attempt, whatever its sender runs on: the current deployment, if
    /// what it calls is there in the shape in which it was sent. Only ever a newer one: during a release a node of the version before may be the
    /// one that takes what newer code has sent. `None`: it stays where it is.
    async fn first_pin(&self, loaded: &Loaded) -> Option<DeploymentNumber> {
        let Loaded { row, entries } = loaded;
        let current = self.current();
        if row.parent.is_none() || entries.len() != 1 || current.number() <= row.deployment {
            return None;
        }
        let shape = current.shape(&row.component, &row.function)?;
        // A shape that is the host's own is everywhere the same: what the sender runs on need not be built to know it.
        if !row.function.starts_with("nexus:") {
            let sender = self.pinned(row.deployment).await.ok()?;
            sender
                .shape(&row.component, &row.function)
                .filter(|sent| *sent == shape)?;
        }
        Some(current.number())
    }

    /// What an open invocation of this node runs on. `None`: that is not to be had now; or not here, and then it is given to who has it; or
    /// nowhere, and then it is paused.
    async fn runnable(&self, invocation: InvocationId, number: DeploymentNumber) -> Option<Arc<dyn Handlers>> {
        let built = self.pinned(number).await;
        let absent = match &built {
            Ok(deployment) if deployment.absent().is_empty() => return built.ok(),
            Ok(deployment) => deployment.absent(),
            Err(error) if error.is_transient => {
                tracing::warn!(invocation.id = %invocation, %number, %error, "the deployment of an open invocation cannot be built yet");
                return None;
            }
            Err(_) => &[],
        };
        // A release is under way: other nodes have been started with another manifest.
        let is_elsewhere = self.store.runs_elsewhere(number, absent).await;
        match (is_elsewhere, built) {
            (Ok(true), _) => self.leave(invocation, number).await,
            // What it has not got may never be called.
            (Ok(false), Ok(deployment)) => return Some(deployment),
            (Ok(false), Err(error)) => {
                let reason = format!("deployment {number}, which it is pinned to, cannot be built: {error}");
                self.give_up_once(invocation, &reason).await;
            }
            (Err(error), _) => {
                tracing::warn!(invocation.id = %invocation, %number, %error, "whether another node runs an open invocation's deployment is unknown yet");
            }
        }
        None
    }

    async fn leave(&self, invocation: InvocationId, number: DeploymentNumber) {
        self.deployments.leave(number);
        if self.give_back(invocation).await {
            tracing::info!(invocation.id = %invocation, %number, "an open invocation is left to a node whose manifest has all of its deployment");
        }
    }

    /// Lets other nodes have an open invocation that has not begun here. `false`: not now; it is found again, as a stray.
    async fn give_back(&self, invocation: InvocationId) -> bool {
        let given = self.store.give_back(invocation).await;
        if let Err(error) = &given {
            tracing::warn!(invocation.id = %invocation, %error, "an open invocation cannot be given back");
        }
        given.is_ok()
    }

    /// Fences, and gives the record up to and with the fence. `pin`: what it runs on from there on.
    async fn append_fence(
        &self,
        mut loaded: Loaded,
        reason: FenceReason,
        status: InvocationStatus,
        delay_ms: u64,
        pin: Option<DeploymentNumber>,
    ) -> Result<Recovered, Unfenced> {
        if let Some(number) = pin {
            loaded.pin_to(number);
        }
        let Loaded { row, mut entries } = loaded;
        let invocation = row.invocation;
        let attempts = row.attempt + 1;
        let (failures, cause) = match &reason {
            FenceReason::Retry(cause) | FenceReason::Pause(cause) => (row.failures + 1, Some(cause.text.clone())),
            FenceReason::TakeOver | FenceReason::Answer { .. } => (row.failures, row.cause),
            FenceReason::Resume | FenceReason::Suspend | FenceReason::Wake => (0, None),
            FenceReason::Cancel(text) => (0, Some(format!("cancelled: {text}"))),
        };
        let next_index = entries.len() as u32;
        let fence = Entry {
            index: next_index,
            body: Body::Fence {
                attempt: attempts,
                node: self.store.node(),
                reason,
            },
        };
        let seal = self.store.seal(invocation, row.erasure_salt);
        let body = encode(&fence, &*seal);
        entries.push(fence);
        // Before the fence is written, or one would follow the other with every try.
        let machine = Machine::replay(entries).map_err(Unfenced::NoHistory)?;
        let fence = Fence {
            invocation,
            next_index,
            bodies: vec![body],
            start: None,
            status,
            owner: (status == InvocationStatus::Running && delay_ms <= HELD_RETRY_MS).then_some(self.store.node()),
            attempt: attempts,
            failures,
            due_ms: (delay_ms > 0).then(|| self.clock.unix_ms() + delay_ms),
            cause,
        };
        let fenced = match pin {
            Some(number) => self.store.fence_and_pin(fence, number).await,
            None => self.store.fence(fence).await,
        };
        fenced.map_err(Unfenced::Append)?;
        Ok(Recovered {
            invocation,
            machine,
            salt: row.erasure_salt,
            attempts,
        })
    }

    async fn start_as_fence(
        &self,
        invocation: InvocationId,
        header: &Header,
        salt: Option<[u8; 32]>,
        claim: Option<Claim>,
    ) -> Result<(), AppendError> {
        let seal = self.store.seal(invocation, salt);
        let started = Entry {
            index: 0,
            body: Body::Started(Box::new(header.clone())),
        };
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: salt,
            parent: None,
        };
        let bodies = vec![encode(&started, &*seal)];
        let append = Append {
            start: Some(start),
            claim,
            ..Append::new(invocation, 0, bodies)
        };
        self.store.append(append).await
    }
}

/// What an invocation returned, if it did.
pub(crate) fn output(entries: &[Entry]) -> Option<Output> {
    entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Output(payload) => minicbor::decode(payload).ok(),
        _ => None,
    })
}

/// Fences an invocation and runs it here. `false`: there is nothing to run, or someone was faster.
pub(crate) async fn run_here(inner: &Arc<Inner>, invocation: InvocationId, reason: FenceReason) -> bool {
    if inner.has(&invocation) {
        return false;
    }
    // The word to stop came while it was being given to this node.
    if inner.is_draining() {
        inner.give_back(invocation).await;
        return false;
    }
    match inner.take_over(invocation, reason).await {
        Some(recovered) => begin(inner, recovered).await,
        None => false,
    }
}

/// Runs an invocation here whose last entry was a fence of this node, and whose turn it is.
pub(crate) async fn run_fenced(inner: &Arc<Inner>, invocation: InvocationId, turn: Turn) {
    let loaded = match inner.store.load(invocation).await {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return,
        Err(error) if error.is_lasting() => return inner.give_up_once(invocation, &unreadable(&error)).await,
        Err(error) => {
            // It is found again, as a stray.
            tracing::error!(invocation.id = %invocation, %error, "an invocation of this node cannot be loaded");
            return;
        }
    };
    // Whoever took it while it waited has fenced it.
    if !inner.owns(&loaded.row) {
        return;
    }
    let (salt, attempts) = (loaded.row.erasure_salt, loaded.row.attempt);
    match Machine::replay(loaded.entries) {
        Ok(machine) => {
            let recovered = Recovered {
                invocation,
                machine,
                salt,
                attempts,
            };
            begin_in_turn(inner, recovered, turn).await;
        }
        Err(error) => inner.give_up_once(invocation, &no_history(&error)).await,
    }
}

/// Runs what this node owns, unless somebody here does already: now, or when its turn has come.
pub(crate) async fn begin(inner: &Arc<Inner>, recovered: Recovered) -> bool {
    let component = &recovered.machine.header().component;
    match inner.turn_now(component) {
        Some(turn) => begin_in_turn(inner, recovered, turn).await,
        None => {
            enqueue(inner, component, recovered.invocation);
            true
        }
    }
}

async fn begin_in_turn(inner: &Arc<Inner>, recovered: Recovered, turn: Turn) -> bool {
    let invocation = recovered.invocation;
    let number = recovered.machine.header().deployment;
    let Some(deployment) = inner.runnable(invocation, number).await else {
        return false;
    };
    let run = Run::continued(Arc::clone(inner), deployment, recovered, turn);
    if let Some(running) = inner.enter(run) {
        inner.spawn_run(running);
    }
    true
}
