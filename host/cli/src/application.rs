//! The manifest and the components it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host_engine::{CompileCache, Engine, EngineOptions, MAX_MEMORY_BYTES};
use host_manifest::{App, Offered};
use host_runtime::{PLATFORM, Revision, STOCK_PLATFORM};
use host_types::{Digest, SystemClock};

use crate::args::read_secret;

// What a manifest may ask for, the engine has.
const _: () = assert!(host_manifest::Limits::MAX_MEMORY_BYTES == MAX_MEMORY_BYTES as u64);

/// A checked manifest, and the folder its paths are relative to.
pub(crate) struct Application {
    pub(crate) app: Arc<App>,
    pub(crate) root: PathBuf,
}

/// Components that may be served together, and what runs them.
pub(crate) struct Checked {
    pub(crate) engine: Engine,
    pub(crate) cache: CompileCache,
    pub(crate) revisions: Vec<Revision>,
}

impl Application {
    /// Reads and checks the manifest; variables come from `SPIN_VARIABLE_<NAME>`, or from the file `SPIN_VARIABLE_<NAME>_FILE` names.
    pub(crate) fn load(manifest: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(manifest).with_context(|| {
            format!(
                "{}: no manifest there; run in the application's folder, or name it with --manifest",
                manifest.display()
            )
        })?;
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("SPIN_VARIABLE_"))
            .collect::<BTreeMap<_, _>>();
        let read_file = |path: &str| read_secret(Path::new(path)).map_err(|error| format!("{path}: {error}"));
        let app = App::load_with_files(&manifest.display().to_string(), &text, &environment, &read_file)?;
        let root = match manifest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self {
            app: Arc::new(app),
            root,
        })
    }

    /// Where a component's bytes are. Sources below `target/` follow cargo when its target folder is elsewhere.
    pub(crate) fn source(&self, component: &host_manifest::Component) -> PathBuf {
        match (
            component.source.strip_prefix("target"),
            std::env::var_os("CARGO_TARGET_DIR"),
        ) {
            (Ok(below), Some(target)) => PathBuf::from(target).join(below),
            _ => self.root.join(&component.source),
        }
    }

    /// The bytes of every component.
    pub(crate) fn revisions(&self) -> Result<Vec<Revision>> {
        let mut revisions = Vec::new();
        for component in self.app.components.values() {
            let path = self.source(component);
            let wasm = std::fs::read(&path).with_context(|| {
                format!(
                    "{}: component {} is not built; run `nexus build`",
                    path.display(),
                    component.id
                )
            })?;
            revisions.push((component.id.clone(), Digest::of(&wasm), wasm));
        }
        Ok(revisions)
    }

    /// Compiles what is not compiled yet, and checks it. Nothing but the data directory's cache is touched.
    pub(crate) async fn check(&self, data_dir: &Path) -> Result<Checked> {
        let engine = Engine::new(&EngineOptions::default())?;
        let cache = CompileCache::open(&engine, &data_dir.join("compiled"), Arc::new(SystemClock))?;
        let revisions = self.revisions()?;
        self.check_links(&cache, &revisions).await?;
        Ok(Checked {
            engine,
            cache,
            revisions,
        })
    }

    /// Checks what only the components can tell: that each import is answered and each grant is there.
    async fn check_links(&self, cache: &CompileCache, revisions: &[Revision]) -> Result<()> {
        let mut interfaces = BTreeMap::new();
        for (id, digest, wasm) in revisions {
            let loaded = cache
                .load(wasm.clone().into(), *digest)
                .await
                .with_context(|| format!("component {id}"))?;
            interfaces.insert(id.clone(), host_runtime::interfaces(&loaded.engine, &loaded.component));
        }
        let offered = Offered {
            plain: PLATFORM,
            stock: STOCK_PLATFORM,
        };
        if let Err(errors) = self.app.check_links(&interfaces, offered) {
            bail!("{errors}");
        }
        Ok(())
    }
}
