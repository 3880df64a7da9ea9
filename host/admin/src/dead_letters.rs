//! Dead letters: events that a subscription was not able to take, as they are listed, and what is said to them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use host_types::{ComponentId, EventId, InvocationId};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::operate::{Operate, OperateError};
use crate::problem::Refusal;
use crate::query::{self, DEFAULT_LIMIT, MAX_LIMIT};
use crate::steer::{Asked, BulkFailure, BulkView, MAX_BULK, RetiredFailure};

/// Which dead letters to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only those of this component's subscriptions.
    pub component: Option<ComponentId>,
    /// Only those of subscriptions of this name.
    pub subscription: Option<String>,
    /// How many at most, 1 to [`MAX_LIMIT`]; the server's default when none.
    pub limit: Option<u32>,
    /// Only those after this one: the `next_cursor` of the page before.
    pub cursor: Option<InvocationId>,
}

/// A page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersView {
    /// Newest first.
    pub dead_letters: Vec<DeadLetterView>,
    /// The cursor of the next page, if there is one.
    pub next_cursor: Option<InvocationId>,
    /// On the first page: subscriptions that no manifest has any more, and that events wait for.
    #[serde(default)]
    pub retired: Vec<RetiredView>,
}

/// A subscription that no manifest has any more. What waits for it is kept, until it is back or an operator drops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredView {
    /// Whose.
    pub component: ComponentId,
    /// Its name.
    pub subscription: String,
    /// Since when.
    pub retired_at: Timestamp,
    /// How many events wait for it.
    pub waiting: i64,
}

/// An event that a subscription was not able to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// The invocation that delivered it, which is paused.
    pub id: InvocationId,
    /// Whose subscription.
    pub component: ComponentId,
    /// Its name.
    pub subscription: String,
    /// The event.
    pub event: EventId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// The component that published it.
    pub source: ComponentId,
    /// When it was published.
    pub published_at: Timestamp,
    /// Since when it is dead.
    pub dead_since: Timestamp,
    /// Why.
    pub cause: String,
    /// It holds up what follows of its key.
    pub blocks: bool,
    /// How many more of its key are to be delivered after it.
    pub behind: i64,
}

/// What can be said to a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterVerb {
    /// Deliver it once more.
    Replay,
    /// Give it up.
    Drop,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledView {
    /// The dead letter that was.
    pub id: InvocationId,
    /// `anew`: delivered anew; `resumed`: it goes on where it stopped; `dropped`.
    pub outcome: String,
}

/// The body of `POST /v1/dead-letters/replay|drop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterBulk {
    /// Only those of this component's subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Only those of subscriptions of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// How many at most, the newest first; 100 when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those after this one: where the answer to the word before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<InvocationId>,
    /// Only count them.
    pub dry_run: bool,
    /// Why, for the audit log.
    pub reason: String,
}

impl DeadLetterVerb {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for DeadLetterVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadLetterVerb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Replay, Self::Drop];
        all.into_iter().find(|verb| verb.as_str() == text).ok_or(())
    }
}

/// The parameters of a list.
pub(crate) fn filter(query: &str) -> Result<DeadLetterFilter, Refusal> {
    let mut filter = DeadLetterFilter {
        limit: Some(DEFAULT_LIMIT),
        ..DeadLetterFilter::default()
    };
    for (name, value) in query::pairs(query)? {
        match name.as_str() {
            _ if value.is_empty() => {}
            "component" => filter.component = Some(value.into()),
            "subscription" => filter.subscription = Some(value),
            "limit" => filter.limit = Some(query::limit(&name, &value)?),
            "cursor" => filter.cursor = Some(query::parsed(&name, &value)?),
            _ => {
                let detail = "is unknown; there are component, subscription, limit and cursor".to_owned();
                return Err(Refusal::Parameter { name, detail });
            }
        }
    }
    Ok(filter)
}

/// The query string of a list.
pub(crate) fn text(filter: &DeadLetterFilter) -> String {
    let pairs = [
        ("component", filter.component.as_ref().map(ToString::to_string)),
        ("subscription", filter.subscription.clone()),
        ("limit", filter.limit.map(|limit| limit.to_string())),
        ("cursor", filter.cursor.map(|cursor| cursor.to_string())),
    ];
    let given: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    serde_urlencoded::to_string(given).expect("pairs of texts have a form encoding")
}

/// Says it to those of the filter, newest first, until there are none or the limit is reached.
pub(crate) async fn say(
    operate: &Arc<dyn Operate>,
    verb: DeadLetterVerb,
    bulk: &DeadLetterBulk,
    asked: &Asked,
) -> Result<BulkView, Refusal> {
    let refused = |name: &str, detail: String| Refusal::Parameter {
        name: name.to_owned(),
        detail,
    };
    if bulk.component.is_none() && bulk.subscription.is_none() {
        let detail = "is missing: give at least one of component and subscription".to_owned();
        return Err(refused("subscription", detail));
    }
    query::stored("component", bulk.component.as_ref().map(ComponentId::as_str))?;
    query::stored("subscription", bulk.subscription.as_deref())?;
    let limit = bulk.limit.unwrap_or(DEFAULT_LIMIT * 2);
    if !(1..=MAX_BULK).contains(&limit) {
        return Err(refused("limit", format!("is not from 1 to {MAX_BULK}")));
    }
    let mut filter = DeadLetterFilter {
        component: bulk.component.clone(),
        subscription: bulk.subscription.clone(),
        cursor: bulk.cursor,
        ..DeadLetterFilter::default()
    };
    let mut view = BulkView::default();
    loop {
        filter.limit = Some((limit - view.matched).min(MAX_LIMIT));
        let page = match operate.dead_letters(filter.clone()).await {
            Ok(page) => page,
            Err(error) if view.matched > 0 => return Ok(view.stopped_by(&error, filter.cursor)),
            Err(error) => return Err(error.into()),
        };
        for letter in page.dead_letters {
            if !bulk.dry_run {
                match operate.settle(verb, letter.id, asked.clone()).await {
                    Ok(_) => view.done += 1,
                    // The others would wait for the same. Whether it was done is not known: saying it again changes nothing then.
                    Err(error @ OperateError::Unavailable(_)) if view.matched > 0 => {
                        return Ok(view.stopped_by(&error, filter.cursor));
                    }
                    Err(error @ OperateError::Unavailable(_)) => return Err(error.into()),
                    Err(error) => view.failed.push(BulkFailure {
                        id: letter.id,
                        error: error.to_string(),
                    }),
                }
            }
            view.matched += 1;
            filter.cursor = Some(letter.id);
        }
        match page.next_cursor {
            Some(cursor) if view.matched < limit => filter.cursor = Some(cursor),
            Some(next) => {
                view.more = true;
                view.next_cursor = Some(next);
                return Ok(view);
            }
            None => {
                if let (DeadLetterVerb::Drop, Some(subscription)) = (verb, &bulk.subscription) {
                    drop_retired(operate, bulk, subscription, asked, &mut view).await;
                }
                return Ok(view);
            }
        }
    }
}

/// What waits for retired subscriptions of this name is dropped, too, or counted. What fails is in the view, with what was done before it.
async fn drop_retired(
    operate: &Arc<dyn Operate>,
    bulk: &DeadLetterBulk,
    subscription: &str,
    asked: &Asked,
    view: &mut BulkView,
) {
    let filter = DeadLetterFilter {
        component: bulk.component.clone(),
        subscription: Some(subscription.to_owned()),
        limit: Some(1),
        cursor: None,
    };
    let failed = |of: Option<ComponentId>, error: OperateError| RetiredFailure {
        component: of,
        error: error.to_string(),
    };
    let listed = match operate.dead_letters(filter).await {
        Ok(listed) => listed,
        Err(error) => return view.retired_failed.push(failed(bulk.component.clone(), error)),
    };
    for retired in listed.retired {
        if bulk.dry_run {
            view.waiting += retired.waiting.unsigned_abs();
            continue;
        }
        let dropping = operate.drop_retired(retired.component.clone(), retired.subscription, asked.clone());
        match dropping.await {
            Ok(dropped) => view.waiting += dropped,
            Err(error) => view.retired_failed.push(failed(Some(retired.component), error)),
        }
    }
}
