//! Revisions of a component: swapped under load on two hosts, taken back, kept over restarts, refused, taken by what was sent before, and
//! invocations moved to them; and migrations that would take away what they use.

mod migrations;
mod moving;
mod refusals;
mod sent;
mod standing;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use component_tests::Client;
use serde_json::json;
use tokio::time::Instant;

use crate::world::{LOUD, PLAIN, World, activate, told, upload};

/// Clients at once.
const CLIENTS: usize = 8;
/// Back and forth.
const SWAPS: usize = 8;
/// From the word to the first answer of what was activated, on a busy machine and in a build that is not optimized. The aim is 50 ms.
const BOUND: Duration = Duration::from_secs(2);

/// What stands: an even number while a revision does, the odd one before it while its activation is under way.
#[derive(Default)]
struct Load {
    step: AtomicUsize,
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    /// Asks again and again. Whatever it is answered was active at some moment between question and answer.
    async fn ask(self: Arc<Self>, clients: [Client; 2], number: usize) -> Result<()> {
        let says = [PLAIN, LOUD];
        for round in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let ticket = format!("{number}-{round}");
            let client = clients[(number + round) % 2].keyed(&ticket);
            let before = self.step.load(Ordering::SeqCst);
            let answer = client.post("/waiter/complete-own", json!({ "ticket": ticket })).await?;
            let after = self.step.load(Ordering::SeqCst);
            ensure!(answer.status == 200, "{} {}", answer.status, answer.json);
            let mut standing = before / 2..=after.div_ceil(2);
            let said = told(&answer);
            ensure!(
                standing.any(|revision| says[revision % 2] == said),
                "{said:?} between the steps {before} and {after}"
            );
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_loses_nothing_and_what_begins_after_it_is_on_the_new_revision() -> Result<()> {
    let world = World::start().await?;
    let revisions = [
        upload(&world.one, world.plain()?, false).await?,
        upload(&world.one, world.loud()?, false).await?,
    ];
    ensure!(
        world.says(&world.one, "first").await? == PLAIN,
        "an upload activates nothing"
    );
    // In peace first: what a swap costs by itself.
    let mut in_peace = Vec::new();
    for swap in 1..=SWAPS {
        let begun = Instant::now();
        let activated = activate(&world.one, &revisions[swap % 2]).await?;
        ensure!(activated.status == 200, "{}", activated.json);
        let said = world.says(&world.one, &format!("peace-{swap}")).await?;
        in_peace.push(begun.elapsed());
        ensure!(said == [PLAIN, LOUD][swap % 2], "{said}");
    }
    in_peace.sort();

    let load = Arc::new(Load::default());
    let clients = [world.one.client(), world.two.client()];
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(Arc::clone(&load).ask(clients.clone(), number)))
        .collect();

    let mut first_answers = Vec::new();
    let mut all_nodes = Vec::new();
    for swap in 1..=SWAPS {
        // Either host does it for both.
        let nexus = [&world.one, &world.two][swap % 2];
        load.step.fetch_add(1, Ordering::SeqCst);
        let begun = Instant::now();
        let activating = activate(nexus, &revisions[swap % 2]);
        let answering = async {
            for round in 0.. {
                if world.says(nexus, &format!("swap-{swap}-{round}")).await? == [PLAIN, LOUD][swap % 2] {
                    break;
                }
            }
            anyhow::Ok(begun.elapsed())
        };
        let (activated, first) = tokio::try_join!(activating, answering)?;
        all_nodes.push(begun.elapsed());
        ensure!(activated.status == 200, "{}", activated.json);
        ensure!(activated.json["was_active"] == false, "{}", activated.json);
        load.step.fetch_add(1, Ordering::SeqCst);
        first_answers.push(first);
        // It stands for a while: both hosts answer by it, again and again.
        for round in 0..6 {
            let nexus = [&world.one, &world.two][round % 2];
            let said = world.says(nexus, &format!("stands-{swap}-{round}")).await?;
            ensure!(said == [PLAIN, LOUD][swap % 2], "{said}");
        }
    }
    load.stop.store(true, Ordering::SeqCst);
    for asking in asking {
        asking.await??;
    }
    first_answers.sort();
    all_nodes.sort();
    eprintln!("from activate over both nodes to the first answer, in peace: {in_peace:?}");
    eprintln!(
        "under load, from activate to the first answer: {first_answers:?}; to the word that both nodes follow: {all_nodes:?}"
    );
    ensure!(first_answers[SWAPS / 2] < BOUND, "{first_answers:?}");

    world.audit.settled().await?;
    let answered = load.answered.load(Ordering::SeqCst) as i64;
    ensure!(answered > 0, "nobody was answered");
    let tickets = "SELECT count(DISTINCT ticket) FROM waiter.note WHERE ticket ~ '^[0-9]+-[0-9]+$'";
    assert_eq!(world.audit.count(tickets).await?, answered, "each request, once");
    let notes = "SELECT count(*) FROM waiter.note WHERE ticket ~ '^[0-9]+-[0-9]+$'";
    assert_eq!(world.audit.count(notes).await?, answered, "and nothing twice");
    for nexus in [&world.one, &world.two] {
        ensure!(world.says(nexus, "last").await? == PLAIN);
    }
    Ok(())
}
