//! A node with a journal in memory, and attempts of one invocation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host_basic::{
    BasicContext, BasicView, Config, ConfigValue, Grants, MasterKey, PasswordOptions, Passwords, Services, TokenKeys,
};
use host_journal::{
    Append, AppendError, AppendJournal, Claim, Header, HostStatement, Machine, Message, Payload, Seal, SealError, Seed,
    Start, decode,
};
use host_recorder::{Attempt, AttemptOptions, Unwritten};
use host_types::{Clock, ComponentId, DeploymentNumber, Fault, InvocationId, NodeId, Rng};
use parking_lot::Mutex;

pub(crate) const STARTED_MS: u64 = 1_000;

pub(crate) struct Node {
    services: Arc<Services>,
    pub(crate) grants: Mutex<Arc<Grants>>,
    journal: Arc<Memory>,
    pub(crate) clock: Arc<Hand>,
}

/// A clock that stands until it is moved.
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn boot_ns(&self) -> u64 {
        0
    }
}

/// Never the same twice.
#[derive(Default)]
struct Counting(AtomicU64);

impl Rng for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.fetch_add(1, Ordering::Relaxed) as u8;
        }
    }
}

pub(crate) fn master() -> MasterKey {
    MasterKey::new(&[1; 32])
}

impl Node {
    pub(crate) fn new() -> Self {
        let passwords = Passwords::new(
            &PasswordOptions {
                memory_kib: 64,
                passes: 1,
                ..PasswordOptions::new(1)
            },
            Arc::new(Counting::default()),
        );
        let services = Services {
            passwords: passwords.unwrap(),
            tokens: TokenKeys::new(master()),
        };
        let node = Self {
            services: Arc::new(services),
            grants: Mutex::default(),
            journal: Arc::default(),
            clock: Arc::new(Hand(AtomicU64::new(5_000))),
        };
        node.configure("first");
        node
    }

    /// Grants, with a secret that can be rotated.
    pub(crate) fn configure(&self, secret: &str) {
        let config: Config = [
            (
                "gateway".to_owned(),
                ConfigValue::plain(format!("https://{secret}.example")),
            ),
            (
                "signing-key".to_owned(),
                ConfigValue::secret(format!("secret-{secret}"), &master()),
            ),
        ]
        .into_iter()
        .collect();
        let names = vec!["payment-sepay".to_owned(), "payment-cod".to_owned()];
        let providers = [("shop:payment/provider@0.1.0".to_owned(), names)]
            .into_iter()
            .collect();
        let token_keys = ["access".to_owned(), "refresh".to_owned()].into();
        *self.grants.lock() = Arc::new(Grants {
            config,
            providers,
            token_keys,
            ..Grants::default()
        });
    }

    /// The invocation's next attempt: what an earlier one appended is replayed.
    pub(crate) fn attempt(&self) -> BasicContext {
        let entries = self
            .journal
            .bodies
            .lock()
            .iter()
            .zip(0..)
            .map(|(body, index)| decode(index, body, &Plain).unwrap())
            .collect();
        let header = Header {
            component: ComponentId::from("account"),
            function: "nexus:http/handler.handle".into(),
            deployment: DeploymentNumber(1),
            input: Payload::new(),
            seed: Seed::new([3; 32]),
            subject: String::new(),
            trace_parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
            memory_limit_bytes: 64 << 20,
            started_ms: STARTED_MS,
            workflow: None,
            deadline_ms: None,
        };
        let fresh = self.journal.bodies.lock().is_empty();
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: None,
            parent: None,
        };
        let attempt = Attempt::new(AttemptOptions {
            invocation: InvocationId::new(1, [9; 10]),
            node: NodeId::new(1, [0; 10]),
            machine: if fresh {
                Machine::start(header)
            } else {
                Machine::replay(entries).unwrap()
            },
            unwritten: Unwritten::new(fresh.then_some(start), None),
            journal: self.journal.clone(),
            seal: Arc::new(Plain),
            clock: self.clock.clone(),
            promises: Arc::new(host_recorder::test_support::MemoryJournal::default()),
            wait_hold: std::time::Duration::ZERO,
            trace: Default::default(),
        });
        BasicContext {
            component: ComponentId::from("account"),
            recorder: attempt.recorder(),
            grants: Arc::clone(&self.grants.lock()),
            services: Arc::clone(&self.services),
            lines: host_basic::Lines::default(),
        }
    }

    /// Makes what the attempt noted durable, as an external effect would.
    pub(crate) async fn flush(&self, context: &BasicContext) {
        let external = context.recorder.external("test.flush", b"").await.unwrap();
        drop(external);
    }

    /// Everything that was written, as bytes.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.journal.bodies.lock().concat()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.journal.messages.lock().clone()
    }
}

pub(crate) fn view(context: &mut BasicContext) -> BasicView<'_> {
    BasicView(context)
}

pub(crate) fn fault(error: &wasmtime::Error) -> &Fault {
    error.downcast_ref::<Fault>().expect("host functions fail with faults")
}

pub(crate) struct Plain;

impl Seal for Plain {
    fn seal(&self, _: u32, payload: &[u8]) -> Vec<u8> {
        payload.to_vec()
    }

    fn open(&self, _: u32, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(sealed.to_vec())
    }
}

#[derive(Default)]
struct Memory {
    bodies: Mutex<Vec<Vec<u8>>>,
    messages: Mutex<Vec<Message>>,
}

impl AppendJournal for Memory {
    fn seal(&self, _: InvocationId, _: Option<[u8; 32]>) -> Arc<dyn Seal> {
        Arc::new(Plain)
    }

    fn claim_statement(&self, _: InvocationId, _: &Claim) -> HostStatement {
        unreachable!("no transaction of a module in these tests")
    }

    fn append_statements(&self, _: &Append) -> Vec<HostStatement> {
        unreachable!("no transaction of a module in these tests")
    }

    fn append(&self, append: Append) -> Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send + '_>> {
        Box::pin(async move {
            let mut bodies = self.bodies.lock();
            if bodies.len() != append.first_index as usize {
                return Err(AppendError::Fenced);
            }
            bodies.extend(append.bodies);
            self.messages.lock().extend(append.messages);
            Ok(())
        })
    }

    fn append_lazily(&self, _: Append) {
        unreachable!("nothing here finishes an invocation");
    }
}
