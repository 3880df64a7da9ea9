//! `nexus check`: manifest, components, grants and imports, without starting anything.

use std::sync::Arc;

use anyhow::Result;
use host_engine::{CompileCache, Engine, EngineOptions};
use host_types::SystemClock;

use crate::application::Application;
use crate::args::ManifestArgs;

pub(crate) async fn check(args: ManifestArgs, json: bool) -> Result<()> {
    let application = Application::load(&args.manifest)?;
    let engine = Engine::new(&EngineOptions::default())?;
    let cache = CompileCache::open(&engine, &args.data_dir.join("compiled"), Arc::new(SystemClock))?;
    let revisions = application.revisions()?;
    application.check_links(&cache, &revisions).await?;
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
