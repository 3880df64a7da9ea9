//! Events, and what is still to be delivered of them to the one subscription of the simulated market.

use std::collections::BTreeSet;

use host_journal::{AppendError, InvocationStatus, Message, Publication};
use host_recorder::SUBSCRIBER_FUNCTION;
use host_store::{DeadFilter, DeadLetter, Fence, Head, StoredEvent, SubscriptionId, Word};
use host_types::{InvocationId, NodeId};

use super::Tables;
use crate::simulation::market::HEARD;
use crate::simulation::sabotage::Sabotage;

/// The only subscription.
pub(crate) const SUBSCRIPTION: SubscriptionId = SubscriptionId(1);

/// Where a delivery stands. Its row goes when its invocation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    Waiting,
    Running,
    Dead,
}

/// What is to be delivered.
pub(crate) struct Delivery {
    key: String,
    /// The event's number.
    event: i64,
    state: DeliveryState,
    invocation: Option<InvocationId>,
    round: u32,
}

impl Tables {
    /// An event is there, and everybody who subscribes is to be told.
    pub(crate) fn publish(&mut self, publication: &Publication, invocation: InvocationId) {
        if self.events.iter().any(|event| event.event == publication.event) {
            return;
        }
        let event = StoredEvent {
            number: self.events.len() as i64 + 1,
            event: publication.event,
            topic: publication.topic.clone(),
            key: publication.key.clone(),
            content_type: publication.content_type.clone(),
            payload: publication.payload.clone(),
            component: publication.component.clone(),
            invocation,
            published_ms: publication.published_ms.cast_signed(),
            trace_parent: publication.trace_parent.clone(),
        };
        if self.is_subscribed {
            self.deliveries.push(Delivery {
                key: event.key.clone(),
                event: event.number,
                state: DeliveryState::Waiting,
                invocation: None,
                round: 0,
            });
            self.wake_lane(event.key.clone());
        }
        self.events.push(event);
    }

    fn wake_lane(&mut self, key: String) {
        self.lane_wakeups.insert(self.next_wakeup, key);
        self.next_wakeup += 1;
    }

    /// The wakeups of lanes, and what is first in each lane of them.
    pub(crate) fn heads(&self, limit: usize) -> (Vec<u64>, Vec<Head>) {
        let woken = self.lane_wakeups.iter().take(limit);
        let lanes: BTreeSet<&String> = woken.clone().map(|(_, key)| key).collect();
        let heads = lanes.into_iter().filter_map(|key| self.head(key)).collect();
        (woken.map(|(number, _)| *number).collect(), heads)
    }

    fn head(&self, key: &str) -> Option<Head> {
        let mut lane = self.deliveries.iter().filter(|delivery| delivery.key == key);
        let first = match self.has(Sabotage::LaneWithoutOrder) {
            true => lane.rfind(|delivery| delivery.state == DeliveryState::Waiting),
            false => lane.next().filter(|delivery| delivery.state == DeliveryState::Waiting),
        }?;
        Some(Head {
            subscription: SUBSCRIPTION,
            round: first.round,
            event: self.events[first.event as usize - 1].clone(),
        })
    }

    /// Begins those that still wait, and forgets these wakeups; what woke a lane since then is another one. Returns which.
    pub(crate) fn begin_deliveries(
        &mut self,
        node: NodeId,
        woken: &[u64],
        begun: &[(i64, Message)],
        now_ms: u64,
    ) -> Result<Vec<InvocationId>, AppendError> {
        self.may_write(node)?;
        for number in woken {
            self.lane_wakeups.remove(number);
        }
        let mut ours = Vec::new();
        for (event, message) in begun {
            let waits = |delivery: &&mut Delivery| delivery.event == *event && delivery.state == DeliveryState::Waiting;
            let Some(delivery) = self.deliveries.iter_mut().find(waits) else {
                continue;
            };
            delivery.state = DeliveryState::Running;
            delivery.invocation = Some(message.invocation);
            self.insert(message.invocation, &message.start, Some(node), None, now_ms);
            self.write_bodies(message.invocation, 0, std::slice::from_ref(&message.started));
            ours.push(message.invocation);
        }
        Ok(ours)
    }

    /// A delivery follows its invocation: it is over when that has ended, and a dead letter while that is paused.
    pub(super) fn follow_delivery(&mut self, id: InvocationId, status: InvocationStatus) {
        let of_it = |delivery: &Delivery| delivery.invocation == Some(id);
        let Some(at) = self.deliveries.iter().position(of_it) else {
            return;
        };
        let key = self.deliveries[at].key.clone();
        if status.is_final() {
            self.deliveries.remove(at);
        } else {
            self.deliveries[at].state = match status {
                InvocationStatus::Paused => DeliveryState::Dead,
                _ => DeliveryState::Running,
            };
        }
        if status.is_final() || status == InvocationStatus::Paused {
            self.wake_lane(key);
        }
    }

    /// A dead letter is told anew: its invocation ends, and another begins at the same place among the events of its key.
    pub(crate) fn renew_delivery(
        &mut self,
        node: NodeId,
        fence: &Fence,
        word: &Word,
        now_ms: u64,
    ) -> Result<(), AppendError> {
        self.may_write(node)?;
        self.index_is_free(fence.invocation, fence.next_index, false)?;
        let is_dead = |delivery: &&mut Delivery| {
            delivery.invocation == Some(fence.invocation) && delivery.state == DeliveryState::Dead
        };
        let Some(delivery) = self.deliveries.iter_mut().find(is_dead) else {
            return Err(AppendError::Fenced);
        };
        delivery.state = DeliveryState::Waiting;
        delivery.invocation = None;
        delivery.round += 1;
        self.renewed += 1;
        let key = delivery.key.clone();
        self.wake_lane(key);
        self.fence_with_word(node, fence, word, now_ms)
    }

    /// Of one invocation, or all.
    pub(crate) fn dead_letters(&self, filter: &DeadFilter) -> Vec<DeadLetter> {
        let dead = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.state == DeliveryState::Dead);
        let letter = |delivery: &Delivery| {
            let event = &self.events[delivery.event as usize - 1];
            let row = &self.invocations[&delivery.invocation?].row;
            let later = |other: &&Delivery| other.key == delivery.key && other.event > delivery.event;
            Some(DeadLetter {
                invocation: row.invocation,
                component: row.component.clone(),
                subscription: HEARD.to_owned(),
                blocks: true,
                event: event.event,
                topic: event.topic.clone(),
                key: event.key.clone(),
                source: event.component.clone(),
                published_ms: event.published_ms,
                cause: row.cause.clone().unwrap_or_default(),
                dead_ms: row.updated_ms,
                behind: self.deliveries.iter().filter(later).count() as i64,
            })
        };
        let letters = dead.filter_map(letter);
        letters
            .filter(|letter| filter.invocation.is_none_or(|wanted| wanted == letter.invocation))
            .collect()
    }

    /// Nothing is to be delivered any more.
    pub(crate) fn is_delivered(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether this is an invocation that delivers.
    pub(super) fn delivers(&self, id: InvocationId) -> bool {
        self.invocations
            .get(&id)
            .is_some_and(|stored| stored.row.function == SUBSCRIBER_FUNCTION)
    }
}
