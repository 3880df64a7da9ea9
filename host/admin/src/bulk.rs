//! One word said to many: each in a commit of its own, so that it can stop anywhere and be said again.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_types::InvocationId;

use crate::journal;
use crate::operate::{Filter, Operate, OperateError};
use crate::query::MAX_LIMIT;
use crate::steer::{Answer, Asked, BulkCause, BulkFailure, BulkView, Manner, Verb};

/// What is said to each.
#[derive(Clone, Copy)]
pub(crate) enum Word<'a> {
    /// It is done to the invocation.
    Steer(Verb, Manner),
    /// The answer to its one command of this target that has none.
    Answer { target: &'a str, answer: &'a Answer },
}

/// What it came to with one of them.
enum Said {
    Done,
    /// It would be done.
    Counted,
    /// It would be given the answer.
    Answerable,
    /// There is not exactly one command to be answered that is still asked for.
    Without,
}

/// Says it to those of the filter, newest first, until there are none or the limit is reached. `dry_run`: only counts them.
pub(crate) async fn say(
    operate: &Arc<dyn Operate>,
    word: Word<'_>,
    dry_run: bool,
    (mut filter, limit): (Filter, u32),
    asked: &Asked,
) -> Result<BulkView, OperateError> {
    let mut view = BulkView::default();
    let mut causes: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        filter.limit = Some((limit - view.matched).min(MAX_LIMIT));
        let page = match operate.list(filter.clone()).await {
            Ok(page) => page,
            Err(error) if view.matched > 0 => {
                view.causes = BulkCause::most_frequent(causes);
                return Ok(view.stopped_by(&error, filter.cursor));
            }
            Err(error) => return Err(error),
        };
        for invocation in page.invocations {
            view.matched += 1;
            match say_to(operate, word, dry_run, invocation.id, asked).await {
                Ok(Said::Done) => view.done += 1,
                Ok(Said::Counted) => {}
                Ok(Said::Answerable) => *causes.entry(invocation.cause.unwrap_or_default()).or_default() += 1,
                Ok(Said::Without) => view.without += 1,
                Err(error) => view.failed.push(BulkFailure {
                    id: invocation.id,
                    error: error.to_string(),
                }),
            }
        }
        match page.next_cursor {
            Some(cursor) if view.matched < limit => filter.cursor = Some(cursor),
            next => {
                view.causes = BulkCause::most_frequent(causes);
                view.more = next.is_some();
                view.next_cursor = next;
                return Ok(view);
            }
        }
    }
}

async fn say_to(
    operate: &Arc<dyn Operate>,
    word: Word<'_>,
    dry_run: bool,
    invocation: InvocationId,
    asked: &Asked,
) -> Result<Said, OperateError> {
    match word {
        Word::Steer(..) if dry_run => Ok(Said::Counted),
        Word::Steer(verb, manner) => {
            operate.steer(verb, invocation, manner, asked.clone()).await?;
            Ok(Said::Done)
        }
        Word::Answer { target, answer } => {
            let detail = operate.show(invocation).await?;
            let Some(position) = journal::unanswered(&detail.journal, detail.undoing.as_deref(), target) else {
                return Ok(Said::Without);
            };
            if dry_run {
                return Ok(Said::Answerable);
            }
            let position = position
                .parsed()
                .map_err(|error| OperateError::Invalid(error.to_string()))?;
            // What has become of it since it was looked at is looked at again where it is answered.
            operate
                .complete_entry(invocation, position, answer.clone(), asked.clone())
                .await?;
            Ok(Said::Done)
        }
    }
}
