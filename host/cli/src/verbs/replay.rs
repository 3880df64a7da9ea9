//! `nexus replay`: a stored invocation, run once more from its journal on today's or other revisions, without any effect.

use anyhow::{Context, Result, bail};
use host_admin::{AdminClient, PositionView, ReplayOutcome, ReplayView, Replaying};
use host_types::ComponentId;

use super::invocations::parse;
use crate::args::ReplayArgs;
use crate::up::Ready;

/// Succeeds when nothing is different.
pub(crate) async fn replay(args: ReplayArgs, json: bool) -> Result<()> {
    let invocation = parse(&args.id)?;
    let wasm = match &args.with {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => Vec::new(),
    };
    if args.with.is_some() && wasm.is_empty() {
        bail!("--with: the file is empty; name a component in WebAssembly's binary format");
    }
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    let replaying = Replaying {
        pinned: args.pinned,
        component: args.component.map(ComponentId::from),
        wasm: wasm.into(),
    };
    let view = client.replay(invocation, replaying).await?;
    if json {
        crate::print_line(&serde_json::to_string(&view)?);
    } else {
        tell(&view);
    }
    match view.same {
        true => Ok(()),
        false => bail!("the replay is not the same"),
    }
}

fn tell(view: &ReplayView) {
    let on = match &view.replaced {
        Some(replaced) => {
            let revision = replaced.revision.0.to_string();
            format!(" with {} {}", replaced.component, &revision[..12])
        }
        None => String::new(),
    };
    crate::print_line(&format!(
        "{}  on deployment {}{on}: {} of its {} entries",
        view.invocation,
        view.deployment,
        match view.compared {
            1 => "1 command compared".to_owned(),
            compared => format!("{compared} commands compared"),
        },
        view.entries,
    ));
    lines(&view.outcome).iter().for_each(|line| crate::print_line(line));
}

fn lines(outcome: &ReplayOutcome) -> Vec<String> {
    let at = |position: &PositionView| format!("{}#{}", position.scope, position.n);
    match outcome {
        ReplayOutcome::Same => vec!["same: every command, and the output".to_owned()],
        ReplayOutcome::Returned => vec!["same: every command; it returns, and no output is recorded".to_owned()],
        ReplayOutcome::GoesOn {
            position,
            command,
            begun: false,
        } => vec![format!("same: goes on with {command} at {}", at(position))],
        ReplayOutcome::GoesOn { position, command, .. } => vec![format!(
            "same: up to {command} at {}, which has no answer yet",
            at(position)
        )],
        ReplayOutcome::Differs {
            position,
            recorded,
            asked,
        } => vec![
            format!("differs at {}", position.as_ref().map_or("the output".into(), at)),
            format!("  recorded  {recorded}"),
            format!("  now       {asked}"),
        ],
        ReplayOutcome::Fails { position, fault } => vec![format!(
            "fails{}: {fault}",
            position
                .as_ref()
                .map_or(String::new(), |position| format!(" after {}", at(position)))
        )],
        ReplayOutcome::OtherSecret { found } => {
            let text = "not comparable: a secret was changed after it was read; apart from that:";
            std::iter::once(text.to_owned()).chain(lines(found)).collect()
        }
    }
}
