//! What a native handler is given: the record of its invocation, and the node it runs on. Each function does what the capability of
//! that name does for a guest.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use host_invoker::LeaseTerm;
use host_journal::{Acquired, ExclusiveKey, Payload};
use host_recorder::{CallStep, ExternalEffect, ExternalStep, Recorder};
use host_types::Fault;

use super::dice::Dice;
use super::market::REFUSED;
use super::provider::{Provider, UNKNOWN, UNSENT};
use super::sabotage::Sabotage;
use super::session::{Session, pause};
use super::transaction::Transaction;

/// What an outbound request may take; it begins only when as much of the lease is left.
const EFFECT_TIMEOUT: Duration = Duration::from_millis(800);
/// The longest time without an instance to spare: less than what makes a failure of it, as often as failures are allowed.
const CROWDED_MS: u64 = 4_000;
/// The fault of those times.
pub(crate) const NO_ROOM: &str = "no instance came free";

/// A node, as what runs on it sees it.
pub(crate) struct NodeView {
    pub(crate) session: Arc<Session>,
    pub(crate) lease: Arc<LeaseTerm>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) dice: Dice,
    pub(crate) sabotage: Option<Sabotage>,
}

/// One instance of a component.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) recorder: Recorder,
    pub(crate) node: Arc<NodeView>,
}

/// What an entered component returns.
pub(crate) type Returned<'a> = BoxFuture<'a, Result<i64, Fault>>;

impl Instance {
    pub(crate) async fn transaction(&self, name: &str) -> Result<Transaction, Fault> {
        Transaction::begin(self, name).await
    }

    /// Another component, awaited.
    pub(crate) async fn call(
        &self,
        target: &str,
        argument: i64,
        enter: impl FnOnce(Self) -> Returned<'static> + Send,
    ) -> Result<i64, Fault> {
        self.call_with(target, None, argument, enter).await
    }

    /// Another component's function that runs one at a time for each key, awaited.
    pub(crate) async fn call_exclusively(
        &self,
        target: &str,
        key: &ExclusiveKey,
        argument: i64,
        enter: impl FnOnce(Self) -> Returned<'static> + Send,
    ) -> Result<i64, Fault> {
        self.call_with(target, Some(key), argument, enter).await
    }

    async fn call_with(
        &self,
        target: &str,
        key: Option<&ExclusiveKey>,
        argument: i64,
        enter: impl FnOnce(Self) -> Returned<'static> + Send,
    ) -> Result<i64, Fault> {
        match self.recorder.call(target, &encode(argument))? {
            CallStep::Recorded(answer) => self.decode(&answer),
            CallStep::Enter(entered) => {
                self.room()?;
                let callee = Self {
                    recorder: entered.callee(),
                    node: Arc::clone(&self.node),
                };
                let queue = callee.recorder.clone();
                let acquired = match key {
                    Some(key) => queue.acquire(key).await?,
                    None => Acquired::Held,
                };
                let answer = match acquired {
                    Acquired::Held => enter(callee).await?,
                    Acquired::Refused | Acquired::TimedOut => REFUSED,
                };
                entered.returned(encode(answer))?;
                if key.is_some() {
                    queue.release().await?;
                }
                Ok(answer)
            }
        }
    }

    /// A POST to the provider, which honours keys: `unknown = "repeat"`.
    pub(crate) async fn post(&self, path: &'static str, arguments: &[i64]) -> Result<i64, Fault> {
        if !self.is_leased() {
            let text = "too little of the lease is left to begin a request";
            return Err(self.recorder.attempt().fail(Fault::Transient(text.into())));
        }
        let encoded = minicbor::to_vec((path, arguments)).expect("arguments have an encoding");
        match self.recorder.external(path, &encoded).await? {
            ExternalStep::Recorded(answer) => self.decode(&answer),
            ExternalStep::Perform(effect) => self.exchange(effect, path, arguments, false).await,
            ExternalStep::InDoubt(effect) => self.exchange(effect, path, arguments, true).await,
        }
    }

    async fn exchange(
        &self,
        effect: ExternalEffect<'_>,
        path: &'static str,
        arguments: &[i64],
        again: bool,
    ) -> Result<i64, Fault> {
        let in_doubt = if again { UNKNOWN } else { UNSENT };
        if !self.is_leased() {
            effect.happened(encode(in_doubt)).await?;
            return Ok(in_doubt);
        }
        let mut key = effect.key();
        if self.node.sabotage == Some(Sabotage::KeyPerAttempt) {
            key = format!("{key} {}", self.node.dice.between(0, u64::MAX));
        }
        let gate = &self.node.session.gate;
        gate.pass().await;
        let sent = self.node.provider.post(key, path, arguments.to_vec());
        let answer = match tokio::time::timeout(EFFECT_TIMEOUT, sent).await {
            Ok(UNSENT) => in_doubt,
            Ok(answer) => answer,
            Err(_) => UNKNOWN,
        };
        gate.pass().await;
        effect.happened(encode(answer)).await?;
        Ok(answer)
    }

    fn is_leased(&self) -> bool {
        self.node.lease.left() >= EFFECT_TIMEOUT
    }

    /// Times are bad.
    pub(crate) fn is_rough(&self) -> bool {
        self.node.session.database.rough.load(Ordering::Relaxed)
    }

    /// There is no instance to be had, now and then, and for a while.
    fn room(&self) -> Result<(), Fault> {
        let database = &self.node.session.database;
        let now_ms = database.now_ms();
        let is_crowded = || now_ms < database.crowded_until_ms.load(Ordering::Relaxed);
        if !is_crowded() && self.is_rough() && self.node.dice.per_mille(5) {
            let until_ms = now_ms + self.node.dice.between(0, CROWDED_MS);
            database.crowded_until_ms.store(until_ms, Ordering::Relaxed);
        }
        match is_crowded() {
            true => Err(self.recorder.attempt().fail(Fault::Overloaded(NO_ROOM.into()))),
            false => Ok(()),
        }
    }

    /// Work that takes its time.
    pub(crate) async fn work(&self) {
        if !self.recorder.is_replaying() {
            pause(self.node.dice.time_ms(0, 3)).await;
        }
    }

    fn decode(&self, recorded: &[u8]) -> Result<i64, Fault> {
        let decoded = minicbor::decode(recorded);
        decoded.map_err(|error| self.recorder.attempt().fail(Fault::Guest(error.to_string())))
    }
}

pub(crate) fn encode(value: i64) -> Payload {
    minicbor::to_vec(value).expect("a number has an encoding").into()
}
