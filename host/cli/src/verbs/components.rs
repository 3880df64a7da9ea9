//! `nexus components`: what a running host serves.

use anyhow::Result;
use host_admin::AdminClient;

use crate::args::ReachArgs;
use crate::up::Ready;

pub(crate) async fn list(args: ReachArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.data_dir)?;
    let components = AdminClient::new(&ready.admin_url, &ready.admin_token)?
        .components()
        .await?;
    for component in &components {
        crate::print_line(&if json {
            serde_json::to_string(component)?
        } else {
            let digest: String = String::from(component.revision).chars().take(12).collect();
            format!(
                "{:<18} {digest}  {:<28} {}",
                component.id.as_str(),
                component.routes.join(" "),
                component.description
            )
        });
    }
    Ok(())
}
