//! Events on their way to who subscribes.

use host_invoker::{BeginDelivery, DeliverEvents};
use host_journal::AppendError;
use host_recorder::Answer;
use host_store::{
    Asked, AuditFilter, Begun, DeadFilter, DeadLetter, Error, Fence, Result, Said, Subscription, SubscriptionId, Word,
};

use super::Session;
use crate::simulation::tables::SUBSCRIPTION;

impl DeliverEvents for Session {
    fn register_subscriptions<'a>(
        &'a self,
        subscriptions: &'a [Subscription],
    ) -> Answer<'a, Result<Vec<SubscriptionId>>> {
        Box::pin(async move {
            self.ask(|tables, _| tables.is_subscribed = true).await?;
            Ok(subscriptions.iter().map(|_| SUBSCRIPTION).collect())
        })
    }

    // Where the real one locks between its look and its writing, this one looks again when it writes.
    fn begin_deliveries<'a>(&'a self, asked: &'a [Asked], begin: BeginDelivery<'a>) -> Answer<'a, Result<Begun>> {
        Box::pin(async move {
            let limit = asked.iter().map(|asked| asked.limit as usize).sum();
            let (woken, heads) = self.look(move |tables, _| tables.heads(limit)).await?;
            if woken.is_empty() {
                return Ok(Begun::default());
            }
            let mut deliveries: Vec<_> = heads
                .into_iter()
                .filter_map(|head| begin(&head).map(|message| (head, message)))
                .collect();
            let wanted: Vec<_> = deliveries
                .iter()
                .map(|(head, message)| (head.event.number, message.clone()))
                .collect();
            let (node, count) = (self.node, woken.len());
            let begun = self
                .ask(move |tables, now_ms| tables.begin_deliveries(node, &woken, &wanted, now_ms))
                .await?
                .map_err(|_| Error::NodeGone)?;
            deliveries.retain(|(_, message)| begun.contains(&message.invocation));
            Ok(Begun {
                lanes: count,
                deliveries,
            })
        })
    }

    fn dead_letters<'a>(&'a self, filter: &'a DeadFilter) -> Answer<'a, Result<Vec<DeadLetter>>> {
        Box::pin(async move { Ok(self.look(|tables, _| tables.dead_letters(filter)).await?) })
    }

    fn renew_delivery<'a>(
        &'a self,
        fence: &'a Fence,
        word: &'a Word,
    ) -> Answer<'a, std::result::Result<(), AppendError>> {
        let node = self.node;
        let (fence, word) = (fence.clone(), word.clone());
        Box::pin(async move {
            self.ask(move |tables, now_ms| tables.renew_delivery(node, &fence, &word, now_ms))
                .await?
        })
    }

    // Words are not kept here: one that is said again is refused.
    fn audit<'a>(&'a self, _: &'a AuditFilter) -> Answer<'a, Result<Vec<Said>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
