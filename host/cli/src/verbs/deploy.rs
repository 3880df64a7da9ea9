//! `nexus deploy` and `nexus rollback`: which bytes of a component answer new invocations.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host_admin::{ActivatedView, AdminClient, ClientError, RevisionDigest, RollingBack, Uploading};
use host_types::ComponentId;

use super::steer::named;
use crate::args::{DeployArgs, RollbackArgs};
use crate::up::Ready;

/// Who waits longer is told for what.
const PATIENCE: Duration = Duration::from_secs(1);

/// Has a running host check a file, and activates it on all.
pub(crate) async fn deploy(args: DeployArgs, json: bool) -> Result<()> {
    let wasm = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    if wasm.is_empty() {
        bail!(
            "{}: the file is empty; name a component in WebAssembly's binary format",
            args.file.display()
        );
    }
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = named(
        AdminClient::new(&ready.admin_url, &ready.admin_token)?,
        args.by.as_deref(),
    )?;
    let uploading = Uploading {
        wasm: wasm.into(),
        activate: !args.no_activate,
        reason: args.reason,
    };
    let component = ComponentId::from(args.component);
    let doing = match args.no_activate {
        true => "the host compiles and checks it",
        false => "the hosts compile and check it; clients notice nothing",
    };
    let view = told(doing, client.upload(&component, uploading)).await?;
    if json {
        crate::print_line(&serde_json::to_string(&view)?);
        return Ok(());
    }
    match &view.activated {
        Some(activated) => tell(activated),
        None => {
            let revision = view.revision.0;
            crate::print_line(&format!("{component} {revision} is kept, and not active"));
        }
    }
    Ok(())
}

/// Activates on all hosts what was active before.
pub(crate) async fn rollback(args: RollbackArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = named(
        AdminClient::new(&ready.admin_url, &ready.admin_token)?,
        args.by.as_deref(),
    )?;
    let component = ComponentId::from(args.component);
    let rolling_back = RollingBack { reason: args.reason };
    let view = told("the hosts follow", client.rollback(&component, &rolling_back)).await?;
    match json {
        true => crate::print_line(&serde_json::to_string(&view)?),
        false => tell(&view),
    }
    Ok(())
}

fn tell(activated: &ActivatedView) {
    let ActivatedView {
        component,
        revision: RevisionDigest(revision),
        deployment,
        was_active,
    } = activated;
    let state = if *was_active { "was active already" } else { "is active" };
    crate::print_line(&format!("{component} {revision} {state}, in deployment {deployment}"));
}

/// An answer, and on standard error what it is that takes long.
async fn told<T>(doing: &str, answer: impl Future<Output = Result<T, ClientError>>) -> Result<T> {
    let mut answer = std::pin::pin!(answer);
    match tokio::time::timeout(PATIENCE, &mut answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "{doing} ...");
            Ok(answer.await?)
        }
    }
}
