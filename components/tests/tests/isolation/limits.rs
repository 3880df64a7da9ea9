//! What uses too much, holds too long, or answers garbage, is stopped, named, and noticed by nobody else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::attacked::{Attacked, invocation};
use crate::neighbour::Neighbour;

/// No misdeed keeps its caller longer. The guest has a second of CPU, a transaction four.
const PATIENCE: Duration = Duration::from_secs(20);
/// More memory than one misdeed may cost the host, MiB: the instance's own 64, and what of it is copied on its way.
const FLOOD_MIB: u64 = 320;
/// The same for what a statement returns, most of which is not even read. A row without columns takes two dozen times what it
/// counts, and the allocator keeps what was given back for a while; without a bound it was a hundred and more.
const RESULT_MIB: u64 = 64;

/// Stopped, each with the text that the log names it by.
const STOPPED: [(&str, &str); 28] = [
    ("loop", "time limit of 1000 ms exceeded"),
    ("allocate", "memory limit of 67108864 bytes exceeded"),
    ("recurse", "trap"),
    ("panic", "trap"),
    ("exit", "trap"),
    ("sleep", "wait with nexus:durable/invocation.sleep (sdk::sleep)"),
    ("call-deep", "would be call 32 deep"),
    ("status-0", "the status 0, which is none"),
    ("status-101", "the status 101, which is none"),
    ("status-999", "the status 999, which is none"),
    ("status-65535", "the status 65535, which is none"),
    ("header-split", "the header \"x-split\", which is none"),
    ("header-name", "the header \"a name\", which is none"),
    ("header-empty", "the header \"\", which is none"),
    ("headers-many", "headers"),
    ("headers-long", "headers"),
    ("schedule-large", "bytes"),
    ("workflow-zero", "the id of a workflow contains U+0000"),
    ("promise-zero", "the name of a promise contains U+0000"),
    ("random-bytes", "4294967295 random bytes were asked for"),
    ("begin-twice", "while the transaction begun at"),
    ("query-inside", "while the transaction begun at"),
    ("call-inside", "while the transaction begun at"),
    ("never-end", "the handler returned while the transaction begun at"),
    ("use-after-commit", "after it had been committed or rolled back"),
    ("roll-back-nothing", "none is open"),
    ("hold-and-loop", "time limit of 1000 ms exceeded"),
    ("trap-inside", "trap"),
];

/// The same for those that would fill memory or the log; one after the other, so that each is measured.
/// Where two limits are near each other, either may come first.
const FLOODS: [(&str, &str); 11] = [
    ("headers-overlapping", "fuel"),
    ("calls-overlapping", "fuel"),
    ("log-overlapping", "fuel"),
    ("parameters-overlapping", "fuel"),
    ("schedules", "exceeded|messages of more than 16777216 bytes"),
    ("savepoints", "savepoints are nested deeper than 64"),
    ("allocate", "memory limit"),
    ("call-for-ever", "exceeded|50000 entries"),
    ("fields-many", HANDLES),
    ("names-long", HANDLES),
    ("bodies-unread", HANDLES),
];

const HANDLES: &str = "an instance may have 512 handles of the host at once";

/// Statements that return more than an entry holds.
const LARGE_RESULTS: [&str; 5] = [
    "SELECT generate_series(1, 1000000000)",
    "SELECT NULL FROM (SELECT generate_series(1, 1000000000)) a",
    "SELECT FROM (SELECT generate_series(1, 1000000000)) a",
    "SELECT repeat(repeat('x', 1000), 60000)",
    "SELECT repeat(repeat('x', 1000), 60000)::integer",
];

/// Longer than anybody waits.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_is_stopped_and_the_neighbour_does_not_notice() -> Result<()> {
    let attacked = Attacked::start().await?;
    let neighbour = Neighbour::begin(&attacked.client);
    let attempts = STOPPED.map(|(name, text)| {
        let attacked = &attacked;
        async move {
            let answer = timeout(PATIENCE, attacked.misdeed(name))
                .await
                .with_context(|| name.to_owned())??;
            // Before the first append a trap is a 500, and there is no row.
            ensure!(answer.status == 500, "{name}: {} {}", answer.status, answer.json);
            answer.failed(500, "internal");
            let row = format!(
                "SELECT count(*) FROM host.invocation WHERE id = '{}'",
                invocation(&answer)?
            );
            ensure!(attacked.audit.count(&row).await? == 0, "{name} left a row");
            let logged = attacked.logged(&answer)?;
            ensure!(logged.contains(text), "{name}: {text:?} is not in\n{logged}");
            anyhow::Ok(())
        }
    });
    join_all(attempts).await.into_iter().collect::<Result<()>>()?;

    neighbour.noticed_nothing(&attacked).await?;
    ensure!(
        attacked
            .audit
            .count("SELECT sum(amount)::bigint FROM hostile.item")
            .await?
            == 0,
        "a lost transaction left something"
    );
    ensure!(
        attacked
            .audit
            .count("SELECT count(*) FROM host.invocation WHERE component = 'hostile'")
            .await?
            == 0
    );
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn once_durable_it_is_paused_with_its_reason() -> Result<()> {
    let attacked = Attacked::start().await?;
    let neighbour = Neighbour::begin(&attacked.client);
    let named = [
        "loop",
        "allocate",
        "panic",
        "status-0",
        "header-split",
        "headers-many",
        "schedule-large",
        "workflow-zero",
        "promise-zero",
        "begin-twice",
        "never-end",
        "hold-and-loop",
    ];
    let attempts = named.map(|name| {
        let attacked = &attacked;
        async move {
            let answer = timeout(PATIENCE, attacked.misdeed_after_append(name))
                .await
                .with_context(|| name.to_owned())??;
            ensure!(answer.status == 503, "{name}: {} {}", answer.status, answer.json);
            answer.failed(503, "unavailable");
            ensure!(answer.headers.contains_key("retry-after"), "{name}: no Retry-After");
            let id = invocation(&answer)?;
            let paused = format!("SELECT count(*) FROM host.invocation WHERE id = '{id}' AND status = 'paused'");
            ensure!(attacked.audit.count(&paused).await? == 1, "{name} is not paused");
            let cause = format!("SELECT cause FROM host.invocation WHERE id = '{id}'");
            let cause = attacked.audit.texts(&cause).await?.pop().unwrap_or_default();
            let text = STOPPED
                .iter()
                .find_map(|(known, text)| (*known == name).then_some(*text));
            ensure!(
                cause.contains(text.context("a text")?),
                "{name}: paused because of {cause:?}"
            );
            // What it did before stands, once, however often it was tried again.
            let traces = format!("SELECT count(*) FROM hostile.trace WHERE name = '{name}'");
            ensure!(attacked.audit.count(&traces).await? == 1, "{name}");
            anyhow::Ok(())
        }
    });
    join_all(attempts).await.into_iter().collect::<Result<()>>()?;

    neighbour.noticed_nothing(&attacked).await?;
    ensure!(
        attacked
            .audit
            .count("SELECT sum(amount)::bigint FROM hostile.item")
            .await?
            == 0,
        "a lost transaction left something"
    );
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_ends_before_the_memory_or_the_log_is_full() -> Result<()> {
    let attacked = Attacked::start().await?;
    let neighbour = Neighbour::begin(&attacked.client);
    let mut wrong = Vec::new();
    for (name, text) in FLOODS {
        let before = attacked.forget_peak()?;
        let answer = timeout(PATIENCE, attacked.misdeed(name)).await.context(name)??;
        let cost = attacked.peak_mib()?.saturating_sub(before);
        let logged = attacked.logged(&answer)?;
        if answer.status != 500 || !text.split('|').any(|text| logged.contains(text)) || cost > FLOOD_MIB {
            let end: String = logged.lines().last().unwrap_or_default().chars().take(300).collect();
            wrong.push(format!("{name}: {}, {cost} MiB, {end}", answer.status));
        }
    }
    for statement in LARGE_RESULTS {
        for way in ["query", "execute"] {
            let before = attacked.forget_peak()?;
            let answer = timeout(PATIENCE, attacked.attempt(way, &[statement]))
                .await
                .context(statement)??;
            let cost = attacked.peak_mib()?.saturating_sub(before);
            let logged = attacked.logged(&answer)?;
            if answer.status != 500 || !logged.contains("1048576 bytes") || cost > RESULT_MIB {
                wrong.push(format!("{way} {statement}: {}, {cost} MiB, {logged}", answer.status));
            }
        }
    }
    // Longer than any statement needs to be; and no more of them are kept prepared than a mebibyte holds.
    let long = attacked.misdeed("statements-long").await?;
    let many = attacked.misdeed("statements-many").await?;
    let kept: usize = String::from_utf8_lossy(&many.bytes).parse().unwrap_or(usize::MAX);
    if !long.bytes.starts_with(b"54000: ") || kept > 20 {
        let statuses = (long.status, many.status);
        wrong.push(format!("long statements: {statuses:?}, {kept} are kept"));
    }
    let answer = timeout(PATIENCE, attacked.misdeed("log-lines")).await??;
    let lines = attacked.logged(&answer)?.lines().count();
    if !(1_000..1_010).contains(&lines) {
        wrong.push(format!("log-lines: {lines} lines"));
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    let log_mib = attacked.nexus.log()?.len() >> 20;
    ensure!(log_mib < 8, "the log grew to {log_mib} MiB");
    neighbour.noticed_nothing(&attacked).await?;
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_said_is_not_believed() -> Result<()> {
    let attacked = Attacked::start().await?;
    // Headers that are the host's stay the host's.
    let answer = attacked.misdeed("headers-of-the-host").await?;
    ensure!(answer.status == 200 && &answer.bytes[..] == b"ok", "{answer:?}");
    ensure!(invocation(&answer)? != "01890000-0000-7000-8000-000000000000");
    let value = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    ensure!(value("content-length") == Some("2"), "{:?}", answer.headers);
    ensure!(value("x-own") == Some("1"));
    for name in ["transfer-encoding", "upgrade", "connection", "idempotency-replayed"] {
        ensure!(value(name).is_none(), "{name}: {:?}", answer.headers);
    }
    ensure!(value("access-control-allow-origin") != Some("https://elsewhere.example"));

    // No file, no variable, no argument of the process.
    let answer = attacked.misdeed("read-a-file").await?;
    ensure!(answer.status == 200 && answer.bytes.is_empty(), "{answer:?}");
    // A large answer is one, as long as nothing of it must be kept.
    let answer = attacked.misdeed("body-large").await?;
    ensure!(
        answer.status == 200 && answer.bytes.len() == 8 << 20,
        "{}",
        answer.status
    );

    // A line of the log is one line, and not longer than lines are.
    let answer = attacked.misdeed("log-forged").await?;
    ensure!(answer.status == 200);
    let log = attacked.nexus.log()?;
    let forged: Vec<&str> = log.lines().filter(|line| line.contains("FORGED")).collect();
    ensure!(forged.len() == 1 && forged[0].contains("before"), "{forged:#?}");
    // The host colours its lines with sequences of its own.
    ensure!(
        !forged[0].contains("\x1b[2J") && !forged[0].contains('\r'),
        "{forged:?}"
    );
    let answer = attacked.misdeed("log-line").await?;
    ensure!(answer.status == 200);
    let longest = attacked.nexus.log()?.lines().map(str::len).max().unwrap_or_default();
    ensure!(longest < 64 << 10, "a line of {longest} bytes");
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_no_longer_than_a_transaction_may_last() -> Result<()> {
    let attacked = Attacked::start().await?;
    let neighbour = Neighbour::begin(&attacked.client);
    for (misdeed, status) in [("hold-and-loop", 500), ("hold-and-wait", 503)] {
        let begin = Instant::now();
        let holding = async {
            let answer = attacked.misdeed(misdeed).await?;
            ensure!(answer.status == status, "{misdeed}: {}", answer.status);
            anyhow::Ok(())
        };
        let waiting = async {
            let held = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                        WHERE relation = 'hostile.item'::regclass AND mode = 'RowExclusiveLock' AND datname = current_database()";
            attacked.audit.becomes(held, 1).await?;
            // It came a moment later than the holder and may wait as long: when that one's end takes longer than the moment, it has to ask again.
            let statement = ["UPDATE item SET amount = amount + 10 WHERE id = 1"];
            let mut answer = attacked.attempt("execute", &statement).await?;
            if answer.status == 503 {
                answer = attacked.attempt("execute", &statement).await?;
            }
            ensure!(
                answer.json[0]["rows"].is_array(),
                "{misdeed}: {} {}",
                answer.status,
                answer.json
            );
            anyhow::Ok(())
        };
        tokio::try_join!(holding, waiting)?;
        ensure!(
            begin.elapsed() < Duration::from_secs(8),
            "{misdeed} was waited for {:?}",
            begin.elapsed()
        );
    }
    ensure!(
        attacked
            .audit
            .count("SELECT amount FROM hostile.item WHERE id = 1")
            .await?
            == 20
    );

    // Nor does a statement that never ends go on for nobody.
    for way in ["query", "execute"] {
        attacked.attempt(way, &[ENDLESS]).await?.failed(503, "unavailable");
    }
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND state = 'active'
                   AND datname = current_database() AND pid <> pg_backend_pid()";
    attacked.audit.becomes(running, 0).await?;
    neighbour.noticed_nothing(&attacked).await?;
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_takes_all_it_can_get_leaves_the_neighbour_its_share() -> Result<()> {
    let attacked = Attacked::start().await?;
    let neighbour = Neighbour::begin(&attacked.client);
    // Every connection it can have, four seconds long.
    let held = (0..40).map(|_| attacked.attempt("execute", &[ENDLESS]));
    for answer in join_all(held).await {
        answer?.failed(503, "unavailable");
    }
    // Every attempt it can have, computing. The clients leave before all of that is done.
    let busy = join_all((0..300).map(|_| attacked.misdeed("loop")));
    let _ = timeout(Duration::from_secs(5), busy).await;
    neighbour.noticed_nothing(&attacked).await?;
    attacked.never_panicked()
}
