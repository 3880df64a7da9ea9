//! One word said to many: each in a commit of its own, so that it can stop anywhere and be said again.

use std::sync::Arc;

use crate::operate::{Filter, Operate, OperateError};
use crate::query::MAX_LIMIT;
use crate::steer::{Asked, Bulk, BulkFailure, BulkView, Manner, Verb};

/// Says it to those of the filter, newest first, until there are none or the limit is reached.
pub(crate) async fn say(
    operate: &Arc<dyn Operate>,
    verb: Verb,
    bulk: &Bulk,
    (mut filter, limit): (Filter, u32),
    manner: Manner,
    asked: &Asked,
) -> Result<BulkView, OperateError> {
    let mut view = BulkView::default();
    loop {
        filter.limit = Some((limit - view.matched).min(MAX_LIMIT));
        let page = match operate.list(filter.clone()).await {
            Ok(page) => page,
            Err(error) if view.matched > 0 => return Ok(view.stopped_by(&error, filter.cursor)),
            Err(error) => return Err(error),
        };
        for invocation in page.invocations {
            view.matched += 1;
            if bulk.dry_run {
                continue;
            }
            match operate.steer(verb, invocation.id, manner, asked.clone()).await {
                Ok(_) => view.done += 1,
                Err(error) => view.failed.push(BulkFailure {
                    id: invocation.id,
                    error: error.to_string(),
                }),
            }
        }
        match page.next_cursor {
            Some(cursor) if view.matched < limit => filter.cursor = Some(cursor),
            next => {
                view.more = next.is_some();
                view.next_cursor = next;
                return Ok(view);
            }
        }
    }
}
