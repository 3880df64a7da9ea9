//! Records of invocations that were kept, run by today's host on today's builds of the guests that made them: whatever changes, they do
//! what they did.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use component_tests::workspace;
use host_testing::TestHost;

/// In front of the application's manifest, relative to the workspace. Without it a history is the business of `host/journal/tests` alone.
const APPLICATION: &str = "# application ";

fn histories() -> PathBuf {
    workspace().join("host/journal/tests/histories")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_is_done_the_same_today() -> Result<()> {
    let mut replayed = 0;
    for file in std::fs::read_dir(histories())? {
        let path = file?.path();
        let history = std::fs::read_to_string(&path)?;
        let Some(manifest) = history.lines().find_map(|line| line.strip_prefix(APPLICATION)) else {
            continue;
        };
        let host = crate::start(manifest).await?;
        host.replay(&history).await.with_context(|| {
            format!(
                "{}: what hosts have recorded must be replayed for ever. Neither record it again nor remove it: the host, or the \
                 guest, has to do for it what it did, and whatever is new goes beside it",
                path.display()
            )
        })?;
        replayed += 1;
    }
    assert!(replayed >= RECORDED.len(), "{replayed} histories were replayed");
    Ok(())
}

/// A history's name, its application, a flow that makes it, and the function whose invocation it is.
type Recorded = (&'static str, &'static str, Flow, &'static str);
type Flow = for<'a> fn(&'a TestHost) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

const RECORDED: [Recorded; 6] = [
    (
        "sleep",
        crate::waiting::MANIFEST,
        |host| Box::pin(async { crate::waiting::nap(host, "kept").await.map(drop) }),
        "nexus:http/handler.handle",
    ),
    (
        "promise",
        crate::waiting::MANIFEST,
        |host| Box::pin(async { crate::waiting::bill(host, "kept").await.map(drop) }),
        "nexus:http/handler.handle",
    ),
    (
        "joined",
        crate::joining::MANIFEST,
        |host| Box::pin(async { crate::joining::work(host, "kept").await.map(drop) }),
        "nexus:http/handler.handle",
    ),
    (
        "delivery",
        crate::events::MANIFEST,
        |host| Box::pin(async { crate::events::news(host, "kept").await.map(drop) }),
        "nexus:events/subscriber.handle",
    ),
    (
        "workflow",
        crate::flow::MANIFEST,
        |host| Box::pin(async { crate::flow::workflow(host, "kept").await.map(drop) }),
        "test:flow/jobs@0.1.0.run",
    ),
    (
        "exclusive",
        crate::flow::MANIFEST,
        |host| Box::pin(async { crate::flow::desk(host, "kept").await.map(drop) }),
        "nexus:http/handler.handle",
    ),
];

/// Run by hand when something new is recorded: `cargo nextest run --run-ignored only -E 'test(records_what_is_not_kept_yet)'`. What is there
/// stays.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes into the repository"]
async fn records_what_is_not_kept_yet() -> Result<()> {
    for (name, manifest, flow, function) in RECORDED {
        let path = histories().join(format!("{name}.journal"));
        if !path.exists() {
            let host = crate::start(manifest).await?;
            flow(&host).await?;
            record(&host, &path, manifest, function).await?;
        }
    }
    // The marketplace changes, so these are not run again.
    let (answered, cancelled) = (
        histories().join("answered.journal"),
        histories().join("cancelled.journal"),
    );
    if !answered.exists() {
        let (host, by_answer, by_cancel) = crate::market::repaired().await?;
        write(&answered, &host.history(&by_answer).await?)?;
        write(&cancelled, &host.history(&by_cancel).await?)?;
    }
    Ok(())
}

/// Of the invocations of this function the one with the longest record.
async fn record(host: &TestHost, path: &Path, manifest: &str, function: &str) -> Result<()> {
    let longest = format!(
        "SELECT id::text FROM host.invocation WHERE function = '{function}'
         ORDER BY (SELECT count(*) FROM host.journal_entry WHERE invocation_id = id) DESC LIMIT 1"
    );
    let invocation = host.texts(&longest).await?.pop().context("an invocation")?;
    let history = host.history(&invocation).await?;
    write(path, &format!("{APPLICATION}{manifest}\n{history}"))
}

/// Never over another one.
fn write(path: &Path, history: &str) -> Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    Ok(file.write_all(history.as_bytes())?)
}
