//! What stands beside the market, which itself publishes nothing, is not called by the clock and lets nobody in one at a time: a module that
//! tells and one that is told, desks that serve one visitor at a time, and a line of the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Client, Edited, workspace};
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::world::{Dice, IMPATIENCE, LOOK, World};

/// Of this crate.
const MANIFEST: &str = include_str!("../../chaos/beside.toml");
/// The schemas of its modules, relative to the workspace.
const SCHEMAS: [&str; 4] = [
    "components/tests/events/migrations/teller",
    "components/tests/events/migrations/listener",
    "components/tests/flow/migrations/flow",
    "components/tests/flow/migrations/other",
];
/// Keys of events, and desks: few, so that one waits for the other.
const KEYS: [&str; 3] = ["a", "b", "c"];
/// Between two things that somebody does here, at most: there is a market beside it.
const PAUSE_MS: u64 = 250;
/// How long a visit takes, at most.
const VISIT_MS: u64 = 60;
/// Between two moves of the clock, at most.
const MOVE_MS: u64 = 3_000;
/// Without a host or a database that fails, somebody hears something sooner.
const STUCK: Duration = Duration::from_secs(30);

/// The marketplace with these modules beside it.
pub(crate) fn marketplace() -> Result<Edited> {
    let edited = Edited::marketplace(|manifest| manifest.to_owned() + MANIFEST)?;
    let migrations = edited.migrations()?;
    for schema in SCHEMAS {
        let folder = std::path::absolute(workspace().join(schema))?;
        let name = folder.file_name().context("a schema has a name")?;
        std::os::unix::fs::symlink(&folder, migrations.join(name))?;
    }
    Ok(edited)
}

/// Who does something here asks one host or the other, as nobody in particular.
#[derive(Clone)]
pub(crate) struct Anybody {
    world: Arc<World>,
    client: Client,
}

/// What was asked for beside the market and answered, to be held against what the modules there have done.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Of each key, how many events were published.
    published: BTreeMap<&'static str, u64>,
    /// Who was served, or is going to be: the desk of each ticket.
    visits: BTreeMap<String, &'static str>,
    /// How often the last tick was moved into the past.
    moves: u64,
}

impl Anybody {
    pub(crate) fn new(world: &Arc<World>, client: Client) -> Self {
        let world = Arc::clone(world);
        Self { world, client }
    }

    /// Publishes one event after the other, each once however often it is asked for.
    pub(crate) async fn tells(self, number: u64, mut dice: Dice) -> Result<()> {
        for round in 0_u64.. {
            if self.world.is_closing() {
                break;
            }
            tokio::time::sleep(dice.pause(PAUSE_MS)).await;
            let key = KEYS[dice.below(KEYS.len() as u64) as usize];
            let topic = if dice.one_in(2) { "news.good" } else { "news.bad" };
            let (name, body) = (format!("tell-{number}-{round}"), json!({ "topic": topic, "key": key }));
            let asked = (Method::POST, "/teller/tell");
            let answer = self
                .world
                .ask(&mut dice, &self.client, &name, asked, Some(body))
                .await?;
            ensure!(answer.status == 200, "{name}: {} {}", answer.status, answer.json);
            self.world.plays("event published");
            self.world
                .tells(|told| *told.beside.published.entry(key).or_default() += 1);
        }
        Ok(())
    }

    /// Visits one desk after the other: waits until he is served, or has himself served later.
    pub(crate) async fn visits(self, number: u64, mut dice: Dice) -> Result<()> {
        for round in 0_u64.. {
            if self.world.is_closing() {
                break;
            }
            tokio::time::sleep(dice.pause(PAUSE_MS)).await;
            let desk = KEYS[dice.below(KEYS.len() as u64) as usize];
            let component = if dice.one_in(2) { "flow" } else { "other" };
            let (verb, played) = match dice.below(3) {
                0 => ("serve-later", "visitor announced"),
                _ => ("serve", "visitor served"),
            };
            let ticket = format!("{number}-{round}");
            let what = dice.below(VISIT_MS).to_string();
            let body = json!({ "desk": desk, "ticket": ticket, "what": what });
            let (path, name) = (format!("/{component}/{verb}"), format!("visit-{ticket}"));
            let asked = (Method::POST, path.as_str());
            let answer = self
                .world
                .ask(&mut dice, &self.client, &name, asked, Some(body))
                .await?;
            let told = answer.json["data"]["told"].as_str();
            let told = told.with_context(|| format!("{name}: {} {}", answer.status, answer.json))?;
            ensure!(verb == "serve-later" || told == "served", "{name}: {told}");
            self.world.plays(played);
            self.world.tells(|told| told.beside.visits.insert(ticket, desk));
        }
        Ok(())
    }
}

/// Has years pass for the line of the clock, again and again.
pub(crate) async fn have_years_pass(world: Arc<World>, mut dice: Dice) -> Result<()> {
    while !world.is_closing() {
        // Without the database no time passes.
        if let Ok(Ok(_)) = tokio::time::timeout(IMPATIENCE, years_pass(&world)).await {
            world.plays("a year of the clock");
        }
        tokio::time::sleep(dice.pause(MOVE_MS)).await;
    }
    Ok(())
}

async fn years_pass(world: &World) -> Result<()> {
    let audit = Audit::open(&world.database_url).await?;
    // Before it is done: whether it was may never be known. By some hours more, never the same: no tick meets another one.
    world.tells(|told| told.beside.moves += 1);
    audit
        .change("UPDATE host.cron_tick SET tick = tick - make_interval(days => 400, secs => random() * 86400)")
        .await?;
    Ok(())
}

/// Returns when the clock has caught up, with the tick of this year, and all who subscribe with what was published.
pub(crate) async fn have_caught_up(audit: &Audit) -> Result<()> {
    let met = "SELECT count(*) FROM host.cron_tick WHERE component = 'flow' AND tick > now() - interval '366 days'";
    audit.becomes(met, 1).await?;
    const LEFT: &str = "SELECT count(*) FROM host.delivery WHERE state <> 'dead'";
    let mut left = audit.count(LEFT).await?;
    // As long as it goes on: nobody published more slowly because somebody heard slowly.
    let mut last = Instant::now();
    while left > 0 {
        ensure!(last.elapsed() < STUCK, "{left} events are not delivered");
        tokio::time::sleep(LOOK).await;
        let now_left = audit.count(LEFT).await?;
        if now_left < left {
            (left, last) = (now_left, Instant::now());
        }
    }
    Ok(())
}

impl Asked {
    /// Checks all of it. Nothing is under way any more.
    pub(crate) async fn is_true(&self, audit: &Audit) -> Result<()> {
        self.of_events(audit).await?;
        self.of_visits(audit).await?;
        self.of_the_clock(audit).await
    }

    /// Whoever subscribes was told each event once, and who waits for dead letters those of a key in the order in which they were committed.
    async fn of_events(&self, audit: &Audit) -> Result<()> {
        audit.becomes("SELECT count(*) FROM host.delivery", 0).await?;
        for (key, published) in &self.published {
            let told = format!("SELECT count FROM teller.told WHERE key = '{key}'");
            let told = audit.count(&told).await?;
            ensure!(
                told == i64::try_from(*published)?,
                "{key}: {told} events for {published} requests"
            );
            let heard = |subscription: &str| {
                format!(
                    "SELECT content::json->>'count' FROM listener.heard WHERE subscription = '{subscription}' AND key = '{key}'
                     ORDER BY number"
                )
            };
            let strict = audit.texts(&heard("strict")).await?;
            let all: Vec<String> = (1..=*published).map(|count| count.to_string()).collect();
            ensure!(
                strict == all,
                "{key}: of {published} events these were heard: {strict:?}"
            );
            let good = format!(
                "SELECT content::json->>'count' FROM listener.heard WHERE subscription = 'strict' AND key = '{key}' AND topic = 'news.good'"
            );
            let (mut good, mut loose) = (audit.texts(&good).await?, audit.texts(&heard("loose")).await?);
            // In any order: it goes on without what an operator has paused.
            good.sort();
            loose.sort();
            ensure!(
                loose == good,
                "{key}: {loose:?} were heard, and these are good: {good:?}"
            );
        }
        ensure!(!self.published.is_empty(), "nobody told anything");
        Ok(())
    }

    /// At each desk whoever comes leaves before the next one comes; and everybody was there once.
    async fn of_visits(&self, audit: &Audit) -> Result<()> {
        let mut served = BTreeSet::new();
        for desk in KEYS {
            for ticket in audit.served_one_at_a_time(desk).await? {
                ensure!(
                    self.visits.get(&ticket) == Some(&desk),
                    "{ticket} did not want to be at {desk}"
                );
                ensure!(!served.contains(&ticket), "{ticket} was served twice");
                served.insert(ticket);
            }
        }
        let missing: Vec<_> = self.visits.keys().filter(|ticket| !served.contains(*ticket)).collect();
        ensure!(missing.is_empty(), "these were never served: {missing:?}");
        ensure!(!served.is_empty(), "nobody came");
        Ok(())
    }

    /// A tick is one run, over all nodes, and a run is carried out once.
    async fn of_the_clock(&self, audit: &Audit) -> Result<()> {
        let ticks = audit
            .count("SELECT count(*) FROM host.cron_tick WHERE component = 'flow' AND invocation_id IS NOT NULL")
            .await?;
        let runs = audit
            .count("SELECT count(*) FROM host.invocation WHERE component = 'flow' AND function = 'nexus:durable/scheduled.run'")
            .await?;
        let notes = audit
            .count("SELECT count(*) FROM flow.note WHERE ticket = 'yearly' AND what = 'ran quick'")
            .await?;
        ensure!(
            ticks == runs && runs == notes && ticks > 0 && ticks <= i64::try_from(self.moves)?,
            "the clock was moved {} times: {ticks} ticks were met, {runs} runs begun, {notes} carried out",
            self.moves
        );
        Ok(())
    }
}
