//! `nexus invocations pause|resume|cancel|restart|complete-entry`: one invocation, or all that a filter chooses.

use anyhow::{Context, Result, bail};
use host_admin::{AdminClient, Answer, Bulk, BulkView, Completing, PositionView, Status, Steering, Verb};
use host_types::ComponentId;

use super::invocations::{line, parse};
use crate::args::SteerArgs;

/// Says the word to one, or to many.
pub(crate) async fn steer(client: AdminClient, verb: Verb, args: SteerArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    if let Some(id) = &args.id {
        let steering = Steering {
            reason: args.reason,
            force: args.force,
        };
        crate::print_line(&line(&client.steer(verb, parse(id)?, &steering).await?, json)?);
        return Ok(());
    }
    let status: Option<Status> = args
        .choice
        .status
        .map(|status| status.parse())
        .transpose()
        .map_err(anyhow::Error::msg)
        .context("--status")?;
    // What cannot be taken back is counted first.
    let counts = matches!(verb, Verb::Cancel | Verb::Restart) && !args.yes;
    let bulk = Bulk {
        status,
        component: args.choice.component.map(ComponentId::from),
        function: args.choice.function,
        older_than: args.choice.older_than,
        cause: args.choice.cause,
        waiting_for: args.choice.waiting_for,
        idempotency_key: args.choice.idempotency_key,
        subject: args.choice.subject,
        limit: Some(args.limit),
        dry_run: counts,
        force: args.force,
        reason: args.reason,
    };
    if !bulk.chooses() {
        bail!(
            "name an id, or choose with --status, --component, --function, --cause, --waiting-for or --idempotency-key"
        );
    }
    let view = client.steer_all(verb, &bulk).await?;
    if json {
        crate::print_line(&serde_json::to_string(&view)?);
    } else {
        tell(verb, &view, counts);
    }
    if !view.failed.is_empty() {
        bail!("{} of {} were refused", view.failed.len(), view.matched);
    }
    Ok(())
}

fn tell(verb: Verb, view: &BulkView, counts: bool) {
    let BulkView {
        matched,
        done,
        failed,
        more,
    } = view;
    let said = match counts {
        true => format!("{matched} would be chosen; add --yes to {verb} them"),
        false => format!("{verb}: {done} of {matched}"),
    };
    crate::print_line(&said);
    for failure in failed {
        crate::print_line(&format!("{}  {}", failure.id, failure.error));
    }
    if *more {
        crate::print_line("there are more than the limit: say it again, or raise --limit");
    }
}

/// What `complete-entry` is given.
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) position: String,
    pub(crate) answer: Option<String>,
    pub(crate) base64: Option<String>,
    pub(crate) reason: String,
    pub(crate) by: Option<String>,
}

/// Answers an entry.
pub(crate) async fn complete_entry(client: AdminClient, given: Given, json: bool) -> Result<()> {
    let client = named(client, given.by.as_deref())?;
    let (scope, number) = given
        .position
        .rsplit_once('#')
        .context("--position: it looks like /#3, or /0#2 within the first call")?;
    let answer = match (given.answer, given.base64) {
        (_, Some(bytes)) => Answer::Base64(bytes),
        (Some(text), None) => Answer::Json(serde_json::from_str(&text).context("--answer is not JSON")?),
        (None, None) => bail!("give --answer or --base64"),
    };
    let completing = Completing {
        position: PositionView {
            scope: scope.to_owned(),
            n: number.parse().context("--position")?,
        },
        answer,
        reason: given.reason,
    };
    let view = client.complete_entry(parse(&given.id)?, &completing).await?;
    crate::print_line(&line(&view, json)?);
    Ok(())
}

pub(crate) fn named(client: AdminClient, by: Option<&str>) -> Result<AdminClient> {
    Ok(match by {
        Some(name) => client.named(name)?,
        None => client,
    })
}
