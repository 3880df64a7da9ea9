//! One world: a database, a few nodes, a provider, people, and trouble; then calm, and everything must come to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use host_invoker::{
    Cron, DeadLetters, Deliveries, FindWork, Invoker, InvokerOptions, KeepLease, Lease, LeaseTerm, Listener, Scheduler,
    Strays, TurnLimits,
};
use host_store::{GoneBecause, Heartbeat};
use host_types::{Clock, CorrectedClock, NodeId, Rng};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::dice::Dice;
use super::gate::{Gate, Life};
use super::instance::NodeView;
use super::market::{Market, Nothing};
use super::people::{self, Answered};
use super::provider::{Notification, Provider};
use super::sabotage::Sabotage;
use super::session::{Database, FAR_OFF_MS, LEASE, MAX_CLOCK_OFFSET_MS, Session};
use super::tables;

/// Units of each item that are there at first.
pub(crate) const STOCKED: i64 = 12;
pub(crate) const ITEMS: u64 = 2;

/// Trouble lasts so long.
const TROUBLE: Duration = Duration::from_secs(12);
/// After it everything must have come to its end within this.
const SETTLING: Duration = Duration::from_secs(90);
const MAX_ATTEMPTS: usize = 64;

/// One process.
pub(crate) struct Node {
    pub(crate) gate: Arc<Gate>,
    pub(crate) invoker: Invoker,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) view: Arc<NodeView>,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) database: Arc<Database>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) dice: Dice,
    sabotage: Option<Sabotage>,
    /// By name, the newest process of each.
    pub(crate) nodes: Mutex<BTreeMap<u64, Arc<Node>>>,
    pub(crate) answered: Mutex<Answered>,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>) -> (Arc<Self>, mpsc::UnboundedReceiver<Notification>) {
        let dice = Dice::new(seed);
        let database = Arc::new(Database::new(dice.clone(), sabotage));
        for item in 1..=ITEMS {
            let rows = &mut database.tables.lock().rows;
            rows.insert(("stock", item), vec![STOCKED, 0, 0]);
        }
        let (notify, notifications) = mpsc::unbounded_channel();
        let weather = Arc::clone(&database);
        let rough = Arc::new(move || weather.rough.load(Ordering::Relaxed));
        let world = Self {
            provider: Provider::new(dice.clone(), rough, notify),
            database,
            dice,
            sabotage,
            nodes: Mutex::default(),
            answered: Mutex::default(),
        };
        (Arc::new(world), notifications)
    }

    /// Plays until everything has ended; what has not by then is for the auditor to see.
    pub(crate) async fn play(self: &Arc<Self>, notifications: mpsc::UnboundedReceiver<Notification>) {
        self.database.rough.store(true, Ordering::Relaxed);
        for name in 0..self.dice.between(2, 4) {
            tokio::spawn(Arc::clone(self).supervise(name));
        }
        tokio::spawn(people::deliver(Arc::clone(self), notifications));
        let mut clients = people::buyers(self);
        clients.extend(people::clerks(self));
        let operators = [
            tokio::spawn(people::operate(Arc::clone(self))),
            tokio::spawn(people::interrupt(Arc::clone(self))),
        ];
        let troubled = tokio::time::timeout(TROUBLE, self.trouble()).await;
        debug_assert!(troubled.is_err(), "trouble does not end by itself");
        operators.iter().for_each(JoinHandle::abort);
        self.calm();
        // They ask until they are answered.
        let settled = async {
            while !clients.iter().all(JoinHandle::is_finished) || !self.is_settled() {
                people::resume_all(self).await;
                sleep(Duration::from_millis(500)).await;
            }
        };
        if tokio::time::timeout(SETTLING, settled).await.is_ok() {
            for client in clients {
                // A client's panic is the test's.
                client.await.expect("a client came to an end");
            }
        }
    }

    fn is_settled(&self) -> bool {
        let tables = self.database.tables.lock();
        tables.open.is_empty() && tables.is_delivered()
    }

    pub(crate) fn is_rough(&self) -> bool {
        self.database.rough.load(Ordering::Relaxed)
    }

    fn calm(&self) {
        self.database.rough.store(false, Ordering::Relaxed);
        self.database.down.store(false, Ordering::Relaxed);
        self.provider.down.store(false, Ordering::Relaxed);
        self.nodes.lock().values().for_each(|node| node.gate.set(Life::Runs));
    }

    /// A node that ended is started again.
    async fn supervise(self: Arc<Self>, name: u64) {
        loop {
            let node = self.start(name).await;
            node.gate.died().await;
            sleep(self.dice.time_ms(200, if self.is_rough() { 3_000 } else { 300 })).await;
        }
    }

    /// What `nexus up` does, as far as the invoker is concerned.
    async fn start(self: &Arc<Self>, name: u64) -> Arc<Node> {
        let entropy: &dyn Rng = &self.dice;
        let id = NodeId::new(self.database.now_ms(), entropy.bytes());
        let gate = Arc::new(Gate::open());
        let offset_ms = self.clock_offset_ms();
        let session = Arc::new(Session::new(
            Arc::clone(&self.database),
            id,
            Arc::clone(&gate),
            offset_ms,
        ));
        let predecessors = self.register(id, name);
        let first = Heartbeat {
            clock_offset_ms: -offset_ms,
            may_work: offset_ms.abs() <= MAX_CLOCK_OFFSET_MS,
            lease_until_ns: session.clock.boot_ns() + LEASE.as_nanos() as u64,
        };
        let own_clock: Arc<dyn Clock> = Arc::clone(&session.clock) as _;
        let lease_term = Arc::new(LeaseTerm::new(Arc::clone(&own_clock), first));
        let clock = Arc::new(CorrectedClock::new(own_clock, first.clock_offset_ms));
        let view = Arc::new(NodeView {
            session: Arc::clone(&session),
            lease: Arc::clone(&lease_term),
            provider: Arc::clone(&self.provider),
            dice: self.dice.clone(),
            sabotage: self.sabotage,
        });
        let invoker = Invoker::new(InvokerOptions {
            store: Arc::clone(&session) as _,
            runtime: Arc::new(Nothing),
            deployment: Arc::new(Market(Arc::clone(&view))),
            clock,
            rng: Arc::new(self.dice.clone()),
            claim_secret: [7; 32],
            turns: TurnLimits {
                attempts: MAX_ATTEMPTS,
                waiting: MAX_ATTEMPTS,
            },
            lease_term,
            traces: Default::default(),
        });
        let lease = Lease::new(invoker.clone(), LEASE);
        let node = Arc::new(Node {
            gate: Arc::clone(&gate),
            invoker: invoker.clone(),
            dead_letters: DeadLetters::new(invoker.clone(), Arc::clone(&session)),
            view,
        });
        let beginning = async {
            for predecessor in predecessors {
                lease.succeed(predecessor).await;
            }
            loop {
                if let Ok(deliveries) = Deliveries::register(invoker.clone(), Arc::clone(&session)).await {
                    return deliveries;
                }
            }
        };
        let deliveries = tokio::select! {
            biased;
            () = gate.died() => return node,
            deliveries = beginning => deliveries,
        };
        self.nodes.lock().insert(name, Arc::clone(&node));
        let kept = Arc::clone(&gate);
        while_alive(&gate, async move {
            lease.keep().await;
            kept.set(Life::Dead);
        });
        while_alive(&gate, Scheduler::new(invoker.clone()).run());
        while_alive(&gate, Strays::new(invoker.clone()).run());
        while_alive(&gate, deliveries.run());
        while_alive(&gate, Cron::new(invoker.clone(), session).run());
        while_alive(&gate, Listener::new(invoker).run());
        node
    }

    /// How far a machine's clock is ahead of the database's: a little, and now and then minutes in the one or the other direction.
    fn clock_offset_ms(&self) -> i64 {
        if !(self.is_rough() && self.dice.per_mille(80)) {
            return self.dice.between(0, 801).cast_signed() - 400;
        }
        self.database.tables.lock().far_off += 1;
        let far_ms = FAR_OFF_MS + self.dice.between(0, 540_000).cast_signed();
        if self.dice.per_mille(500) { far_ms } else { -far_ms }
    }

    fn register(&self, id: NodeId, name: u64) -> Vec<NodeId> {
        let mut tables = self.database.tables.lock();
        let earlier = tables.nodes.iter().filter(|(_, node)| node.name == name && !node.gone);
        let predecessors = earlier.map(|(id, _)| *id).collect();
        let node = tables::Node {
            name,
            heard_ms: self.database.now_ms(),
            gone: false,
            session: 0,
        };
        tables.nodes.insert(id, node);
        predecessors
    }

    /// Something goes wrong, and something else, without end.
    async fn trouble(self: &Arc<Self>) {
        loop {
            sleep(self.dice.time_ms(100, 1_800)).await;
            match self.dice.between(0, 11) {
                0..4 => self.kill(),
                4..7 => self.freeze(),
                7..9 => self.lose_database(),
                9 => self.lose_provider(),
                _ => self.stop(),
            }
        }
    }

    fn some_node(&self) -> Option<Arc<Node>> {
        let nodes: Vec<_> = self.nodes.lock().values().map(Arc::clone).collect();
        self.dice.one_of(&nodes)
    }

    /// The server learns of it at once, or when somebody takes over.
    fn kill(&self) {
        let Some(node) = self.some_node() else { return };
        node.gate.set(Life::Dead);
        if self.dice.per_mille(500) {
            self.database.tables.lock().end_backends(node.view.session.node);
        }
    }

    /// Asks a node to stop: it takes no more, waits for what it has begun, and leaves the rest to others.
    fn stop(&self) {
        let Some(node) = self.some_node() else { return };
        let session = Arc::clone(&node.view.session);
        let patience = self.dice.time_ms(500, 5_000);
        while_alive(&node.gate, {
            let node = Arc::clone(&node);
            async move {
                if session.stopping.swap(true, Ordering::Relaxed) {
                    return;
                }
                session.database.tables.lock().stopped += 1;
                node.invoker.drain(patience).await;
                // Whatever of this gets lost, others find when its lease has run out.
                let _ = session.release(&[]).await;
                let _ = session.mark_gone(session.node, GoneBecause::ProcessEnded).await;
                node.gate.set(Life::Dead);
            }
        });
    }

    fn freeze(&self) {
        let Some(node) = self.some_node() else { return };
        node.gate.set(Life::Frozen);
        let thaws = self.dice.time_ms(300, 7_000);
        tokio::spawn(async move {
            sleep(thaws).await;
            node.gate.set(Life::Runs);
        });
    }

    fn lose_database(&self) {
        self.database.down.store(true, Ordering::Relaxed);
        if self.dice.per_mille(400) {
            // It is restarted: nobody's connection outlives that.
            let mut tables = self.database.tables.lock();
            let nodes: Vec<_> = tables.nodes.keys().copied().collect();
            nodes.into_iter().for_each(|node| tables.end_backends(node));
        }
        let (database, returns) = (Arc::clone(&self.database), self.dice.time_ms(50, 1_500));
        tokio::spawn(async move {
            sleep(returns).await;
            database.down.store(false, Ordering::Relaxed);
        });
    }

    fn lose_provider(&self) {
        self.provider.down.store(true, Ordering::Relaxed);
        let (provider, returns) = (Arc::clone(&self.provider), self.dice.time_ms(300, 4_000));
        tokio::spawn(async move {
            sleep(returns).await;
            provider.down.store(false, Ordering::Relaxed);
        });
    }
}

/// Runs it until the process dies.
fn while_alive(gate: &Arc<Gate>, work: impl Future<Output = ()> + Send + 'static) {
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = gate.died() => {}
            () = work => {}
        }
    });
}
