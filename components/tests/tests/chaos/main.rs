//! Two hosts and their database under load, while hosts are killed and frozen and the database is stopped and crashed at random: buyers who
//! pay at the door, from wallets and at a gateway, a seller, drivers, and an operator who walks by. Beside the market there are events, desks that
//! serve one at a time, and a line of the clock.

mod beside;
mod buyers;
mod drivers;
mod operator;
mod seller;
mod told;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Audit, Charge, Gateway, Manner, Nexus, NexusOptions, Person, Shop};
use host_postgres::test_support::{TestDatabase, TestServer};
use host_postgres::{Programs, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::beside::Anybody;
use crate::world::{Dice, Door, LOOK, World};

/// How long there are faults. `NEXUS_TEST_CHAOS_SECONDS` changes it; `cargo xtask chaos` runs ten minutes.
const SECONDS: u64 = 30;
/// Buyers at once.
const BUYERS: usize = 8;
/// Who confirm and reject for the seller.
const CLERKS: u64 = 2;
/// Who tell something, and who visit a desk, at once.
const TELLERS: u64 = 2;
const VISITORS: u64 = 4;
/// What a buyer's wallet holds at first: about two units.
const WALLET: i64 = 250_000;
/// Between two lines for those who watch.
const PROGRESS: Duration = Duration::from_secs(20);
/// How long checkouts, attempts to pay, and sellers' money wait: shorter than a test, longer than most faults.
const VARIABLES: [(&str, &str); 4] = [
    ("SPIN_VARIABLE_SESSION_SECONDS", "20"),
    ("SPIN_VARIABLE_SELLER_CONFIRM_SECONDS", "20"),
    ("SPIN_VARIABLE_ATTEMPT_SECONDS", "8"),
    ("SPIN_VARIABLE_ESCROW_SECONDS", "3"),
];
/// A payer who takes his time: some come when their checkout is over.
const LATE_MS: u64 = 25_000;

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Kill,
    Freeze,
    StopDatabase,
    CrashDatabase,
}

impl Blow {
    const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::StopDatabase, Self::CrashDatabase];

    fn some(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..=4 => Self::Kill,
            5..=7 => Self::Freeze,
            8 => Self::StopDatabase,
            _ => Self::CrashDatabase,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_hosts_and_database_fail_at_random() -> Result<()> {
    let seconds = number_from("NEXUS_TEST_CHAOS_SECONDS").unwrap_or(SECONDS);
    let seed = number_from("NEXUS_TEST_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    survives(Duration::from_secs(seconds), seed)
        .await
        .with_context(|| format!("repeat it with NEXUS_TEST_CHAOS_SEED={seed}"))
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

async fn survives(time: Duration, seed: u64) -> Result<()> {
    // Of its own: it is crashed, and nobody else should notice.
    let mut server = TestServer::start(&Programs::find().await?, Settings::test()).await?;
    let database = TestDatabase::create(&server.url(), "chaos").await?;
    let database_url = database.url().to_owned();
    let gateway = Gateway::start().await?;
    let mut dice = Dice(seed ^ 96);
    gateway.behaves_by(move || manner(&mut dice));
    let options = gateway.options(&VARIABLES);
    let first = Nexus::start_application_on(beside::marketplace()?, database, options.clone()).await?;
    let second = first.second_node(options.clone()).await?;
    let shop = Shop::open(&first.client(), 1_000_000).await?;
    let people = people(&first, &database_url).await?;
    let anybody = first.client();
    let mut nodes = [first, second];
    let (doors, seen) = watch::channel(doors_of(&nodes));
    let world = Arc::new(World::new(shop, people, gateway, seen, &database_url));
    let mut clients: Vec<JoinHandle<Result<()>>> = (0..BUYERS)
        .map(|buyer| tokio::spawn(buyers::buy(Arc::clone(&world), buyer, Dice(seed ^ (buyer as u64 + 1)))))
        .collect();
    clients.extend(
        (0..CLERKS).map(|clerk| tokio::spawn(seller::sell(Arc::clone(&world), clerk, Dice(seed ^ (clerk + 90))))),
    );
    clients.push(tokio::spawn(buyers::change_minds(Arc::clone(&world), Dice(seed ^ 99))));
    clients.push(tokio::spawn(drivers::drive(Arc::clone(&world), Dice(seed ^ 98))));
    let anybody = Anybody::new(&world, anybody);
    clients.extend((0..TELLERS).map(|teller| tokio::spawn(anybody.clone().tells(teller, Dice(seed ^ (teller + 100))))));
    clients.extend(
        (0..VISITORS).map(|visitor| tokio::spawn(anybody.clone().visits(visitor, Dice(seed ^ (visitor + 110))))),
    );
    clients.push(tokio::spawn(beside::have_years_pass(
        Arc::clone(&world),
        Dice(seed ^ 94),
    )));
    let is_alone = Arc::new(AtomicBool::new(false));
    let operator = operator::walk_by(Arc::clone(&world), Arc::clone(&is_alone), Dice(seed ^ 97));
    let mut operator = tokio::spawn(operator);

    let mut dice = Dice(seed);
    let mut blows: BTreeMap<Blow, u32> = BTreeMap::new();
    // Each of them once, whatever else the dice say and however little time there is.
    let mut first = dice.shuffled(Blow::ALL);
    let begun = Instant::now();
    let mut told = begun;
    while (begun.elapsed() < time || !first.is_empty()) && clients.iter().all(|client| !client.is_finished()) {
        world.gateway.reports_to(&world.door(&mut dice).url);
        // The load goes on undisturbed for a while: that is the time of the system, not of an event.
        tokio::time::sleep(dice.pause(1_500)).await;
        let blow = first.pop().unwrap_or_else(|| Blow::some(&mut dice));
        strike(blow, &mut nodes, &mut server, &options, &mut dice).await?;
        *blows.entry(blow).or_default() += 1;
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            let placed = world.tells(|told| told.placed.len());
            let (passed, all) = (begun.elapsed().as_secs(), time.as_secs());
            eprintln!("{passed} of {all} s, {blows:?}, {placed} checkouts placed");
        }
        revive(&mut nodes, &options).await?;
        doors.send_replace(doors_of(&nodes));
    }
    world.closing.store(true, Ordering::SeqCst);
    // Where it reported last may be gone.
    world.gateway.reports_to(nodes[0].url());
    // Whoever still waits asks until it is answered; a host that gives up its lease now is started again meanwhile.
    let audit = Audit::open(&database_url).await?;
    let ending = async {
        for client in &mut clients {
            client.await??;
        }
        is_alone.store(true, Ordering::SeqCst);
        (&mut operator).await??;
        finish(&world, &audit, &mut Dice(seed ^ 95)).await
    };
    tokio::pin!(ending);
    loop {
        tokio::select! {
            ended = &mut ending => break ended?,
            () = tokio::time::sleep(LOOK) => {
                revive(&mut nodes, &options).await?;
                doors.send_if_modified(|known| {
                    let now = doors_of(&nodes);
                    let moved = known.iter().zip(&now).any(|(known, now)| known.url != now.url);
                    if moved {
                        world.gateway.reports_to(&now[0].url);
                        *known = now;
                    }
                    moved
                });
            }
        }
    }

    books_hold(&world, &audit).await?;
    told::same_answers(&world, &nodes).await?;
    told::own_lists(&world, &audit, &nodes).await?;
    told::same_histories(&audit, &nodes[0]).await?;
    tell(&blows, &world);
    ensure!(
        Blow::ALL.iter().all(|blow| blows.contains_key(blow)),
        "not all happened: {blows:?}"
    );
    Ok(())
}

/// What becomes of a charge.
fn manner(dice: &mut Dice) -> Manner {
    match dice.below(16) {
        0..=4 => Manner::Pays,
        5 | 6 => Manner::PaysTwice,
        7..=9 => Manner::PaysLate(dice.pause(LATE_MS)),
        10 | 11 => Manner::IsSilent,
        12 => Manner::Fails,
        13 => Manner::Declines,
        14 => Manner::IsBusy,
        _ => Manner::Waits,
    }
}

/// Who buys, each with something in the wallet.
async fn people(nexus: &Nexus, database_url: &str) -> Result<Vec<Person>> {
    let audit = Audit::open(database_url).await?;
    let mut people = Vec::new();
    for number in 0..BUYERS {
        let person = Person::register(&nexus.client(), &format!("buyer_{number}")).await?;
        audit.fill_wallet(&person.id, WALLET, "at-first").await?;
        people.push(person);
    }
    Ok(people)
}

/// Everything comes to its end: who pays late has paid, nothing is paused, fees that nobody pays are given up, and deadlines pass.
async fn finish(world: &World, audit: &Audit, dice: &mut Dice) -> Result<()> {
    world.gateway.has_reported().await?;
    operator::leave(world, audit, dice).await?;
    beside::have_caught_up(audit).await?;
    let unpaid =
        "SELECT id::text FROM \"order\".payment_session WHERE kind = 'seller-confirmation-fee' AND status = 'Pending'";
    for session in audit.texts(unpaid).await? {
        seller::give_up(world, &session, dice).await?;
    }
    let open = "SELECT count(*) FROM \"order\".payment_session WHERE status IN ('Pending', 'Processing')";
    for _ in 0..600 {
        // A fee that was paid late makes an order late.
        drivers::bring_the_rest(world, audit, dice).await?;
        if audit.count(open).await? == 0 {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    audit.becomes(open, 0).await?;
    for charge in world.gateway.charges() {
        if charge.status == "pending" && dice.one_in(3) {
            world.plays("paid when all was over");
            world.gateway.is_paid(&charge.leg).await?;
        }
    }
    reconcile(world, audit).await
}

/// A flow that an operator ended asked its gateway nothing. What came meanwhile and was never reported is on the gateway's statement.
async fn reconcile(world: &World, audit: &Audit) -> Result<()> {
    let is_silent = |charge: &Charge| charge.manner == Manner::IsSilent && charge.status == "succeeded";
    for charge in world.gateway.charges().into_iter().filter(is_silent) {
        let session = format!(
            "SELECT session_id::text FROM \"order\".transaction WHERE id = '{}' AND status <> 'Success'",
            charge.leg
        );
        for session in audit.texts(&session).await? {
            if world.tells(|told| told.may_be_ended(&session)) {
                world.plays("found on the statement");
                world.gateway.is_paid(&charge.leg).await?;
            }
        }
    }
    Ok(())
}

async fn books_hold(world: &World, audit: &Audit) -> Result<()> {
    audit.settled().await?;
    audit.books_hold().await?;
    audit.money_holds(&world.gateway).await?;
    told::gateway_agrees(&world.gateway, audit).await?;
    let told = world.tells(std::mem::take);
    told.is_true(audit).await?;
    world.tells(|again| *again = told);
    let open = audit
        .texts(
            "SELECT concat_ws(' ', id, function, status, cause) FROM host.invocation
             WHERE ended_at IS NULL AND NOT (function = 'nexus:durable/scheduled.run' AND due_at > now())",
        )
        .await?;
    ensure!(open.is_empty(), "only what is to begin later is open: {open:#?}");
    let sold = audit
        .count("SELECT count(*) FROM \"order\".item WHERE order_id IS NOT NULL")
        .await?;
    ensure!(sold > 0, "nobody sold anything");
    Ok(())
}

/// What was played, for those who watch.
fn tell(blows: &BTreeMap<Blow, u32>, world: &World) {
    eprintln!("blows: {blows:?}");
    let mut manners: BTreeMap<String, u64> = BTreeMap::new();
    for Charge { manner, status, .. } in world.gateway.charges() {
        let name = format!("{manner:?}");
        let name = name.split('(').next().unwrap_or_default();
        *manners.entry(format!("charge {name}, {status}")).or_default() += 1;
    }
    for (what, count) in world.played().into_iter().chain(manners) {
        eprintln!("{count:>6}  {what}");
    }
}

fn doors_of(nodes: &[Nexus; 2]) -> [Door; 2] {
    nodes.each_ref().map(|node| Door {
        url: node.url().to_owned(),
        admin: node.admin(),
    })
}

/// One fault, and its end.
async fn strike(
    blow: Blow,
    nodes: &mut [Nexus; 2],
    server: &mut TestServer,
    options: &NexusOptions,
    dice: &mut Dice,
) -> Result<()> {
    let node = &mut nodes[dice.below(2) as usize];
    match blow {
        Blow::Kill => {
            node.kill()?;
            node.restart(options.clone()).await?;
        }
        // Sometimes shorter than the lease, sometimes longer: then the other one takes over.
        Blow::Freeze => {
            node.freeze()?;
            tokio::time::sleep(Duration::from_millis(100 + dice.below(8_000))).await;
            node.thaw()?;
        }
        Blow::StopDatabase => server.restart(false).await?,
        Blow::CrashDatabase => server.restart(true).await?,
    }
    Ok(())
}

/// Starts what has ended.
async fn revive(nodes: &mut [Nexus; 2], options: &NexusOptions) -> Result<()> {
    for node in nodes {
        if node.has_ended()? {
            node.restart(options.clone()).await?;
        }
    }
    Ok(())
}
