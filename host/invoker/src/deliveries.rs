//! Delivering events: each delivery is an invocation, and the next event of a key is begun when the one before has ended.
//!
//! Which deliveries there are, and whose turn it is, is in the database, so that any number of nodes share the work. This node begins as
//! many as it has room for, and looks when something was published, when one of its deliveries has ended, and now and then.

use std::sync::Arc;
use std::time::Duration;

use host_journal::{Body, Entry, Header, Machine, Message, Seed, Start, encode};
use host_recorder::{Delivered, SUBSCRIBER_FUNCTION, crash};
use host_store::{Asked, Head, SubscriptionId};
use host_types::{ComponentId, InvocationId};
use ring::digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::backlog::enqueue;
use crate::database::DeliverEvents;
use crate::invoker::{Inner, Invoker};
use crate::recovery::Recovered;
use crate::run::Run;

/// Delivers events on this node.
pub struct Deliveries {
    invoker: Invoker,
    store: Arc<dyn DeliverEvents>,
    subscriptions: Vec<Served>,
    published: watch::Receiver<u64>,
    /// Deliveries at once, of all subscriptions.
    room: Arc<Semaphore>,
}

/// A subscription of this node's manifest.
struct Served {
    id: SubscriptionId,
    component: ComponentId,
    name: String,
    /// Deliveries at once, so that one subscription leaves room to the others.
    room: Arc<Semaphore>,
}

/// A delivery holds its room until it has ended.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Deliveries of one node at once.
const ROOM: usize = 64;
/// Deliveries of one subscription at once on one node.
const ROOM_OF_ONE: usize = 16;
/// The slow look, for what no notification told of.
const POLL: Duration = Duration::from_secs(1);

impl Deliveries {
    /// For this invoker's node: puts down what its manifest subscribes to, which from then on is written with what is published.
    pub async fn register(invoker: Invoker, store: Arc<impl DeliverEvents>) -> host_store::Result<Self> {
        let subscriptions = invoker.inner.current().subscriptions();
        let ids = store.register_subscriptions(&subscriptions).await?;
        let served = subscriptions.into_iter().zip(ids).map(|(subscription, id)| Served {
            id,
            component: subscription.component,
            name: subscription.name,
            room: Arc::new(Semaphore::new(ROOM_OF_ONE)),
        });
        Ok(Self {
            subscriptions: served.collect(),
            published: invoker.published(),
            room: Arc::new(Semaphore::new(ROOM)),
            invoker,
            store,
        })
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        if self.subscriptions.is_empty() {
            return;
        }
        loop {
            self.published.mark_unchanged();
            // Each is the first in its turn: what room there is goes to those that are.
            self.subscriptions.rotate_left(1);
            let looked = match self.invoker.inner.is_draining() {
                true => 0,
                false => self.look().await,
            };
            if looked > 0 {
                continue;
            }
            tokio::select! {
                biased;
                // The sender is the invoker's, which is ours.
                _ = self.published.changed() => {}
                () = self.invoker.inner.delivered.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Begins what there is room for; says how many lanes were looked at.
    async fn look(&self) -> usize {
        let mut left = self.room.available_permits();
        let mut asked = Vec::with_capacity(self.subscriptions.len());
        for served in &self.subscriptions {
            let limit = served.room.available_permits().min(left);
            left -= limit;
            if limit > 0 {
                asked.push(Asked {
                    subscription: served.id,
                    limit: limit as u32,
                });
            }
        }
        if asked.is_empty() {
            return 0;
        }
        let message = |head: &Head| {
            crash::reached(crash::Point::BeforeAppend);
            self.message(head)
        };
        match self.store.begin_deliveries(&asked, &message).await {
            Ok(begun) => {
                if !begun.deliveries.is_empty() {
                    crash::reached(crash::Point::AfterAppend);
                }
                for (head, message) in begun.deliveries {
                    self.begin(head.subscription, message).await;
                }
                begun.lanes
            }
            Err(error) => {
                tracing::warn!(%error, "what is to be delivered cannot be begun; trying again");
                0
            }
        }
    }

    fn served(&self, id: SubscriptionId) -> Option<&Served> {
        self.subscriptions.iter().find(|served| served.id == id)
    }

    /// The invocation that delivers this. Its id derives from what it delivers to whom: another node that would begin it begins the same.
    fn message(&self, head: &Head) -> Option<Message> {
        let inner = &self.invoker.inner;
        let served = self.served(head.subscription)?;
        let deployment = inner.current();
        let event = &head.event;
        let invocation = invocation(served, head);
        let delivered = Delivered {
            event: event.event.to_string(),
            subscription: served.name.clone(),
            topic: event.topic.clone(),
            key: event.key.clone(),
            content_type: event.content_type.clone(),
            payload: event.payload.clone(),
            published_ms: event.published_ms.max(0).unsigned_abs(),
            source: event.component.to_string(),
        };
        let now_ms = inner.clock.unix_ms();
        let within_ms = deployment.deadline_of_function(&served.component, SUBSCRIBER_FUNCTION);
        let header = Header {
            component: served.component.clone(),
            function: SUBSCRIBER_FUNCTION.into(),
            deployment: deployment.number(),
            input: crate::run::encode(&delivered),
            seed: Seed::new(inner.rng.bytes()),
            subject: String::new(),
            trace_parent: event.trace_parent.clone(),
            memory_limit_bytes: deployment.memory_limit_bytes(&served.component),
            started_ms: now_ms,
            workflow: None,
            deadline_ms: within_ms.map(|within_ms| now_ms.saturating_add(within_ms)),
        };
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: header.deployment,
            erasure_salt: None,
            parent: Some(event.invocation),
        };
        let due_ms = header.started_ms;
        let seal = inner.store.seal(invocation, None);
        let started = encode(&started(header), &*seal);
        Some(Message {
            invocation,
            started,
            start,
            due_ms,
            workflow: None,
        })
    }

    /// Runs what is this node's now. What is not run here for whatever reason is a stray, and found as one.
    async fn begin(&self, subscription: SubscriptionId, message: Message) {
        let inner = &self.invoker.inner;
        let Some(room) = self.served(subscription).and_then(|served| self.enter(served)) else {
            return;
        };
        let seal = inner.store.seal(message.invocation, None);
        let replayed = host_journal::decode(0, &message.started, &*seal)
            .map_err(|error| error.to_string())
            .and_then(|started| Machine::replay(vec![started]));
        let machine = match replayed {
            Ok(machine) => machine,
            Err(error) => {
                tracing::error!(invocation.id = %message.invocation, error, "what was just begun is no history");
                return;
            }
        };
        let deployment = match inner.pinned(message.start.deployment).await {
            Ok(deployment) => deployment,
            Err(error) => {
                tracing::error!(invocation.id = %message.invocation, %error, "the deployment of a delivery cannot be loaded");
                return;
            }
        };
        // One that has to wait for its turn gives its room to others; what follows it in its lane is found by the slow look.
        let Some(turn) = inner.turn_now(&message.start.component) else {
            enqueue(inner, &message.start.component, message.invocation);
            return;
        };
        let recovered = Recovered {
            invocation: message.invocation,
            machine,
            salt: None,
            attempts: 0,
        };
        let run = Run::continued(Arc::clone(inner), deployment, recovered, turn);
        if let Some(running) = inner.enter(run) {
            let ending = Arc::clone(inner);
            inner.spawn(async move {
                running.await;
                drop(room);
                // Its end is durable, and with it the next of its lane may be begun.
                ending.delivered.notify_one();
            });
        }
    }

    fn enter(&self, served: &Served) -> Option<Room> {
        let own = Arc::clone(&served.room).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some((own, all))
    }
}

fn started(header: Header) -> Entry {
    Entry {
        index: 0,
        body: Body::Started(Box::new(header)),
    }
}

/// Dated like its event, for the journal keeps the same months.
fn invocation(served: &Served, head: &Head) -> InvocationId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(head.event.event.0.as_bytes());
    for part in [served.component.as_str(), &served.name] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(&head.round.to_be_bytes());
    let mut entropy = [0; 10];
    entropy.copy_from_slice(&context.finish().as_ref()[..10]);
    InvocationId::new(head.event.published_ms.max(0).unsigned_abs(), entropy)
}

impl Inner {
    /// A delivery may be begun that an operator's word made one.
    pub(crate) fn deliver(&self) {
        self.delivered.notify_one();
        self.store.notify(host_store::Wake::Events);
    }
}
