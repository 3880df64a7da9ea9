//! The clock's ticks.

use host_invoker::MeetTicks;
use host_recorder::Answer;
use host_store::{CronLine, Error, Met, Result, Tick};

use super::Session;
use crate::simulation::tables::Tables;

impl MeetTicks for Session {
    fn last_ticks<'a>(&'a self, lines: &'a [CronLine<'a>]) -> Answer<'a, Result<(u64, Vec<Option<u64>>)>> {
        Box::pin(async move {
            let last = |tables: &Tables, now_ms| {
                let last = lines.iter().map(|line| tables.last_tick(line.name));
                (now_ms, last.collect())
            };
            Ok(self.look(last).await?)
        })
    }

    fn count_ticks<'a>(&'a self, line: CronLine<'a>) -> Answer<'a, Result<()>> {
        let name = line.name.to_owned();
        Box::pin(async move {
            Ok(self
                .ask(move |tables, now_ms| tables.count_ticks(&name, now_ms))
                .await?)
        })
    }

    fn meet_tick(&self, tick: Tick) -> Answer<'_, Result<Met>> {
        let node = self.node;
        Box::pin(async move {
            let met = self.ask(move |tables, now_ms| tables.meet_tick(node, tick, now_ms));
            met.await?.map_err(|_| Error::NodeGone)
        })
    }
}
