//! The platform against native handlers, on the same work, in rounds in which each has its turn.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Extent;
use crate::database::{Database, OURS};
use crate::load::{Client, Load, Sample, Until, Work, run};
use crate::machine::{busy_us, cpu_of_family_us, cpu_us};
use crate::native;
use crate::report::{Comparison, Counts, CpuUs, Figures, Peer, Ratio};
use crate::statistics::median;

/// Of a saturated server: both cores are busy long before.
pub(crate) const MANY_CLIENTS: usize = 32;

/// A server that can be measured.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

/// The servers side by side on one database.
pub(crate) struct Bench<'a> {
    pub(crate) database: &'a Database,
    pub(crate) postgres_pid: u32,
    /// The platform's first.
    pub(crate) servers: Vec<Server>,
    pub(crate) extent: Extent,
    /// Requests answered so far, for the books.
    pub(crate) our_orders: u64,
    pub(crate) native_orders: u64,
}

/// A server's turn in one round.
struct Turn {
    sample: Sample,
    cpu: CpuUs,
    /// Processors that everything else kept busy meanwhile.
    other_load: f64,
    written_transactions: f64,
    wal_bytes: f64,
}

/// Processor time so far.
#[derive(Clone, Copy)]
struct Used {
    server_us: u64,
    postgres_us: u64,
    clients_us: u64,
    all_us: u64,
}

impl Used {
    fn since(self, before: Self) -> Self {
        Self {
            server_us: self.server_us.saturating_sub(before.server_us),
            postgres_us: self.postgres_us.saturating_sub(before.postgres_us),
            clients_us: self.clients_us.saturating_sub(before.clients_us),
            all_us: self.all_us.saturating_sub(before.all_us),
        }
    }
}

impl Bench<'_> {
    /// All servers must answer the same.
    pub(crate) async fn check_answers(&mut self) -> Result<()> {
        let mut answers = Vec::new();
        for server in &self.servers {
            let mut client = Client::connect(server.address).await?;
            let item: Value = serde_json::from_slice(&client.get("/bench/item/17").await?)?;
            let order = client
                .post("/bench/order", r#"{"item":17,"quantity":1}"#.to_owned())
                .await?;
            let receipt: Value = serde_json::from_slice(&order)?;
            let expected = serde_json::json!({ "id": 17, "name": "item 17", "price": 117 });
            for (field, expected) in expected.as_object().context("an object")? {
                ensure!(item["data"][field] == *expected, "{:?} answered {item}", server.peer);
            }
            ensure!(
                item["data"]["stock"].is_i64() && receipt["data"]["purchase"].is_i64(),
                "{:?}: {receipt}",
                server.peer
            );
            answers.push(receipt["data"]["amount"].clone());
        }
        ensure!(
            answers.iter().all(|amount| *amount == 117),
            "the servers answered {answers:?}"
        );
        self.our_orders += 1;
        self.native_orders += self.servers.len() as u64 - 1;
        Ok(())
    }

    /// Each server on this work with this many clients.
    pub(crate) async fn compare(&mut self, work: Work, clients: usize, progress: &dyn Fn(&str)) -> Result<Comparison> {
        self.database.tidy().await?;
        let Extent {
            rounds, turn, warm_up, ..
        } = self.extent;
        for index in 0..self.servers.len() {
            self.turn(
                index,
                Load {
                    work,
                    clients,
                    until: Until::Passed(warm_up),
                    seed: 0,
                },
            )
            .await?;
        }
        let mut turns: Vec<Vec<Turn>> = self.servers.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            progress(&format!(
                "{}, {clients} client(s): round {} of {rounds}",
                name(work),
                round + 1
            ));
            for place in 0..self.servers.len() {
                // Nobody always goes first, nor always after the same other.
                let index = (place + round) % self.servers.len();
                let load = Load {
                    work,
                    clients,
                    until: Until::Passed(turn),
                    seed: round as u64 + 1,
                };
                let turn = self.turn(index, load).await?;
                turns[index].push(turn);
            }
        }
        let figures = self
            .servers
            .iter()
            .zip(&turns)
            .map(|(server, turns)| figures(server.peer, turns));
        let ratios = self
            .servers
            .iter()
            .zip(&turns)
            .skip(1)
            .map(|(server, native)| ratio(server.peer, &turns[0], native));
        let other_load = median(turns.iter().flatten().map(|turn| turn.other_load));
        Ok(Comparison {
            work: name(work),
            clients,
            other_load: other_load.context("a round was measured")?,
            ratios: ratios.collect::<Option<_>>().context("a round was measured")?,
            figures: figures.collect::<Option<_>>().context("a round was measured")?,
        })
    }

    /// What a request costs the database, by its own statistics, with one client.
    pub(crate) async fn count(&mut self, work: Work, progress: &dyn Fn(&str)) -> Result<Vec<Counts>> {
        let mut counts = Vec::new();
        progress(&format!("{}: counting commits, about a minute", name(work)));
        let mut before = self.database.committed().await?;
        for index in 0..self.servers.len() {
            let until = Until::Requests(self.extent.counted_requests);
            let requests = self
                .turn(
                    index,
                    Load {
                        work,
                        clients: 1,
                        until,
                        seed: 99,
                    },
                )
                .await?
                .sample
                .requests as f64;
            let after = self.database.committed().await?;
            counts.push(Counts {
                work: name(work),
                server: self.servers[index].peer,
                commits_per_request: (after.commits - before.commits) as f64 / requests,
                wal_syncs_per_request: (after.wal_syncs - before.wal_syncs) as f64 / requests,
            });
            before = after;
        }
        Ok(counts)
    }

    /// Every order that was answered is in the books once, each of ours was an invocation, and nothing else was one.
    pub(crate) async fn check_books(&self) -> Result<()> {
        self.database.check_orders(OURS, self.our_orders).await?;
        self.database.check_orders(native::SCHEMA, self.native_orders).await?;
        let invocations = self.database.invocations().await?;
        ensure!(
            invocations == self.our_orders as i64,
            "{} orders were answered, and {invocations} invocations kept",
            self.our_orders
        );
        Ok(())
    }

    async fn turn(&mut self, index: usize, load: Load<Work>) -> Result<Turn> {
        let Server { peer, address, .. } = self.servers[index];
        let written = self.database.written().await?;
        let before = self.used(index)?;
        let sample = run(address, load)
            .await
            .with_context(|| format!("{peer:?} with {} client(s)", load.clients))?;
        let used = self.used(index)?.since(before);
        let written_after = self.database.written().await?;
        if load.work == Work::Post {
            match peer {
                Peer::Nexus => self.our_orders += sample.requests,
                _ => self.native_orders += sample.requests,
            }
        }
        let requests = sample.requests as f64;
        let others_us = used
            .all_us
            .saturating_sub(used.server_us + used.postgres_us + used.clients_us);
        Ok(Turn {
            cpu: CpuUs {
                server: used.server_us as f64 / requests,
                postgres: used.postgres_us as f64 / requests,
                clients: used.clients_us as f64 / requests,
            },
            other_load: others_us as f64 * sample.per_second / requests / 1e6,
            written_transactions: (written_after.transactions - written.transactions) as f64 / requests,
            wal_bytes: (written_after.wal_bytes - written.wal_bytes) as f64 / requests,
            sample,
        })
    }

    fn used(&self, index: usize) -> Result<Used> {
        Ok(Used {
            server_us: cpu_us(self.servers[index].pid)?,
            postgres_us: cpu_of_family_us(self.postgres_pid)?,
            clients_us: cpu_us(std::process::id())?,
            all_us: busy_us()?,
        })
    }
}

fn name(work: Work) -> &'static str {
    match work {
        Work::Post => "durable POST, one transaction (SELECT FOR UPDATE, UPDATE, INSERT)",
        Work::Get => "GET, one SELECT by key",
    }
}

fn figures(server: Peer, turns: &[Turn]) -> Option<Figures> {
    let middle = |value: fn(&Turn) -> f64| median(turns.iter().map(value));
    Some(Figures {
        server,
        requests_per_second: middle(|turn| turn.sample.per_second)?,
        p50_us: middle(|turn| turn.sample.p50_us)?,
        p99_us: middle(|turn| turn.sample.p99_us)?,
        cpu_us_per_request: CpuUs {
            server: middle(|turn| turn.cpu.server)?,
            postgres: middle(|turn| turn.cpu.postgres)?,
            clients: middle(|turn| turn.cpu.clients)?,
        },
        written_transactions_per_request: middle(|turn| turn.written_transactions)?,
        wal_bytes_per_request: middle(|turn| turn.wal_bytes)?,
    })
}

fn ratio(against: Peer, ours: &[Turn], native: &[Turn]) -> Option<Ratio> {
    let of = |value: fn(&Turn) -> f64| -> Vec<f64> {
        ours.iter()
            .zip(native)
            .map(|(ours, native)| value(ours) / value(native))
            .collect()
    };
    let throughput = of(|turn| turn.sample.per_second);
    Some(Ratio {
        against,
        throughput: median(throughput.iter().copied())?,
        lowest_throughput: throughput.iter().copied().fold(f64::INFINITY, f64::min),
        highest_throughput: throughput.iter().copied().fold(0.0, f64::max),
        p50: median(of(|turn| turn.sample.p50_us))?,
        p99: median(of(|turn| turn.sample.p99_us))?,
    })
}
