//! The interfaces' functions.

use std::collections::BTreeSet;

use host_bindings::nexus::crypto::{passwords, tokens};
use host_bindings::nexus::durable::{compensation, deadlines, derived, invocation, promises, timer};
use host_bindings::nexus::link::providers;
use host_bindings::nexus::log::log;
use host_bindings::wasi::config::store;
use host_journal::Payload;
use host_recorder::{Completed, Waited};
use host_types::Fault;
use minicbor::{Decode, Encode};

use crate::config::{Recorded, Revealed};
use crate::log::Author;
use crate::passwords::MAX_PASSWORD_BYTES;
use crate::{BasicContext, BasicView, TokenError};

/// The most `random-bytes` gives.
const MAX_DERIVED_BYTES: u32 = 1024;

impl invocation::Host for BasicView<'_> {
    fn id(&mut self) -> wasmtime::Result<String> {
        Ok(self.0.recorder.invocation().to_string())
    }

    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.0.recorder.now_ms()?)
    }

    async fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        Ok(self.0.recorder.sleep(duration_ms).await?)
    }

    fn try_again(&mut self, reason: String) -> wasmtime::Result<()> {
        Err(self.0.fault(Fault::Transient(reason)))
    }
}

impl derived::Host for BasicView<'_> {
    fn uuid(&mut self) -> wasmtime::Result<String> {
        Ok(self.0.recorder.derive_uuid()?.to_string())
    }

    fn random_bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_DERIVED_BYTES {
            let text = format!("{length} random bytes were asked for; at most {MAX_DERIVED_BYTES} are given at once");
            return Err(self.0.fault(Fault::Guest(text)));
        }
        let mut bytes = vec![0; length as usize];
        self.0.recorder.derive(&mut bytes)?;
        Ok(bytes)
    }

    fn next_effect_key(&mut self) -> wasmtime::Result<String> {
        Ok(self.0.recorder.next_effect_key())
    }
}

impl deadlines::Host for BasicView<'_> {
    fn current(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.0.recorder.deadline_ms())
    }

    fn set(&mut self, at_ms: Option<u64>) -> wasmtime::Result<()> {
        self.0.recorder.set_deadline(at_ms);
        Ok(())
    }
}

impl timer::Host for BasicView<'_> {
    fn schedule(&mut self, name: String, argument: Vec<u8>, delay_ms: u64) -> wasmtime::Result<String> {
        let BasicContext {
            component,
            recorder,
            grants,
            ..
        } = &*self.0;
        let scheduled = recorder.schedule(component, grants.scheduled, name, argument, delay_ms)?;
        Ok(scheduled.to_string())
    }
}

impl promises::Host for BasicView<'_> {
    async fn create(&mut self) -> wasmtime::Result<String> {
        Ok(self.0.recorder.create_promise()?.to_string())
    }

    async fn complete(&mut self, id: String, value: Vec<u8>) -> wasmtime::Result<promises::Completion> {
        // What is no id names no promise.
        let Ok(promise) = id.parse() else {
            return Ok(promises::Completion::NotFound);
        };
        Ok(match self.0.recorder.complete_promise(promise, &value).await? {
            Completed::Now => promises::Completion::Completed,
            Completed::Before => promises::Completion::AlreadyCompleted,
            Completed::Unknown => promises::Completion::NotFound,
        })
    }

    async fn wait(
        &mut self,
        id: String,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u8>, promises::WaitError>> {
        let Ok(promise) = id.parse() else {
            return Ok(Err(promises::WaitError::NotFound));
        };
        Ok(match self.0.recorder.wait_for(promise, timeout_ms).await? {
            Waited::Value(value) => Ok(value),
            Waited::TimedOut => Err(promises::WaitError::TimedOut),
            Waited::Unknown => Err(promises::WaitError::NotFound),
        })
    }
}

impl compensation::Host for BasicView<'_> {
    fn push(&mut self, name: String, argument: Vec<u8>) -> wasmtime::Result<()> {
        Ok(self.0.recorder.push_compensation(name, argument)?)
    }

    fn undone(&mut self) -> wasmtime::Result<()> {
        Ok(self.0.recorder.compensation_undone()?)
    }

    fn settle(&mut self, count: u32) -> wasmtime::Result<()> {
        Ok(self.0.recorder.settle_compensations(count)?)
    }
}

impl providers::Host for BasicView<'_> {
    fn granted(&mut self, interface_name: String) -> wasmtime::Result<Vec<String>> {
        Ok(self.0.grants.providers.granted(&interface_name).to_vec())
    }
}

impl log::Host for BasicView<'_> {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        if self.0.recorder.is_replaying() {
            return Ok(());
        }
        let BasicContext {
            component,
            recorder,
            lines,
            ..
        } = &mut *self.0;
        let author = Author {
            component: component.clone(),
            invocation: recorder.invocation(),
            trace_id: recorder.trace_id(),
        };
        if lines.one_more(&author) {
            crate::log::write(&author, level, &message, &fields);
        }
        Ok(())
    }
}

impl store::Host for BasicView<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        let config = &self.0.grants.config;
        let record = || Ok(encode(&config.record(&key)));
        let recorded = self
            .0
            .recorder
            .observe_now("wasi:config/store.get", key.as_bytes(), record)?;
        let recorded: Option<Recorded> = self.0.decode(&recorded)?;
        let text = recorded.map(|recorded| self.0.reveal(&key, recorded)).transpose()?;
        Ok(Ok(text))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        let config = &self.0.grants.config;
        let record = || Ok(encode(&config.record_all()));
        let recorded = self.0.recorder.observe_now("wasi:config/store.get-all", b"", record)?;
        let recorded: Vec<(String, Recorded)> = self.0.decode(&recorded)?;
        let reveal = |(key, recorded): (String, Recorded)| {
            let text = self.0.reveal(&key, recorded)?;
            Ok((key, text))
        };
        let values = recorded.into_iter().map(reveal).collect::<wasmtime::Result<_>>()?;
        Ok(Ok(values))
    }
}

impl passwords::Host for BasicView<'_> {
    async fn hash(&mut self, password: String) -> wasmtime::Result<Result<String, passwords::Error>> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(Err(passwords::Error::TooLong));
        }
        let context = &*self.0;
        let arguments = password.clone().into_bytes();
        let perform = async { Ok(encode(&context.services.passwords.hash(password).await?)) };
        let hash = context
            .recorder
            .observe("nexus:crypto/passwords.hash", &arguments, perform)
            .await?;
        Ok(Ok(context.decode(&hash)?))
    }

    async fn verify(&mut self, password: String, hash: Option<String>) -> wasmtime::Result<passwords::Verdict> {
        let context = &*self.0;
        let arguments = encode(&(&password, &hash));
        let perform = async {
            let verdict = context.services.passwords.verify(password, hash).await?;
            Ok(encode(&(verdict.matches, verdict.outdated)))
        };
        let verdict = context
            .recorder
            .observe("nexus:crypto/passwords.verify", &arguments, perform)
            .await?;
        let (matches, outdated) = context.decode(&verdict)?;
        Ok(passwords::Verdict { matches, outdated })
    }
}

/// A function's outcome as it is recorded.
#[derive(Debug, Encode, Decode)]
enum TokenOutcome {
    #[n(0)]
    Done(#[n(0)] String),
    #[n(1)]
    Invalid(#[n(0)] String),
    #[n(2)]
    Expired,
}

impl From<Result<String, TokenError>> for TokenOutcome {
    fn from(result: Result<String, TokenError>) -> Self {
        match result {
            Ok(text) => Self::Done(text),
            Err(TokenError::Expired) => Self::Expired,
            Err(error @ TokenError::Invalid(_)) => Self::Invalid(error.to_string()),
        }
    }
}

impl From<TokenOutcome> for Result<String, tokens::Error> {
    fn from(outcome: TokenOutcome) -> Self {
        match outcome {
            TokenOutcome::Done(text) => Ok(text),
            TokenOutcome::Invalid(reason) => Err(tokens::Error::Invalid(reason)),
            TokenOutcome::Expired => Err(tokens::Error::Expired),
        }
    }
}

impl tokens::Host for BasicView<'_> {
    fn sign(&mut self, key: String, payload: String) -> wasmtime::Result<Result<String, tokens::Error>> {
        self.token("nexus:crypto/tokens.sign", &key, &payload, |context| {
            context.services.tokens.sign(&key, &payload)
        })
    }

    fn verify(&mut self, key: String, token: String) -> wasmtime::Result<Result<String, tokens::Error>> {
        if !granted(&self.0.grants.token_keys, &key) {
            return Ok(Err(tokens::Error::UnknownKey(key)));
        }
        let now_ms = self.0.recorder.now_ms()?;
        self.token("nexus:crypto/tokens.verify", &key, &token, |context| {
            context
                .services
                .tokens
                .verify(&key, &token, now_ms)
                .map(|verified| verified.payload)
        })
    }

    fn fingerprint(&mut self, key: String, value: String) -> wasmtime::Result<Result<String, tokens::Error>> {
        self.token("nexus:crypto/tokens.fingerprint", &key, &value, |context| {
            Ok(context.services.tokens.fingerprint(&key, &value))
        })
    }
}

impl BasicView<'_> {
    fn token(
        &mut self,
        target: &str,
        key: &str,
        subject: &str,
        perform: impl FnOnce(&BasicContext) -> Result<String, TokenError>,
    ) -> wasmtime::Result<Result<String, tokens::Error>> {
        let context = &*self.0;
        // Part of the deployment, like the providers: the same in every attempt, so not recorded.
        if !granted(&context.grants.token_keys, key) {
            return Ok(Err(tokens::Error::UnknownKey(key.to_owned())));
        }
        let arguments = encode(&(key, subject));
        let outcome = context
            .recorder
            .observe_now(target, &arguments, || Ok(encode(&TokenOutcome::from(perform(context)))))?;
        Ok(context.decode::<TokenOutcome>(&outcome)?.into())
    }
}

fn granted(keys: &BTreeSet<String>, name: &str) -> bool {
    keys.contains(name)
}

fn encode<T: Encode<()>>(value: &T) -> Payload {
    // Into a vector, from types without an encoding that could fail.
    minicbor::to_vec(value)
        .expect("encoding into a vector does not fail")
        .into()
}

impl BasicContext {
    /// The value for what is recorded of this key.
    fn reveal(&self, key: &str, recorded: Recorded) -> wasmtime::Result<String> {
        let revealed = self.grants.config.reveal(key, recorded);
        let Revealed { text, is_other } = revealed.map_err(|fault| self.fault(fault))?;
        if is_other {
            self.recorder.give_other_secret();
        }
        Ok(text)
    }

    fn decode<'b, T: Decode<'b, ()>>(&self, recorded: &'b [u8]) -> wasmtime::Result<T> {
        minicbor::decode(recorded)
            .map_err(|error| self.fault(Fault::Guest(format!("a recorded answer is malformed: {error}"))))
    }
}
