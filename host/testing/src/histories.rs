//! Records of invocations as text, to be kept in a repository, and run again on today's components.
//!
//! A line is an entry as it is stored, but for the seal, in hexadecimal; lines that begin with `#` say what it is. See `host/journal/tests`.

use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use host_invoker::{DryRunOptions, Outcome};
use host_journal::{Append, AppendJournal, Body, Entry, InvocationStatus, Start, decode, encode};
use host_types::InvocationId;

use crate::TestHost;
use crate::seal::Plain;

/// In front of the invocation's id: keys of effects derive from it.
const INVOCATION: &str = "# invocation ";

impl TestHost {
    /// The record of an invocation, with everything in it: it is a test's.
    pub async fn history(&self, invocation: &str) -> Result<String> {
        let id = InvocationId::from_str(invocation)?;
        let loaded = self.store().load(id).await?;
        let loaded = loaded.with_context(|| format!("there is no invocation {invocation}"))?;
        let mut history = format!("{INVOCATION}{id}\n");
        for entry in &loaded.entries {
            let hex = encode(entry, &Plain)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            history.push_str(&hex);
            history.push('\n');
        }
        Ok(history)
    }

    /// Runs a record once more on the components of this host, without any effect, and fails where it is not the same: where a
    /// component asks for something else, or returns something else.
    pub async fn replay(&self, history: &str) -> Result<()> {
        let invocation = history.lines().find_map(|line| line.strip_prefix(INVOCATION));
        let invocation = InvocationId::from_str(invocation.context("a history names its invocation")?)?;
        let entries = entries(history)?;
        let Some(Body::Started(header)) = entries.first().map(|entry| &entry.body) else {
            bail!("a history begins with what the invocation is");
        };
        let start = Start {
            component: header.component.clone(),
            function: header.function.clone(),
            deployment: self.deployment().number(),
            erasure_salt: None,
            parent: None,
        };
        let seal = AppendJournal::seal(self.store(), invocation, None);
        let bodies = entries.iter().map(|entry| encode(entry, &*seal)).collect();
        let append = Append {
            start: Some(start),
            status: Some(InvocationStatus::Completed),
            ..Append::new(invocation, 0, bodies)
        };
        let stored = AppendJournal::append(self.store(), append).await;
        stored.context("store the history")?;
        let found = self.invoker().dry_run(invocation, DryRunOptions::default()).await?;
        ensure!(found.outcome == Outcome::Same, "{:#?}", found.outcome);
        Ok(())
    }
}

fn entries(history: &str) -> Result<Vec<Entry>> {
    let lines = history.lines().filter(|line| !line.starts_with('#'));
    let decoded = (0..).zip(lines).map(|(index, line)| {
        let body = line
            .as_bytes()
            .chunks(2)
            .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
        Ok(decode(index, &body.collect::<Result<Vec<_>>>()?, &Plain)?)
    });
    decoded.collect()
}
