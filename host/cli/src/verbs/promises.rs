//! `nexus promises complete`: a value that would have come from outside.

use anyhow::{Context, Result, bail};
use host_admin::{AdminClient, Answer, CompletingPromise, PromiseOutcome, PromiseView};
use host_types::ComponentId;

use super::steer::named;
use crate::args::{CompletePromiseArgs, PromisesArgs, PromisesVerb};
use crate::up::Ready;

pub(crate) async fn promises(args: PromisesArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    match args.verb {
        PromisesVerb::Complete(args) => complete(client, args, json).await,
    }
}

async fn complete(client: AdminClient, args: CompletePromiseArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    let value = match (args.value, args.base64) {
        (_, Some(bytes)) => Answer::Base64(bytes),
        (Some(text), None) => Answer::Json(serde_json::from_str(&text).context("--value is not JSON")?),
        (None, None) => bail!("give --value or --base64"),
    };
    let completing = CompletingPromise {
        value,
        reason: args.reason,
        component: args.component.map(ComponentId::from),
        function: args.function,
        workflow: args.workflow,
        name: args.name,
    };
    let id = args.id.map(|id| id.parse()).transpose()?;
    let view = client.complete_promise(id, &completing).await?;
    crate::print_line(&if json {
        serde_json::to_string(&view)?
    } else {
        line(&view)
    });
    Ok(())
}

fn line(view: &PromiseView) -> String {
    let PromiseView {
        id,
        invocation,
        outcome,
    } = view;
    let outcome = match outcome {
        PromiseOutcome::Completed => "completed",
        PromiseOutcome::AlreadyCompleted => "had a value before, and keeps it",
    };
    format!("{id}  {outcome}  of {invocation}")
}
