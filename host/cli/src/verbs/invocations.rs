//! `nexus invocations`: a running host's invocations, for a person or a program.

use anyhow::{Context, Result};
use host_admin::{AdminClient, EntryView, Filter, InvocationView, PayloadView, Verb, WaitView};
use host_types::{ComponentId, InvocationId};

use super::steer;
use crate::args::{ChoiceArgs, InvocationsArgs, InvocationsVerb};
use crate::up::Ready;

pub(crate) async fn invocations(args: InvocationsArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    match args.verb {
        InvocationsVerb::List { choice, limit, cursor } => {
            let filter = Filter {
                limit: Some(limit),
                cursor: cursor.map(|cursor| cursor.parse()).transpose().context("--cursor")?,
                ..chosen(choice)?
            };
            let page = client.invocations(&filter).await?;
            if !json {
                crate::print_line(&heading());
            }
            for invocation in &page.invocations {
                crate::print_line(&line(invocation, json)?);
            }
            if let Some(cursor) = page.next_cursor.filter(|_| !json) {
                crate::print_line(&format!("more with --cursor {cursor}"));
            }
        }
        InvocationsVerb::Show { id } => {
            let detail = client.invocation(parse(&id)?).await?;
            if json {
                crate::print_line(&serde_json::to_string(&detail)?);
            } else {
                crate::print_line(&line(&detail.invocation, false)?);
                if let Some(parent) = detail.invocation.parent {
                    crate::print_line(&format!("begun by {parent}"));
                }
                if let Some((function, id)) = &detail.workflow {
                    crate::print_line(&format!("workflow {id:?} of {function}"));
                }
                detail
                    .waits_for
                    .iter()
                    .for_each(|wait| crate::print_line(&waits_for(wait)));
                detail
                    .journal
                    .iter()
                    .for_each(|entry| crate::print_line(&describe(entry)));
                for compensation in &detail.compensations {
                    let state = if compensation.has_run { "undone " } else { "to undo" };
                    let position = &compensation.position;
                    crate::print_line(&format!(
                        "{state}  {} of {} pushed at {}#{}",
                        compensation.name, compensation.component, position.scope, position.n
                    ));
                }
            }
        }
        InvocationsVerb::Resume(args) => steer::steer(client, Verb::Resume, args, json).await?,
        InvocationsVerb::Pause(args) => steer::steer(client, Verb::Pause, args, json).await?,
        InvocationsVerb::Cancel(args) => steer::steer(client, Verb::Cancel, args, json).await?,
        InvocationsVerb::Restart(args) => steer::steer(client, Verb::Restart, args, json).await?,
        InvocationsVerb::Move(args) => steer::move_to(client, args, json).await?,
        InvocationsVerb::CompleteEntry(args) => steer::complete_entry(client, args, json).await?,
    }
    Ok(())
}

fn chosen(choice: ChoiceArgs) -> Result<Filter> {
    let ChoiceArgs {
        status,
        component,
        function,
        older_than,
        cause,
        waiting_for,
        idempotency_key,
        subject,
    } = choice;
    let older_than_ms = older_than.as_deref().map(host_admin::duration_ms).transpose();
    let status = status.map(|status| status.parse()).transpose();
    let waiting_for = waiting_for.map(|waiting_for| waiting_for.parse()).transpose();
    Ok(Filter {
        status: status.map_err(anyhow::Error::msg).context("--status")?,
        component: component.map(ComponentId::from),
        function,
        older_than_ms: older_than_ms.map_err(anyhow::Error::msg).context("--older-than")?,
        cause,
        waiting_for: waiting_for.context("--waiting-for")?,
        idempotency_key,
        subject,
        limit: None,
        cursor: None,
    })
}

pub(super) fn parse(id: &str) -> Result<InvocationId> {
    Ok(id.parse()?)
}

pub(super) fn line(invocation: &InvocationView, json: bool) -> Result<String> {
    if json {
        return Ok(serde_json::to_string(invocation)?);
    }
    let InvocationView {
        id,
        component,
        function,
        workflow_id,
        status,
        cause,
        attempt,
        created_at,
        due_at,
        ..
    } = invocation;
    let (component, status, created_at) = (component.as_str(), status.as_str(), created_at.to_string());
    let workflow = workflow_id
        .as_ref()
        .map_or_else(String::new, |id| format!("workflow {id:?}  "));
    let due = due_at.map_or_else(String::new, |due_at| format!("due {due_at}  "));
    let cause = cause.as_deref().unwrap_or_default();
    Ok(format!(
        "{id}  {status:<9}  {created_at:<24}  {component:<18}  {function:<32}  {attempt:>7}  {workflow}{due}{cause}"
    ))
}

/// What stands above the lines of a list.
fn heading() -> String {
    format!(
        "{:<36}  {:<9}  {:<24}  {:<18}  {:<32}  {:>7}  WORKFLOW, DUE, CAUSE",
        "ID", "STATUS", "BEGAN", "COMPONENT", "FUNCTION", "ATTEMPT"
    )
}

/// Milliseconds in the largest unit of which there is at least one.
pub(super) fn for_people(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms >= *unit_ms);
    unit.map_or_else(
        || format!("{ms}ms"),
        |(unit_ms, unit)| format!("{}{unit}", ms / unit_ms),
    )
}

fn waits_for(wait: &WaitView) -> String {
    let of = |workflow: &Option<(String, String)>| match workflow {
        Some((function, id)) => format!(" of the workflow {id:?} of {function}"),
        None => String::new(),
    };
    match wait {
        WaitView::Promise {
            id,
            invocation,
            workflow,
            name,
        } => {
            let name = name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
            format!(
                "waits for the promise{name}{} ({id}), made by {invocation}",
                of(workflow)
            )
        }
        WaitView::Output { invocation, workflow } => format!("waits for the output{} ({invocation})", of(workflow)),
        WaitView::Key { function, holder } => format!("waits for a key of {function}, held by {holder}"),
    }
}

fn describe(entry: &EntryView) -> String {
    let position = entry
        .position
        .as_ref()
        .map(|position| format!("{}#{}", position.scope, position.n));
    let answer = match &entry.answer {
        None => String::new(),
        Some(PayloadView::Redacted { redacted }) => format!("({redacted} bytes)"),
        Some(PayloadView::Value(value)) => value.to_string(),
    };
    let kind = format!("{:?}", entry.kind);
    let said = entry.reason.as_deref().or(entry.target.as_deref()).unwrap_or_default();
    format!(
        "{:>5}  {kind:<15} {:<10} {said} {answer}",
        entry.index,
        position.unwrap_or_default()
    )
}
