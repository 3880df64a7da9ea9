//! `nexus invocations pause|resume|cancel|restart|move|complete-entry`: one invocation, or all that a filter chooses.

use std::fmt::Display;
use std::mem;

use anyhow::{Context, Result, bail};
use host_admin::{
    AdminClient, Answer, Bulk, BulkCause, BulkView, ClientError, Completing, CompletingAll, PositionView,
    RetiredFailure, RevisionDigest, Status, Steering, Verb,
};
use host_types::{ComponentId, InvocationId};

use super::invocations::{line, parse};
use crate::args::{ChoiceArgs, CompleteEntryArgs, MoveArgs, SteerArgs};

/// To how many a word is said in one request: a restart may take seconds.
const PAGE: u32 = 100;

/// Says the word to one, or to many.
pub(crate) async fn steer(client: AdminClient, verb: Verb, args: SteerArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    if let Some(id) = &args.id {
        let steering = Steering {
            reason: args.reason,
            force: args.force,
            to: None,
        };
        crate::print_line(&line(&client.steer(verb, parse(id)?, &steering).await?, json)?);
        return Ok(());
    }
    // What cannot be taken back is counted first.
    let counts = matches!(verb, Verb::Cancel | Verb::Restart) && !args.yes;
    let bulk = Bulk {
        dry_run: counts,
        force: args.force,
        reason: args.reason,
        ..chosen(args.choice)?
    };
    steer_all(client, verb, bulk, args.limit, json).await
}

/// Lets some go on with another revision, or many.
pub(crate) async fn move_to(client: AdminClient, args: MoveArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    let to = Some(RevisionDigest(args.to.parse().context("--to")?));
    if args.ids.is_empty() {
        let bulk = Bulk {
            to,
            reason: args.reason,
            ..chosen(args.choice)?
        };
        return steer_all(client, Verb::Move, bulk, args.limit, json).await;
    }
    let steering = Steering {
        to,
        reason: args.reason,
        ..Steering::default()
    };
    let ids = args.ids.iter().map(|id| parse(id)).collect::<Result<Vec<_>>>()?;
    for id in ids {
        let moved = client
            .steer(Verb::Move, id, &steering)
            .await
            .with_context(|| id.to_string())?;
        crate::print_line(&line(&moved, json)?);
    }
    Ok(())
}

/// The bulk of a filter.
fn chosen(choice: ChoiceArgs) -> Result<Bulk> {
    let status: Option<Status> = choice
        .status
        .map(|status| status.parse())
        .transpose()
        .map_err(anyhow::Error::msg)
        .context("--status")?;
    let bulk = Bulk {
        status,
        component: choice.component.map(ComponentId::from),
        function: choice.function,
        older_than: choice.older_than,
        cause: choice.cause,
        waiting_for: choice.waiting_for,
        idempotency_key: choice.idempotency_key,
        subject: choice.subject,
        ..Bulk::default()
    };
    if !bulk.chooses() {
        bail!(
            "name an id, or choose with --status, --component, --function, --cause, --waiting-for or --idempotency-key"
        );
    }
    Ok(bulk)
}

async fn steer_all(client: AdminClient, verb: Verb, bulk: Bulk, limit: Option<u32>, json: bool) -> Result<()> {
    let counts = bulk.dry_run;
    let view = to_all(limit, async |limit, cursor| {
        let page = Bulk {
            limit: Some(limit),
            cursor,
            ..bulk.clone()
        };
        client.steer_all(verb, &page).await
    });
    came_to(verb, &view.await?, counts, json)
}

fn came_to(verb: impl Display, view: &BulkView, counts: bool, json: bool) -> Result<()> {
    if json {
        crate::print_line(&serde_json::to_string(view)?);
    } else {
        tell(verb, view, counts);
    }
    check_said(view)
}

/// An error where it was not said to all, or not all took it.
pub(crate) fn check_said(view: &BulkView) -> Result<()> {
    if let Some(reason) = &view.stopped {
        bail!("stopped after {}, say it again: {reason}", view.matched);
    }
    if !view.failed.is_empty() {
        bail!("{} of {} were refused", view.failed.len(), view.matched);
    }
    Ok(())
}

/// Page after page, from the newest to the oldest, until there are none left or `limit` is reached. What fails again while this goes on is
/// behind the cursor by then: it is not chosen twice, and keeps nobody from their turn. An error after the first page is in the view, so that
/// what was done is told.
pub(crate) async fn to_all(
    limit: Option<u32>,
    mut say: impl AsyncFnMut(u32, Option<InvocationId>) -> Result<BulkView, ClientError>,
) -> Result<BulkView> {
    let mut all = BulkView::default();
    loop {
        let left = limit.map_or(PAGE, |limit| limit - all.matched);
        let page = match say(left.min(PAGE), all.next_cursor).await {
            Ok(page) => page,
            Err(error) if all.matched > 0 => {
                all.stopped = Some(format!("{:#}", anyhow::Error::from(error)));
                return Ok(all);
            }
            Err(error) => return Err(error.into()),
        };
        all.matched += page.matched;
        all.done += page.done;
        all.failed.extend(page.failed);
        all.without += page.without;
        let causes = mem::take(&mut all.causes).into_iter().chain(page.causes);
        all.causes = BulkCause::most_frequent(causes.map(|BulkCause { cause, count }| (cause, count)));
        all.waiting += page.waiting;
        all.retired_failed.extend(page.retired_failed);
        (all.more, all.next_cursor, all.stopped) = (page.more, page.next_cursor, page.stopped);
        if all.stopped.is_some() || all.next_cursor.is_none() || limit.is_some_and(|limit| all.matched >= limit) {
            return Ok(all);
        }
    }
}

/// What came of a word to many.
pub(crate) fn tell(verb: impl Display, view: &BulkView, counts: bool) {
    let BulkView {
        matched, done, failed, ..
    } = view;
    let said = match counts {
        true => {
            let chosen = u64::from(*matched).saturating_sub(view.without);
            format!("{chosen} would be chosen; add --yes to {verb} them")
        }
        false => format!("{verb}: {done} of {matched}"),
    };
    crate::print_line(&said);
    for BulkCause { cause, count } in &view.causes {
        crate::print_line(&format!("{count} of them, paused because: {cause}"));
    }
    let others = uncaused(view);
    if others > 0 {
        crate::print_line(&format!("{others} of them, paused for other causes"));
    }
    if view.without > 0 {
        let without = view.without;
        crate::print_line(&format!(
            "{without} are left alone: they have no such entry without an answer that they come to again, or several"
        ));
    }
    match (view.waiting, counts) {
        (0, _) => {}
        (waiting, true) => crate::print_line(&format!("{waiting} more wait for a retired subscription")),
        (waiting, false) => crate::print_line(&format!("{waiting} more, which waited for a retired subscription")),
    }
    for failure in failed {
        crate::print_line(&format!("{}  {}", failure.id, failure.error));
    }
    for RetiredFailure { component, error } in &view.retired_failed {
        let component = component.as_ref().map_or("a retired subscription", ComponentId::as_str);
        crate::print_line(&format!("{component}  {error}"));
    }
    if view.more && view.stopped.is_none() {
        crate::print_line("there are more than the limit: say it again, or raise --limit");
    }
}

/// How many of those that are counted with their causes have one that is not told.
fn uncaused(view: &BulkView) -> u64 {
    if view.causes.is_empty() {
        return 0;
    }
    let told: u64 = view.causes.iter().map(|told| told.count).sum();
    let counted = u64::from(view.matched).saturating_sub(view.without + view.failed.len() as u64);
    counted.saturating_sub(told)
}

/// Answers an entry of one, or of many.
pub(crate) async fn complete_entry(client: AdminClient, args: CompleteEntryArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    let answer = match (args.answer, args.base64) {
        (_, Some(bytes)) => Answer::Base64(bytes),
        (Some(text), None) => Answer::Json(serde_json::from_str(&text).context("--answer is not JSON")?),
        (None, None) => bail!("give --answer or --base64"),
    };
    let Some(id) = args.id else {
        let completing = CompletingAll {
            chosen: Bulk {
                dry_run: !args.yes,
                reason: args.reason,
                ..chosen(args.choice)?
            },
            target: args.target.context("--target: say what the command asked for")?,
            answer,
        };
        return complete_all(client, &completing, args.limit, json).await;
    };
    let position = args.position.as_deref().and_then(|position| position.rsplit_once('#'));
    let (scope, number) = position.context("--position: it looks like /#3, or /0#2 within the first call")?;
    let completing = Completing {
        position: PositionView {
            scope: scope.to_owned(),
            n: number.parse().context("--position")?,
        },
        answer,
        reason: args.reason,
    };
    let view = client.complete_entry(parse(&id)?, &completing).await?;
    crate::print_line(&line(&view, json)?);
    Ok(())
}

async fn complete_all(client: AdminClient, completing: &CompletingAll, limit: Option<u32>, json: bool) -> Result<()> {
    let view = to_all(limit, async |limit, cursor| {
        let page = CompletingAll {
            chosen: Bulk {
                limit: Some(limit),
                cursor,
                ..completing.chosen.clone()
            },
            ..completing.clone()
        };
        client.complete_entries(&page).await
    });
    came_to("complete-entry", &view.await?, completing.chosen.dry_run, json)
}

pub(crate) fn named(client: AdminClient, by: Option<&str>) -> Result<AdminClient> {
    Ok(match by {
        Some(name) => client.named(name)?,
        None => client,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_done_before_an_error_is_told_with_it() {
        let cursor = InvocationId::new(1, [7; 10]);
        let page = BulkView {
            matched: PAGE,
            done: PAGE,
            more: true,
            next_cursor: Some(cursor),
            ..BulkView::default()
        };
        let mut pages = vec![Ok(page)];
        let said = to_all(None, async |_, _| pages.pop().unwrap_or(Err(ClientError::TokenText)));
        let view = said.await.unwrap();
        assert_eq!((view.matched, view.done, view.next_cursor), (PAGE, PAGE, Some(cursor)));
        let told = check_said(&view).unwrap_err().to_string();
        assert!(told.starts_with("stopped after 100, say it again: "), "{told}");

        // A host that could not go on has said so, and is not asked for more.
        let stopped = BulkView {
            stopped: Some("away".to_owned()),
            ..view
        };
        let mut pages = vec![Err(ClientError::TokenText), Ok(stopped)];
        let said = to_all(None, async |_, _| pages.pop().expect("one page"));
        assert_eq!(said.await.unwrap().stopped.as_deref(), Some("away"));
        let nothing = to_all(None, async |_, _| Err(ClientError::TokenText)).await;
        assert!(nothing.is_err());
    }

    #[tokio::test]
    async fn the_causes_of_all_pages_are_told_together() {
        let told = |cause: &str, count| BulkCause {
            cause: cause.to_owned(),
            count,
        };
        let first = BulkView {
            matched: 5,
            without: 1,
            causes: vec![told("away", 3), told("late", 1)],
            more: true,
            next_cursor: Some(InvocationId::new(1, [7; 10])),
            ..BulkView::default()
        };
        let last = BulkView {
            matched: 4,
            causes: vec![told("late", 3)],
            ..BulkView::default()
        };
        let mut pages = vec![Ok(last), Ok(first)];
        let said = to_all(None, async |_, _| pages.pop().expect("two pages"));
        let view = said.await.unwrap();
        assert_eq!(view.causes, [told("late", 4), told("away", 3)]);
        assert_eq!(uncaused(&view), 1, "the last page has told of three of its four");
        assert_eq!(
            uncaused(&BulkView {
                causes: Vec::new(),
                ..view
            }),
            0
        );
    }
}
