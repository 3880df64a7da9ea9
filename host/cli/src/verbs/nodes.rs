//! `nexus nodes`: the hosts that share the database.

use anyhow::Result;
use host_admin::{AdminClient, NodeStatus, NodeView};

use super::invocations::for_people;
use crate::args::ReachArgs;
use crate::up::Ready;

pub(crate) async fn list(args: ReachArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    let nodes = client.nodes().await?;
    if !json {
        crate::print_line(&format!(
            "{:<36}  {:<8}  {:<24}  {:<10}  NAME",
            "ID", "STATUS", "STARTED", "SILENT FOR"
        ));
    }
    for node in &nodes {
        crate::print_line(&if json { serde_json::to_string(node)? } else { line(node) });
    }
    Ok(())
}

fn line(node: &NodeView) -> String {
    let NodeView {
        id,
        name,
        status,
        started_at,
        silent_ms,
        ..
    } = node;
    let status = match status {
        NodeStatus::Alive => "alive",
        NodeStatus::Draining => "draining",
        NodeStatus::Expired => "expired",
        NodeStatus::Gone => "gone",
    };
    let (started_at, silent) = (started_at.to_string(), for_people(*silent_ms));
    format!("{id:<36}  {status:<8}  {started_at:<24}  {silent:<10}  {name}")
}
