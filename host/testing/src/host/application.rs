//! An application as a test needs it: its manifest, its built components, compiled once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use host_engine::{CompileCache, Engine, EngineOptions};
use host_manifest::App;
use host_runtime::Revision;
use host_types::{Digest, SystemClock};

/// Where `cargo xtask test` has built the components.
const COMPONENTS_DIR: &str = "NEXUS_COMPONENTS_DIR";
/// Instances alive at once, of all hosts of a test.
const INSTANCES: u32 = 100;

/// An application. Cheap to clone: hosts share what is compiled.
#[derive(Clone)]
pub struct TestApp {
    inner: Arc<Inner>,
}

struct Inner {
    app: Arc<App>,
    root: PathBuf,
    engine: Engine,
    compiled: PathBuf,
    revisions: Vec<Revision>,
}

impl TestApp {
    /// Reads a manifest and the components it names, which must be built (`nexus build`, or `cargo xtask test`). Migrations lie in
    /// `migrations/<schema>` beside the manifest.
    ///
    /// Two things it says do not hold: what fails is tried again at once, and what waits gives its instance up at once, so that nothing
    /// but the test decides about time.
    pub fn load(manifest: &Path) -> Result<Self> {
        Self::load_with(manifest, &[])
    }

    /// The same with these variables of the application.
    pub fn load_with(manifest: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let text = std::fs::read_to_string(manifest).with_context(|| format!("read {}", manifest.display()))?;
        let given = variables.iter();
        let given = given.map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), (*value).to_owned()));
        let environment: BTreeMap<String, String> = given.collect();
        let mut app = App::load(&manifest.display().to_string(), &text, &environment)?;
        let root = manifest.parent().unwrap_or(Path::new(".")).to_owned();
        let mut revisions = Vec::new();
        for component in app.components.values_mut() {
            component.limits.wait_hold_ms = 0;
            component.retry_for.clear();
            component.retry.initial_ms = 1;
            component.retry.max_ms = 1;
            let path = source(&root, &component.source);
            let wasm = std::fs::read(&path)
                .with_context(|| format!("{}: component {} is not built", path.display(), component.id))?;
            revisions.push((component.id.clone(), Digest::of(&wasm), wasm));
        }
        let options = EngineOptions {
            instances: INSTANCES,
            ..EngineOptions::default()
        };
        Ok(Self {
            inner: Arc::new(Inner {
                app: Arc::new(app),
                root,
                engine: Engine::new(&options)?,
                compiled: compiled(),
                revisions,
            }),
        })
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.inner.app
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn cache(&self) -> Result<CompileCache> {
        let cache = CompileCache::open(&self.inner.engine, &self.inner.compiled, Arc::new(SystemClock))?;
        Ok(cache)
    }

    pub(crate) fn revisions(&self) -> &[Revision] {
        &self.inner.revisions
    }

    /// Schemas with their folders of migrations.
    pub(crate) fn migrations(&self) -> Vec<(String, PathBuf)> {
        let components = self.inner.app.components.values();
        let schemas = components.filter_map(|component| component.schema.as_ref());
        let folders = schemas.map(|schema| {
            let folder = self.inner.root.join("migrations").join(schema.as_str());
            (schema.to_string(), folder)
        });
        folders.filter(|(_, folder)| folder.is_dir()).collect()
    }
}

/// Sources below `target/` are where the tests' components are built.
fn source(root: &Path, source: &Path) -> PathBuf {
    let built = source
        .starts_with("target")
        .then(|| std::env::var_os(COMPONENTS_DIR))
        .flatten();
    match (built, source.file_name()) {
        (Some(folder), Some(name)) => PathBuf::from(folder).join(name),
        _ => root.join(source),
    }
}

/// What is compiled outlives the test: beside the test's program.
fn compiled() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target
        .map_or_else(std::env::temp_dir, Path::to_owned)
        .join("compiled-by-test-hosts")
}
