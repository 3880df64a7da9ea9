//! The clock lines of the manifest: each tick is met once over all nodes, and begins an invocation.
//!
//! A node that finds a tick past writes its row, and the row and the invocation are one commit: of two nodes the second finds the row.
//! Times are the database's, the one clock that all nodes share.

use std::sync::Arc;
use std::time::Duration;

use host_journal::{Header, Seed};
use host_manifest::{CronRule, Overlap};
use host_recorder::{SCHEDULED_FUNCTION, ScheduledInput, crash};
use host_store::{CronLine, Met, Tick, Wake};
use host_types::{ComponentId, InvocationId};

use crate::database::MeetTicks;
use crate::handlers::Handlers;
use crate::invoker::Invoker;
use crate::run::encode;

/// Meets the ticks of this node's application.
pub struct Cron {
    invoker: Invoker,
    store: Arc<dyn MeetTicks>,
    look: Duration,
}

/// Looks are at most so far apart: a machine that slept, or a clock that was set, is noticed.
const LOOK: Duration = Duration::from_secs(5);

impl Cron {
    /// For this invoker's node.
    pub fn new(invoker: Invoker, store: Arc<impl MeetTicks>) -> Self {
        let look = LOOK;
        Self { invoker, store, look }
    }

    /// The same with looks that are at most so far apart.
    #[must_use]
    pub fn looking_every(self, look: Duration) -> Self {
        Self { look, ..self }
    }

    /// Runs until dropped.
    pub async fn run(self) {
        let inner = &self.invoker.inner;
        loop {
            let mut wait = LOOK;
            let deployment = inner.current();
            if !deployment.cron().is_empty() && !inner.is_draining() {
                match self.look(&*deployment).await {
                    Ok(next) => wait = next.min(self.look),
                    Err(error) => tracing::warn!(%error, "the ticks that were met cannot be listed"),
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Meets what is past; says how far off the next one is.
    async fn look(&self, deployment: &dyn Handlers) -> host_store::Result<Duration> {
        let store = &self.store;
        let rules = deployment.cron();
        let lines: Vec<_> = rules
            .iter()
            .map(|(component, rule)| CronLine {
                component,
                name: &rule.name,
                schedule: rule.schedule.as_str(),
            })
            .collect();
        let (now_ms, last) = store.last_ticks(&lines).await?;
        let mut next_ms = u64::MAX;
        for (((component, rule), line), last) in rules.iter().zip(&lines).zip(last) {
            let schedule = &rule.schedule;
            match last.map(|last_ms| schedule.latest(last_ms, now_ms)) {
                Some(Some(tick_ms)) => self.meet(deployment, component, rule, tick_ms).await?,
                Some(None) => {}
                None => store.count_ticks(*line).await?,
            }
            next_ms = next_ms.min(schedule.next(now_ms).unwrap_or(u64::MAX));
        }
        Ok(Duration::from_millis(next_ms.saturating_sub(now_ms).max(1)))
    }

    async fn meet(
        &self,
        deployment: &dyn Handlers,
        component: &ComponentId,
        rule: &CronRule,
        tick_ms: u64,
    ) -> host_store::Result<()> {
        let inner = &self.invoker.inner;
        let now_ms = inner.clock.unix_ms();
        let invocation = InvocationId::new(now_ms, inner.rng.bytes());
        let input = ScheduledInput {
            name: rule.name.clone(),
            argument: rule.argument.clone().into_bytes(),
        };
        crash::reached(crash::Point::BeforeAppend);
        let met = self.store.meet_tick(Tick {
            name: rule.name.clone(),
            schedule: rule.schedule.to_string(),
            tick_ms,
            skips: rule.overlap == Overlap::Skip,
            invocation,
            header: Header {
                component: component.clone(),
                function: SCHEDULED_FUNCTION.into(),
                deployment: deployment.number(),
                input: encode(&input),
                seed: Seed::new(inner.rng.bytes()),
                subject: String::new(),
                trace_parent: String::new(),
                memory_limit_bytes: deployment.memory_limit_bytes(component),
                started_ms: now_ms,
                workflow: None,
                deadline_ms: deployment
                    .deadline_of_function(component, SCHEDULED_FUNCTION)
                    .map(|within_ms| now_ms.saturating_add(within_ms)),
            },
        });
        let met = met.await?;
        crash::reached(crash::Point::AfterAppend);
        match met {
            Met::Begun => {
                tracing::info!(component.id = %component, cron = rule.name, invocation.id = %invocation, "a tick has begun its run");
                inner.waits.due.notify_one();
                inner.store.notify(Wake::Due);
            }
            Met::Skipped => tracing::warn!(
                component.id = %component, cron = rule.name, tick_ms,
                "a tick is left out: the run of an earlier one is still open",
            ),
            Met::Before => {}
        }
        Ok(())
    }
}
