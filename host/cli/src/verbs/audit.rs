//! `nexus audit`: what operators said.

use anyhow::{Context, Result};
use host_admin::{AdminClient, AuditFilter, SaidView};
use host_types::ComponentId;

use crate::args::AuditArgs;
use crate::up::Ready;

pub(crate) async fn audit(args: AuditArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    let filter = AuditFilter {
        invocation: args
            .invocation
            .map(|id| id.parse())
            .transpose()
            .context("--invocation")?,
        component: args.component.map(ComponentId::from),
        limit: Some(args.limit),
        cursor: args.cursor,
    };
    let page = client.audit(&filter).await?;
    for said in &page.audit {
        crate::print_line(&if json { serde_json::to_string(said)? } else { line(said) });
    }
    if let Some(cursor) = page.next_cursor.filter(|_| !json) {
        crate::print_line(&format!("more with --cursor {cursor}"));
    }
    Ok(())
}

fn line(said: &SaidView) -> String {
    let SaidView {
        at,
        operator,
        verb,
        invocation,
        successor,
        component,
        revision,
        reason,
        outcome,
        ..
    } = said;
    let of = match (invocation, component, revision) {
        (Some(invocation), ..) => invocation.to_string(),
        (None, Some(component), Some(revision)) => format!("{component} {}", revision.0),
        (None, component, _) => component.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let successor = successor.map_or_else(String::new, |id| format!(" as {id}"));
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!("  ({reason})")
    };
    format!("{at}  {operator:<16} {verb:<14} {of}{successor}  {outcome}{reason}")
}
