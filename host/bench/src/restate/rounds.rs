//! Both sides on the same work, in rounds in which each has its turn.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;

use super::market::{Market, Side, Work};
use super::peer::Restate;
use super::report::{Compared, Counts, CpuS, Figures, Ratios};
use crate::database::{Committed, Database};
use crate::load::{Client, Load, Sample, Until, run};
use crate::machine::{busy_us, cpu_of_family_us, cpu_us, family, proportional_bytes};
use crate::statistics::median;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Both sides have their turn in each.
    pub(super) rounds: usize,
    pub(super) turn: Duration,
    /// What each side does before the first round.
    pub(super) warm_up: Duration,
    /// Whether commits and flushes are counted: that waits for PostgreSQL's statistics.
    pub(super) counts: bool,
}

impl Extent {
    pub(super) const FULL: Self = Self {
        rounds: 5,
        turn: Duration::from_secs(4),
        warm_up: Duration::from_secs(3),
        counts: true,
    };
    /// To see that everything works, and the order of magnitude.
    pub(super) const QUICK: Self = Self {
        rounds: 3,
        turn: Duration::from_secs(1),
        warm_up: Duration::from_secs(1),
        counts: false,
    };
}

/// One side.
pub(super) struct Contestant<'a> {
    pub(super) side: Side,
    pub(super) address: SocketAddr,
    /// `nexus`, or Restate's server.
    pub(super) server_pid: u32,
    /// What Restate's server calls; ours runs what it serves itself.
    pub(super) service_pid: Option<u32>,
    pub(super) postgres_pid: u32,
    pub(super) database: &'a Database,
    /// What has a log of its own beside PostgreSQL's.
    pub(super) log: Option<&'a Restate>,
    /// Checkouts answered so far, for the books.
    pub(super) checkouts: u64,
}

/// A side's turn in one round.
struct Turn {
    sample: Sample,
    cpu: CpuS,
    /// Processor time of the clients, seconds per thousand requests.
    clients_cpu: f64,
    memory_mib: f64,
    /// Processors that everything else kept busy meanwhile.
    other_load: f64,
}

/// Processor time so far, microseconds.
#[derive(Clone, Copy)]
struct Used {
    server: u64,
    service: u64,
    postgres: u64,
}

/// What was committed and flushed so far.
struct Flushed {
    postgres: Committed,
    log_syncs: u64,
}

/// A turn is over when the work that it left behind is done, which nobody announces: less than this share of a processor is used ...
const QUIET_SHARE: f64 = 0.1;
/// ... in this long, ...
const QUIET_WINDOW: Duration = Duration::from_millis(300);
/// ... or this often it was not.
const QUIET_WINDOWS: usize = 10;
/// A side that hangs is not measured.
const TURN_TIMEOUT: Duration = Duration::from_secs(120);

/// Both sides on this work with this many clients. Ours is the first.
pub(super) async fn compare(
    sides: &mut [Contestant<'_>; 2],
    work: Work,
    clients: usize,
    extent: Extent,
    progress: &dyn Fn(&str),
) -> Result<Compared> {
    let title = work.title();
    for side in sides.iter() {
        side.database.tidy().await?;
    }
    let before = match extent.counts {
        true => Some(flushed(sides).await?),
        false => None,
    };
    let mut requests = [0_u64; 2];
    progress(&format!("{title}, {clients} client(s): warming up"));
    for (side, requests) in sides.iter_mut().zip(&mut requests) {
        *requests += turn(side, work, clients, extent.warm_up, 0).await?.sample.requests;
    }
    let mut turns: [Vec<Turn>; 2] = [Vec::new(), Vec::new()];
    for round in 0..extent.rounds {
        progress(&format!(
            "{title}, {clients} client(s): round {} of {}",
            round + 1,
            extent.rounds
        ));
        for place in 0..sides.len() {
            // Nobody always goes first.
            let index = (place + round) % sides.len();
            let turn = turn(&mut sides[index], work, clients, extent.turn, round as u64 + 1).await?;
            requests[index] += turn.sample.requests;
            turns[index].push(turn);
        }
    }
    let counts = match before {
        Some(before) => Some(counts(&before, &flushed(sides).await?, requests)),
        None => None,
    };
    let other_load = median(turns.iter().flatten().map(|turn| turn.other_load));
    let [ours, theirs] = &turns;
    let [our_counts, their_counts] = counts.map_or([None, None], |counts| counts.map(Some));
    let compared = || {
        Some(Compared {
            work,
            title,
            clients,
            other_load: other_load?,
            ratios: ratios(ours, theirs)?,
            nexus: figures(ours, our_counts)?,
            restate: figures(theirs, their_counts)?,
        })
    };
    compared().context("a round was measured")
}

async fn turn(side: &mut Contestant<'_>, work: Work, clients: usize, length: Duration, seed: u64) -> Result<Turn> {
    let name = side.side;
    let load = Load {
        work: Market { work, side: name },
        clients,
        until: Until::Passed(length),
        seed,
    };
    let uses_postgres = side.uses_postgres(work);
    let before = side.used(uses_postgres)?;
    let (our_us, all_us) = (cpu_us(std::process::id())?, busy_us()?);
    let sample = tokio::time::timeout(TURN_TIMEOUT, run(side.address, load))
        .await
        .with_context(|| format!("{name:?} did not answer within {TURN_TIMEOUT:?}"))
        .and_then(|sample| sample)
        .with_context(|| format!("{work:?} on {name:?} with {clients} client(s)"))?;
    let ended = side.used(uses_postgres)?;
    let clients_us = cpu_us(std::process::id())?.saturating_sub(our_us);
    let others_us = busy_us()?
        .saturating_sub(all_us)
        .saturating_sub(clients_us)
        .saturating_sub(ended.all().saturating_sub(before.all()));
    let memory_mib = side.memory_bytes(uses_postgres)? as f64 / f64::from(1 << 20);
    side.fall_quiet(uses_postgres).await?;
    let used = side.used(uses_postgres)?;
    if work == Work::Checkout {
        side.checkouts += sample.requests;
    }
    // Microseconds a request are milliseconds per thousand.
    let s_per_thousand = |after: u64, before: u64| after.saturating_sub(before) as f64 / sample.requests as f64 / 1e3;
    Ok(Turn {
        cpu: CpuS {
            server: s_per_thousand(used.server, before.server),
            service: s_per_thousand(used.service, before.service),
            postgres: s_per_thousand(used.postgres, before.postgres),
        },
        clients_cpu: s_per_thousand(clients_us, 0),
        memory_mib,
        other_load: others_us as f64 * sample.per_second / sample.requests as f64 / 1e6,
        sample,
    })
}

impl Used {
    fn all(self) -> u64 {
        self.server + self.service + self.postgres
    }
}

impl Contestant<'_> {
    /// Restate keeps nothing of its own there: a user without transactions would have none.
    fn uses_postgres(&self, work: Work) -> bool {
        self.side == Side::Nexus || work == Work::Checkout
    }

    fn used(&self, with_postgres: bool) -> Result<Used> {
        Ok(Used {
            server: cpu_us(self.server_pid)?,
            service: self.service_pid.map_or(Ok(0), cpu_us)?,
            postgres: match with_postgres {
                true => cpu_of_family_us(self.postgres_pid)?,
                false => 0,
            },
        })
    }

    fn memory_bytes(&self, with_postgres: bool) -> Result<u64> {
        let mut bytes = proportional_bytes(self.server_pid)?;
        if let Some(service) = self.service_pid {
            bytes += proportional_bytes(service)?;
        }
        if with_postgres {
            for pid in family(self.postgres_pid)? {
                // A session that ended meanwhile has no memory.
                bytes += proportional_bytes(pid).unwrap_or_default();
            }
        }
        Ok(bytes)
    }

    /// Waits until the side has done what the turn left behind: it belongs to the turn, and must not fall into the other's.
    async fn fall_quiet(&self, with_postgres: bool) -> Result<()> {
        let mut before = self.used(with_postgres)?.all();
        for _ in 0..QUIET_WINDOWS {
            tokio::time::sleep(QUIET_WINDOW).await;
            let now = self.used(with_postgres)?.all();
            if (now.saturating_sub(before) as f64) < QUIET_SHARE * QUIET_WINDOW.as_micros() as f64 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Every work on this side, once with a key and once more with the same.
    pub(super) async fn check_answers(&mut self, works: &[Work]) -> Result<()> {
        let mut client = Client::connect(self.address).await?;
        for &work in works {
            let side = self.side;
            Market { work, side }.check_answers(&mut client).await?;
            if work == Work::Checkout {
                self.checkouts += 1;
            }
        }
        Ok(())
    }
}

/// Complete only some seconds after the work; both sides' at once.
async fn flushed(sides: &[Contestant<'_>; 2]) -> Result<Vec<Flushed>> {
    try_join_all(sides.iter().map(|side| async move {
        Ok(Flushed {
            postgres: side.database.committed().await?,
            log_syncs: match side.log {
                Some(restate) => restate.wal_syncs().await?,
                None => 0,
            },
        })
    }))
    .await
}

fn counts(before: &[Flushed], after: &[Flushed], requests: [u64; 2]) -> [Counts; 2] {
    [0, 1].map(|side| {
        let (before, after, requests) = (&before[side], &after[side], requests[side] as f64);
        Counts {
            commits_per_request: (after.postgres.commits - before.postgres.commits) as f64 / requests,
            postgres_flushes_per_request: (after.postgres.wal_syncs - before.postgres.wal_syncs) as f64 / requests,
            log_flushes_per_request: (after.log_syncs - before.log_syncs) as f64 / requests,
        }
    })
}

fn figures(turns: &[Turn], counts: Option<Counts>) -> Option<Figures> {
    let middle = |value: fn(&Turn) -> f64| median(turns.iter().map(value));
    Some(Figures {
        requests: turns.iter().map(|turn| turn.sample.requests).sum(),
        requests_per_second: middle(|turn| turn.sample.per_second)?,
        p50_us: middle(|turn| turn.sample.p50_us)?,
        p99_us: middle(|turn| turn.sample.p99_us)?,
        cpu_s_per_thousand: CpuS {
            server: middle(|turn| turn.cpu.server)?,
            service: middle(|turn| turn.cpu.service)?,
            postgres: middle(|turn| turn.cpu.postgres)?,
        },
        clients_cpu_s_per_thousand: middle(|turn| turn.clients_cpu)?,
        memory_mib: turns.iter().map(|turn| turn.memory_mib).fold(0.0, f64::max),
        counts,
    })
}

fn ratios(ours: &[Turn], theirs: &[Turn]) -> Option<Ratios> {
    let of = |value: fn(&Turn) -> f64| -> Vec<f64> {
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| value(ours) / value(theirs))
            .collect()
    };
    let throughput = of(|turn| turn.sample.per_second);
    Some(Ratios {
        throughput: median(throughput.iter().copied())?,
        lowest_throughput: throughput.iter().copied().fold(f64::INFINITY, f64::min),
        highest_throughput: throughput.iter().copied().fold(0.0, f64::max),
        p50: median(of(|turn| turn.sample.p50_us))?,
        p99: median(of(|turn| turn.sample.p99_us))?,
        cpu: median(of(|turn| turn.cpu.all()))?,
        memory: median(of(|turn| turn.memory_mib))?,
    })
}
