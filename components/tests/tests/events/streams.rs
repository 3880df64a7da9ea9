//! Events as clients see them: streamed with ids, over the death of a node, a thousand at once, and whether they read or not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::NexusOptions;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::world::{PATIENCE, World, counts, tell};

/// A client that listens to one key.
struct Listener {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Listener {
    async fn open(url: &str, key: &str, last_event_id: Option<&str>) -> Result<Self> {
        let address = url.strip_prefix("http://").context("an address")?;
        let stream = TcpStream::connect(address).await?;
        let mut listener = Self {
            stream: BufReader::with_capacity(512, stream),
            line: String::new(),
        };
        let last = last_event_id
            .map(|id| format!("last-event-id: {id}\r\n"))
            .unwrap_or_default();
        let head = format!("GET /teller/stream/{key} HTTP/1.1\r\nhost: test\r\n{last}\r\n");
        listener.stream.get_mut().write_all(head.as_bytes()).await?;
        ensure!(listener.said("HTTP/1.1 ").await? == "200 OK", "{}", listener.line);
        listener.said("retry: ").await?;
        Ok(listener)
    }

    /// What the next line that begins like this goes on with.
    async fn said(&mut self, begin: &str) -> Result<String> {
        loop {
            self.line.clear();
            let read = timeout(PATIENCE, self.stream.read_line(&mut self.line)).await;
            ensure!(read.context(begin.to_owned())?? > 0, "the stream ends before {begin:?}");
            if let Some(said) = self.line.trim_end().strip_prefix(begin) {
                return Ok(said.to_owned());
            }
        }
    }

    /// The id of the next event, and what it says.
    async fn event(&mut self) -> Result<(String, String)> {
        Ok((self.said("id: ").await?, self.said("data: ").await?))
    }

    /// Whether the stream ends, and is not cut off.
    async fn ends_cleanly(&mut self) -> Result<()> {
        self.said("0").await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_where_it_was_when_its_node_died() -> Result<()> {
    let mut world = World::start().await?;
    let second = world.nexus.second_node(NexusOptions::default()).await?;
    let mut here = Listener::open(world.nexus.url(), "a", None).await?;
    let mut there = Listener::open(second.url(), "a", None).await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.tell("news.good", "a").await?);
        world.tell("news.good", "b").await?;
    }
    for (id, content) in ids.iter().zip(counts(3)) {
        let expected = (id.clone(), content);
        ensure!(here.event().await? == expected && there.event().await? == expected);
    }
    world.nexus.kill()?;
    ensure!(here.event().await.is_err());
    for _ in 0..2 {
        ids.push(tell(&second.client(), "news.bad", "a").await?);
    }
    let mut again = Listener::open(second.url(), "a", Some(&ids[1])).await?;
    for (id, content) in ids.iter().zip(counts(5)).skip(2) {
        ensure!(again.event().await? == (id.clone(), content));
    }
    // A node that was started again goes on as well.
    world.restart(&[]).await?;
    let mut back = Listener::open(world.nexus.url(), "a", Some(&ids[4])).await?;
    let last = tell(&second.client(), "news.good", "a").await?;
    ensure!(back.event().await? == (last, counts(6).swap_remove(5)));
    Ok(())
}

const STREAMS: usize = 1_000;
/// What a stream may cost its host, memory of the kernel aside: a connection's buffers, and a place.
const STREAM_BYTES: u64 = 48 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_listen_and_hold_nothing_but_their_connections() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut world = World::start().await?;
    // One of each key: what is paid once is not counted.
    for key in 0..10 {
        drop(Listener::open(world.nexus.url(), &format!("key-{key}"), None).await?);
    }
    let before = resident_bytes(world.nexus.pid())?;
    let mut listeners = Vec::with_capacity(STREAMS);
    for number in 0..STREAMS {
        listeners.push(Listener::open(world.nexus.url(), &format!("key-{}", number % 10), None).await?);
    }
    let each = resident_bytes(world.nexus.pid())?.saturating_sub(before) / STREAMS as u64;
    ensure!(each < STREAM_BYTES, "{each} bytes a stream");
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nexus/%' AND datname = current_database()";
    let sessions = world.audit.count(sessions).await?;
    ensure!(sessions <= 20, "{sessions} database sessions");
    ensure!(world.audit.count("SELECT count(*) FROM host.invocation").await? == 0);

    let begun = Instant::now();
    for key in 0..10 {
        world.tell("news.good", &format!("key-{key}")).await?;
    }
    for listener in &mut listeners {
        ensure!(listener.event().await?.1 == counts(1)[0]);
    }
    let took = begun.elapsed();
    eprintln!("{STREAMS} streams: {each} bytes each, {sessions} database sessions, all told within {took:?}");
    ensure!(took < Duration::from_secs(10), "{took:?}");

    // A node that stops ends them, and then itself.
    let stopping = tokio::spawn(async move {
        let status = world.nexus.terminate().await;
        (world, status)
    });
    for listener in &mut listeners {
        listener.ends_cleanly().await?;
    }
    let (_world, status) = stopping.await?;
    ensure!(status?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_costs_nothing_and_keeps_nobody_waiting() -> Result<()> {
    const EVENTS: usize = 300;
    const SIZE: usize = 200 << 10;
    let world = World::start().await?;
    let _deaf = Listener::open(world.nexus.url(), "a", None).await?;
    let mut listener = Listener::open(world.nexus.url(), "a", None).await?;
    let big = json!({ "topic": "news.big", "key": "a", "size": SIZE });
    let mut before = 0;
    for number in 0..EVENTS {
        world.nexus.client().post("/teller/tell", big.clone()).await?.data(200);
        let (_, content) = listener.event().await?;
        ensure!(content.len() > SIZE && content.starts_with(&format!("{{\"count\":{}", number + 1)));
        if number == EVENTS / 5 {
            // What it takes to publish and to deliver such events it has taken by now.
            before = resident_bytes(world.nexus.pid())?;
        }
    }
    let grown = resident_bytes(world.nexus.pid())?.saturating_sub(before);
    // Four fifths of what was published are forty-eight megabytes; what an allocator and warm instances come to by chance is less.
    ensure!(grown < 24 << 20, "{grown} bytes more");
    Ok(())
}

/// What the process has of the machine's memory.
fn resident_bytes(pid: u32) -> Result<u64> {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split(' ').nth(1).context("the second field")?.parse()?;
    Ok(pages * PAGE)
}
