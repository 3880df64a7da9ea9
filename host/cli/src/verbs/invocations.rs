//! `nexus invocations`: a running host's invocations, for a person or a program.

use anyhow::{Context, Result};
use host_admin::{AdminClient, EntryView, Filter, InvocationView, PayloadView, Verb};
use host_types::{ComponentId, InvocationId};

use super::steer;
use crate::args::{InvocationsArgs, InvocationsVerb};
use crate::up::Ready;

pub(crate) async fn invocations(args: InvocationsArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    match args.verb {
        InvocationsVerb::List {
            status,
            component,
            function,
            older_than,
            limit,
            cursor,
        } => {
            let older_than_ms = older_than.as_deref().map(host_admin::duration_ms).transpose();
            let filter = Filter {
                status: status
                    .map(|status| status.parse())
                    .transpose()
                    .map_err(anyhow::Error::msg)
                    .context("--status")?,
                component: component.map(ComponentId::from),
                function,
                older_than_ms: older_than_ms.map_err(anyhow::Error::msg).context("--older-than")?,
                limit: Some(limit),
                cursor: cursor.map(|cursor| cursor.parse()).transpose().context("--cursor")?,
            };
            let page = client.invocations(&filter).await?;
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
        InvocationsVerb::CompleteEntry {
            id,
            position,
            answer,
            base64,
            reason,
            by,
        } => {
            let given = steer::Given {
                id,
                position,
                answer,
                base64,
                reason,
                by,
            };
            steer::complete_entry(client, given, json).await?;
        }
    }
    Ok(())
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
        status,
        cause,
        attempt,
        ..
    } = invocation;
    let cause = cause.as_deref().unwrap_or_default();
    Ok(format!(
        "{id}  {status:<10} {:<12} {function:<32} attempt {attempt}  {cause}",
        component.as_str()
    ))
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
