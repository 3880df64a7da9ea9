//! `nexus check`: manifest, components, grants and imports, without starting anything.

use anyhow::Result;

use crate::application::Application;
use crate::args::ManifestArgs;

pub(crate) async fn check(args: ManifestArgs, json: bool) -> Result<()> {
    let application = Application::load(&args.manifest)?;
    let revisions = application.check(&args.data_dir).await?.revisions;
    let routes = application.app.routes.len();
    crate::print_line(&if json {
        serde_json::json!({ "components": revisions.len(), "routes": routes, "problems": [] }).to_string()
    } else {
        format!(
            "{}: {} components, {routes} routes, every import answered, every grant there",
            args.manifest.display(),
            revisions.len()
        )
    });
    Ok(())
}
