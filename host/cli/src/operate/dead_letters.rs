//! Dead letters and retired subscriptions, as the admin port tells of them.

use host_admin::{
    Asked, DeadLetterFilter, DeadLetterVerb, DeadLetterView, DeadLettersView, OperateError, RetiredView, SettledView,
    Timestamp,
};
use host_invoker::Replayed;
use host_store::{DeadFilter, DeadLetter, Retired};
use host_types::InvocationId;

use super::{Operator, in_words, refused, unavailable};

impl Operator {
    pub(super) async fn dead_letter_views(&self, filter: DeadLetterFilter) -> Result<DeadLettersView, OperateError> {
        let limit = filter.limit.unwrap_or(20);
        let is_first = filter.cursor.is_none();
        // One more than asked for tells whether there is a next page.
        let stored = DeadFilter {
            component: filter.component,
            subscription: filter.subscription,
            invocation: None,
            limit: limit + 1,
            cursor: filter.cursor,
        };
        let mut letters = self.dead_letters.list(&stored).await.map_err(refused)?;
        let more = letters.len() > limit as usize;
        letters.truncate(limit as usize);
        let retired = match is_first {
            true => {
                let (component, name) = (stored.component.as_ref(), stored.subscription.as_deref());
                self.store.retired(component, name).await.map_err(unavailable)?
            }
            false => Vec::new(),
        };
        Ok(DeadLettersView {
            next_cursor: letters.last().filter(|_| more).map(|letter| letter.invocation),
            dead_letters: letters.into_iter().map(dead_letter).collect(),
            retired: retired.into_iter().map(retired_view).collect(),
        })
    }

    pub(super) async fn settle_dead_letter(
        &self,
        verb: DeadLetterVerb,
        id: InvocationId,
        asked: Asked,
    ) -> Result<SettledView, OperateError> {
        let asked = in_words(asked);
        let outcome = match verb {
            DeadLetterVerb::Replay => {
                let replayed = self.dead_letters.replay(id, &asked).await;
                match replayed.map_err(refused)? {
                    Replayed::Anew => "anew",
                    Replayed::Resumed => "resumed",
                }
            }
            DeadLetterVerb::Drop => {
                let dropped = self.dead_letters.give_up(id, &asked).await;
                dropped.map_err(refused)?;
                "dropped"
            }
        };
        Ok(SettledView {
            id,
            outcome: outcome.to_owned(),
        })
    }
}

fn dead_letter(letter: DeadLetter) -> DeadLetterView {
    DeadLetterView {
        id: letter.invocation,
        component: letter.component,
        subscription: letter.subscription,
        event: letter.event,
        topic: letter.topic,
        key: letter.key,
        source: letter.source,
        published_at: Timestamp::from_unix_ms(letter.published_ms),
        dead_since: Timestamp::from_unix_ms(letter.dead_ms),
        cause: letter.cause,
        blocks: letter.blocks,
        behind: letter.behind,
    }
}

fn retired_view(retired: Retired) -> RetiredView {
    RetiredView {
        component: retired.component,
        subscription: retired.name,
        retired_at: Timestamp::from_unix_ms(retired.retired_ms),
        waiting: retired.waiting,
    }
}
