//! `nexus events dead-letters|replay|drop`: what could not be delivered.

use anyhow::{Context, Result, bail};
use host_admin::{AdminClient, DeadLetterBulk, DeadLetterFilter, DeadLetterVerb, DeadLetterView, RetiredView};
use host_types::ComponentId;

use super::invocations::parse;
use super::steer::{check_said, named, tell, to_all};
use crate::args::{EventsArgs, EventsVerb, SettleArgs};
use crate::up::Ready;

pub(crate) async fn events(args: EventsArgs, json: bool) -> Result<()> {
    let ready = Ready::of(&args.reach.data_dir)?;
    let client = AdminClient::new(&ready.admin_url, &ready.admin_token)?;
    match args.verb {
        EventsVerb::DeadLetters {
            component,
            subscription,
            limit,
            cursor,
        } => {
            let filter = DeadLetterFilter {
                component: component.map(ComponentId::from),
                subscription,
                limit: Some(limit),
                cursor: cursor.map(|cursor| cursor.parse()).transpose().context("--cursor")?,
            };
            let page = client.dead_letters(&filter).await?;
            for letter in &page.dead_letters {
                crate::print_line(&if json {
                    serde_json::to_string(letter)?
                } else {
                    line(letter)
                });
            }
            for retired in &page.retired {
                crate::print_line(&if json {
                    serde_json::to_string(retired)?
                } else {
                    retired_line(retired)
                });
            }
            if let Some(cursor) = page.next_cursor.filter(|_| !json) {
                crate::print_line(&format!("more with --cursor {cursor}"));
            }
            Ok(())
        }
        EventsVerb::Replay(args) => settle(client, DeadLetterVerb::Replay, args, json).await,
        EventsVerb::Drop(args) => settle(client, DeadLetterVerb::Drop, args, json).await,
    }
}

async fn settle(client: AdminClient, verb: DeadLetterVerb, args: SettleArgs, json: bool) -> Result<()> {
    let client = named(client, args.by.as_deref())?;
    if let Some(id) = &args.id {
        let settled = client.settle(verb, parse(id)?, &args.reason).await?;
        let said = match json {
            true => serde_json::to_string(&settled)?,
            false => format!("{}  {}", settled.id, settled.outcome),
        };
        crate::print_line(&said);
        return Ok(());
    }
    if args.component.is_none() && args.subscription.is_none() {
        bail!("name an id, or choose with --component and --subscription");
    }
    // What cannot be taken back is counted first.
    let counts = verb == DeadLetterVerb::Drop && !args.yes;
    let bulk = DeadLetterBulk {
        component: args.component.map(ComponentId::from),
        subscription: args.subscription,
        dry_run: counts,
        reason: args.reason,
        ..DeadLetterBulk::default()
    };
    let view = to_all(args.limit, async |limit, cursor| {
        let page = DeadLetterBulk {
            limit: Some(limit),
            cursor,
            ..bulk.clone()
        };
        client.settle_all(verb, &page).await
    });
    let view = view.await?;
    if json {
        crate::print_line(&serde_json::to_string(&view)?);
    } else {
        tell(verb, &view, counts);
    }
    check_said(&view)?;
    if !view.retired_failed.is_empty() {
        bail!(
            "what waits for {} retired subscriptions was not dropped",
            view.retired_failed.len()
        );
    }
    Ok(())
}

fn line(letter: &DeadLetterView) -> String {
    let DeadLetterView {
        id,
        component,
        subscription,
        topic,
        key,
        dead_since,
        cause,
        blocks,
        behind,
        ..
    } = letter;
    let waiting = match (blocks, behind) {
        (_, 0) => String::new(),
        (true, behind) => format!("  {behind} wait behind it"),
        (false, behind) => format!("  {behind} go on without it"),
    };
    format!("{id}  {dead_since}  {component}/{subscription}  {topic} {key}  {cause}{waiting}")
}

fn retired_line(retired: &RetiredView) -> String {
    let RetiredView {
        component,
        subscription,
        retired_at,
        waiting,
    } = retired;
    format!(
        "{component}/{subscription} is in no manifest since {retired_at}  {waiting} wait for its return; \
         `nexus events drop --subscription {subscription} --component {component}` gives them up"
    )
}
