//! `nexus components`: what a running host serves, since when, and what it could go back to.

use anyhow::Result;
use host_admin::{AdminClient, ComponentView, RevisionDigest, Source};

use crate::args::ReachArgs;
use crate::up::Ready;

pub(crate) async fn list(args: ReachArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.data_dir)?;
    let components = AdminClient::new(&ready.admin_url, &ready.admin_token)?
        .components()
        .await?;
    if !json {
        crate::print_line(&format!(
            "{:<18} {:<12}  {:<8}  {:<24}  {:<24}  ROUTES",
            "COMPONENT", "REVISION", "FROM", "SINCE", "BACK TO"
        ));
    }
    for component in &components {
        crate::print_line(&if json {
            serde_json::to_string(component)?
        } else {
            line(component)
        });
    }
    Ok(())
}

fn line(component: &ComponentView) -> String {
    let short = |digest: &RevisionDigest| digest.0.to_string()[..12].to_owned();
    let source = match component.source {
        Source::File => "file",
        Source::Operator => "operator",
    };
    let back_to: Vec<_> = component.back_to.iter().map(short).collect();
    let back_to = match back_to.len() {
        0 => "-".to_owned(),
        _ => back_to.join(" "),
    };
    format!(
        "{:<18} {:<12}  {source:<8}  {:<24}  {back_to:<24}  {}",
        component.id.as_str(),
        short(&component.revision),
        component.since.to_string(),
        component.routes.join(" "),
    )
}
