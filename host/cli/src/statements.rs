//! The SQL statements that components tell of, prepared against the schema that their migrations make: on a PostgreSQL that is there for
//! nothing else.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result};
use host_engine::Statement;
use host_manifest::Component;
use host_postgres::{Programs, Settings, TemporaryServer};
use host_runtime::{FailingStatement, Revision, failing_statements};
use host_sql::Pools;
use host_types::{Clock, ComponentId, Rng, SystemClock, SystemRng};
use serde_json::json;

use crate::application::Application;
use crate::host::{Opening, module_connection, open_store};
use crate::keys::InstallationKey;
use crate::patience::LEASE;
use crate::target::target;

/// What came of preparing.
pub(crate) struct Prepared {
    /// How many statements there are.
    pub(crate) statements: usize,
    /// Those that would always fail.
    pub(crate) problems: Vec<Problem>,
}

/// A statement that would always fail.
#[derive(Debug)]
pub(crate) struct Problem {
    component: ComponentId,
    failing: FailingStatement,
}

/// The statements of one module.
struct Told<'a> {
    component: &'a Component,
    schema: &'a str,
    statements: Vec<Statement>,
}

/// Prepares all statements of these components, each as the module whose it is. Without any, nothing is started.
pub(crate) async fn prepare(application: &Application, revisions: &[Revision]) -> Result<Prepared> {
    let told = told(application, revisions)?;
    let statements = told.iter().map(|told| told.statements.len()).sum();
    let problems = match statements {
        0 => Vec::new(),
        _ => try_all(application, told).await?,
    };
    Ok(Prepared { statements, problems })
}

/// Only a component with a schema can send statements.
fn told<'a>(application: &'a Application, revisions: &[Revision]) -> Result<Vec<Told<'a>>> {
    let mut all = Vec::new();
    for (id, _, wasm) in revisions {
        let Some(component) = application.app.components.get(id) else {
            continue;
        };
        if let Some(schema) = &component.schema {
            all.push(Told {
                component,
                schema: schema.as_str(),
                statements: host_engine::statements(wasm).with_context(|| format!("component {id}"))?,
            });
        }
    }
    Ok(all)
}

async fn try_all(application: &Application, told: Vec<Told<'_>>) -> Result<Vec<Problem>> {
    let programs = Programs::find_or_install(&mut |line| tracing::info!("{line}")).await?;
    // Nothing in it outlives this call.
    let settings = Settings {
        shared_buffers_mib: 32,
        fsync: false,
        ..Settings::default()
    };
    let server = TemporaryServer::start(&programs, settings).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::new());
    let key = InstallationKey::load_or_make(&server.dir().join("master.key"), &*rng)?;
    let opening = Opening {
        data_dir: server.dir(),
        lease: LEASE,
        is_restored: false,
        force: false,
    };
    let url = server.url();
    let target = target(&url)?;
    let store = open_store(application, &url, opening, &key, &clock, &rng).await?;
    let open = store.restrict_public().await?;
    let pools = Pools::new(host_sql::Options::default());
    let mut problems = Vec::new();
    for Told {
        component,
        schema,
        statements,
    } in told
    {
        let login = store.provision_module(schema).await?;
        let module = pools.module(module_connection(&target, schema, &login, &open));
        let failing = failing_statements(&module, statements).await?;
        problems.extend(failing.into_iter().map(|failing| Problem {
            component: component.id.clone(),
            failing,
        }));
    }
    pools.close_idle();
    store.close().await;
    Ok(problems)
}

impl Problem {
    /// As `--json` shows it.
    pub(crate) fn json(&self) -> serde_json::Value {
        let Self {
            component,
            failing: FailingStatement { statement, why },
        } = self;
        json!({
            "component": component.to_string(),
            "file": statement.file,
            "line": statement.line,
            "statement": statement.text,
            "code": why.code,
            "message": why.message,
            "detail": why.detail,
            "hint": why.hint,
            "position": why.position,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.component, self.failing)
    }
}
