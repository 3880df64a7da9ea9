//! `nexus check`: manifest, components, grants, imports, and the modules' SQL against the schema that the migrations make. No host is started.

use anyhow::{Result, bail};

use crate::application::Application;
use crate::args::ManifestArgs;
use crate::statements::{Prepared, Problem, prepare};

/// Succeeds when there is no problem.
pub(crate) async fn check(args: ManifestArgs, json: bool) -> Result<()> {
    let application = Application::load(&args.manifest)?;
    let revisions = application.check(&args.data_dir).await?.revisions;
    let Prepared { statements, problems } = prepare(&application, &revisions).await?;
    let (components, routes) = (revisions.len(), application.app.routes.len());
    if json {
        let problems: Vec<_> = problems.iter().map(Problem::json).collect();
        let told = serde_json::json!({
            "components": components, "routes": routes, "statements": statements, "problems": problems,
        });
        crate::print_line(&told.to_string());
    } else {
        problems
            .iter()
            .for_each(|problem| crate::print_line(&problem.to_string()));
    }
    match problems.len() {
        0 if json => Ok(()),
        0 => {
            crate::print_line(&format!(
                "{}: {components} components, {routes} routes, {statements} statements, every import answered, every grant there",
                args.manifest.display(),
            ));
            Ok(())
        }
        wrong => bail!(
            "{wrong} of {statements} statements cannot be prepared: correct them, or the migrations of their component"
        ),
    }
}
