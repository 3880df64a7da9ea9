//! Deliveries: who subscribes, which events are next for whom, and those that were given up.

use std::collections::HashSet;

use host_journal::Message;
use host_types::{ComponentId, EventId, InvocationId};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::events::{Row, select_events};
use crate::{Result, Store, StoredEvent};

/// A subscription in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub i32);

/// What a manifest says about a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Who subscribes.
    pub component: ComponentId,
    /// Its name, one of its component's.
    pub name: String,
    /// Topics; one that ends in an asterisk stands for all that begin like it.
    pub patterns: Vec<String>,
    /// A dead letter holds up what follows of its key.
    pub blocks: bool,
}

/// How much of a subscription a node has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub subscription: SubscriptionId,
    /// Lanes at most.
    pub limit: u32,
}

/// The next event of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// For whom.
    pub subscription: SubscriptionId,
    /// How often an operator had this delivery begun anew.
    pub round: u32,
    /// What.
    pub event: StoredEvent,
}

/// What came of a look.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    /// Lanes that were looked at: while there are any, there may be more.
    pub lanes: usize,
    /// Deliveries of this node now, each with the invocation it is.
    pub deliveries: Vec<(Head, Message)>,
}

/// Which dead letters to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Only those of this component.
    pub component: Option<ComponentId>,
    /// Only those of subscriptions of this name.
    pub subscription: Option<String>,
    /// Only this one, by its invocation.
    pub invocation: Option<InvocationId>,
    /// How many at most.
    pub limit: u32,
    /// Only those after this one.
    pub cursor: Option<InvocationId>,
}

/// An event that a subscription was not able to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The invocation that gave up, which is paused.
    pub invocation: InvocationId,
    /// Whose subscription.
    pub component: ComponentId,
    /// Which.
    pub subscription: String,
    /// It holds up what follows of its key.
    pub blocks: bool,
    /// The event.
    pub event: EventId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// Who published it.
    pub source: ComponentId,
    /// When, milliseconds since 1970-01-01 UTC.
    pub published_ms: i64,
    /// Why it was given up.
    pub cause: String,
    /// Since when, by the database's clock, milliseconds since 1970-01-01 UTC.
    pub dead_ms: i64,
    /// How many more of its key wait behind it.
    pub behind: i64,
}

/// A subscription that no manifest has any more, and that events wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Whose.
    pub component: ComponentId,
    /// Its name.
    pub name: String,
    /// Since when, by the database's clock, milliseconds since 1970-01-01 UTC.
    pub retired_ms: i64,
    /// How many events wait for its return.
    pub waiting: i64,
}

impl Store {
    /// Puts down what this node's manifest says. A subscription begins with what is published from here on; one that neither this nor any
    /// other live node has is retired, and what waits for it waits for its return. Returns their ids, in order.
    pub async fn register_subscriptions(&self, subscriptions: &[Subscription]) -> Result<Vec<SubscriptionId>> {
        let (mut components, mut names, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut patterns, mut pattern_places) = (Vec::new(), Vec::new());
        for (place, subscription) in (1_i32..).zip(subscriptions) {
            components.push(subscription.component.as_str());
            names.push(&subscription.name);
            blocks.push(subscription.blocks);
            for pattern in &subscription.patterns {
                patterns.push(pattern);
                pattern_places.push(place);
            }
        }
        let (ids, retired_components, retired_names): (Vec<i32>, Vec<String>, Vec<String>) = sqlx::query_as(
            "SELECT ids, retired_components, retired_names FROM host.register_subscriptions($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.node().0)
        .bind(components)
        .bind(names)
        .bind(blocks)
        .bind(patterns)
        .bind(pattern_places)
        .fetch_one(self.pool())
        .await?;
        for (component, name) in retired_components.iter().zip(&retired_names) {
            tracing::warn!(component.id = %component, subscription = %name, "no manifest has this subscription any more: it is retired");
        }
        Ok(ids.into_iter().map(SubscriptionId).collect())
    }

    /// Looks at lanes that may have something to deliver, and begins what is first in each as an invocation of this node; `begin` says
    /// which, or that there is none. Several nodes that look at once begin different ones.
    pub async fn begin_deliveries(&self, asked: &[Asked], begin: impl Fn(&Head) -> Option<Message>) -> Result<Begun> {
        let mut transaction = self.pool().begin().await?;
        let (ids, limits): (Vec<_>, Vec<_>) = asked
            .iter()
            .map(|asked| (asked.subscription.0, i64::from(asked.limit)))
            .unzip();
        let woken: Vec<(i32, String)> = sqlx::query_as(
            "DELETE FROM host.lane_wakeup USING (
                 SELECT woken.subscription, woken.number FROM unnest($1::integer[], $2::bigint[]) AS asked (subscription, free)
                     CROSS JOIN LATERAL (SELECT subscription, number FROM host.lane_wakeup
                         WHERE lane_wakeup.subscription = asked.subscription
                         ORDER BY number LIMIT asked.free FOR UPDATE SKIP LOCKED) AS woken
             ) AS chosen
             WHERE lane_wakeup.subscription = chosen.subscription AND lane_wakeup.number = chosen.number
             RETURNING lane_wakeup.subscription, lane_wakeup.key",
        )
        .bind(ids)
        .bind(limits)
        .fetch_all(&mut *transaction)
        .await?;
        let lanes: HashSet<(i32, String)> = woken.into_iter().collect();
        if lanes.is_empty() {
            return Ok(Begun::default());
        }
        let (ids, keys): (Vec<_>, Vec<_>) = lanes.iter().cloned().unzip();
        let select = select_events!(
            "lane.subscription, head.round, ",
            "FROM unnest($1::integer[], $2::text[]) AS lane (subscription, key)
                 JOIN host.subscription ON subscription.id = lane.subscription
                 CROSS JOIN LATERAL (SELECT event, state, round FROM host.delivery
                     WHERE delivery.subscription = lane.subscription AND delivery.key = lane.key AND (state <> 'dead' OR blocks)
                     ORDER BY event LIMIT 1) AS head
                 JOIN host.event ON event.number = head.event
             WHERE head.state = 'waiting' ORDER BY event.number"
        );
        let rows = sqlx::query(select)
            .bind(ids)
            .bind(keys)
            .fetch_all(&mut *transaction)
            .await?;
        let mut heads = Vec::with_capacity(rows.len());
        for row in rows {
            let event = self.open_event(Row::from_row(&row)?).await;
            match event {
                Ok(event) => heads.push(Head {
                    subscription: SubscriptionId(row.try_get("subscription")?),
                    round: row.try_get::<i32, _>("round")?.unsigned_abs(),
                    event,
                }),
                // The next look may be able to: all that was taken here is left to it.
                Err(error) if error.is_transient() => return Err(error),
                // Its lane stands still: nobody can tell what it would be told.
                Err(error) => tracing::error!(%error, "an event cannot be read, and is not delivered"),
            }
        }
        let mut deliveries: Vec<_> = heads
            .into_iter()
            .filter_map(|head| begin(&head).map(|message| (head, message)))
            .collect();
        let begun = self.write_deliveries(&mut transaction, &deliveries).await?;
        transaction.commit().await?;
        deliveries.retain(|(_, message)| begun.contains(&message.invocation.0));
        Ok(Begun {
            lanes: lanes.len(),
            deliveries,
        })
    }

    async fn write_deliveries(
        &self,
        session: &mut sqlx::PgConnection,
        deliveries: &[(Head, Message)],
    ) -> Result<HashSet<Uuid>> {
        if deliveries.is_empty() {
            return Ok(HashSet::new());
        }
        let heads = || deliveries.iter().map(|(head, _)| head);
        let messages = || deliveries.iter().map(|(_, message)| message);
        let node = &self.inner.node;
        let begun: Vec<Uuid> =
            sqlx::query_scalar("SELECT host.begin_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
                .bind(node.id.0)
                .bind(&node.token[..])
                .bind(heads().map(|head| head.subscription.0).collect::<Vec<_>>())
                .bind(heads().map(|head| head.event.key.as_str()).collect::<Vec<_>>())
                .bind(heads().map(|head| head.event.number).collect::<Vec<_>>())
                .bind(messages().map(|message| message.invocation.0).collect::<Vec<_>>())
                .bind(messages().map(|message| &message.started[..]).collect::<Vec<_>>())
                .bind(
                    messages()
                        .map(|message| message.start.component.as_str())
                        .collect::<Vec<_>>(),
                )
                .bind(
                    messages()
                        .map(|message| message.start.function.as_str())
                        .collect::<Vec<_>>(),
                )
                .bind(messages().map(|message| message.start.deployment.0).collect::<Vec<_>>())
                .bind(
                    messages()
                        .map(|message| message.start.parent.map(|parent| parent.0))
                        .collect::<Vec<_>>(),
                )
                .fetch_all(session)
                .await?;
        Ok(begun.into_iter().collect())
    }

    /// A page of dead letters.
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>> {
        let rows = sqlx::query(
            "SELECT delivery.invocation_id, subscription.component, subscription.name, blocks, event.id AS event, event.topic, event.key,
                 event.component AS source, (extract(epoch FROM published_at) * 1000)::bigint AS published_ms,
                 coalesce(cause, '') AS cause, (extract(epoch FROM updated_at) * 1000)::bigint AS dead_ms,
                 (SELECT count(*) FROM host.delivery AS later WHERE later.subscription = delivery.subscription
                     AND later.key = delivery.key AND later.event > delivery.event) AS behind
             FROM host.delivery
                 JOIN host.subscription ON subscription.id = delivery.subscription
                 JOIN host.event ON event.number = delivery.event
                 JOIN host.invocation ON invocation.id = delivery.invocation_id
             WHERE state = 'dead' AND ($1::text IS NULL OR subscription.component = $1) AND ($2::text IS NULL OR subscription.name = $2)
                 AND ($3::uuid IS NULL OR delivery.invocation_id = $3) AND ($4::uuid IS NULL OR delivery.invocation_id < $4)
             ORDER BY delivery.invocation_id DESC LIMIT $5",
        )
        .bind(filter.component.as_ref().map(ComponentId::as_str))
        .bind(&filter.subscription)
        .bind(filter.invocation.map(|invocation| invocation.0))
        .bind(filter.cursor.map(|cursor| cursor.0))
        .bind(i64::from(filter.limit))
        .fetch_all(self.pool())
        .await?;
        let dead = |row: &sqlx::postgres::PgRow| {
            Ok(DeadLetter {
                invocation: InvocationId(row.try_get("invocation_id")?),
                component: row.try_get::<String, _>("component")?.into(),
                subscription: row.try_get("name")?,
                blocks: row.try_get("blocks")?,
                event: EventId(row.try_get("event")?),
                topic: row.try_get("topic")?,
                key: row.try_get("key")?,
                source: row.try_get::<String, _>("source")?.into(),
                published_ms: row.try_get("published_ms")?,
                cause: row.try_get("cause")?,
                dead_ms: row.try_get("dead_ms")?,
                behind: row.try_get("behind")?,
            })
        };
        rows.iter().map(dead).collect()
    }

    /// The retired subscriptions that events wait for, by component and name; only those of this component or this name.
    pub async fn retired(&self, component: Option<&ComponentId>, name: Option<&str>) -> Result<Vec<Retired>> {
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT component, name, (extract(epoch FROM retired_at) * 1000)::bigint, waiting
             FROM host.subscription CROSS JOIN LATERAL (
                 SELECT count(*) AS waiting FROM host.delivery WHERE delivery.subscription = id AND state = 'waiting') AS deliveries
             WHERE retired_at IS NOT NULL AND waiting > 0 AND ($1::text IS NULL OR component = $1) AND ($2::text IS NULL OR name = $2)
             ORDER BY component, name",
        )
        .bind(component.map(ComponentId::as_str))
        .bind(name)
        .fetch_all(self.pool())
        .await?;
        let retired = |(component, name, retired_ms, waiting): (String, String, i64, i64)| Retired {
            component: component.into(),
            name,
            retired_ms,
            waiting,
        };
        Ok(rows.into_iter().map(retired).collect())
    }

    /// An operator's word by which what waits for a retired subscription is given up, and no event is kept for its sake any more. Returns how
    /// many events waited; 0, and nothing is said, when it is not retired.
    pub async fn drop_retired(&self, component: &ComponentId, name: &str, operator: &str, reason: &str) -> Result<u64> {
        let dropped: i64 = sqlx::query_scalar("SELECT host.drop_retired($1, $2, $3, $4)")
            .bind(component.as_str())
            .bind(name)
            .bind(operator)
            .bind(reason)
            .fetch_one(self.pool())
            .await?;
        Ok(dropped.unsigned_abs())
    }
}
