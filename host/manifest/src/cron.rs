//! When a component's scheduled function is called by the clock.

use std::fmt;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::Location;

/// One line of `[component.<id>.tool.nexus.cron]`: `scheduled.run` is called with its name and its argument, once for each tick.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CronRule {
    /// Its name within the component.
    pub name: String,
    /// When.
    pub schedule: Schedule,
    /// The second argument of `scheduled.run`.
    pub argument: String,
    /// What becomes of a tick that comes while the run of an earlier one is still open.
    pub overlap: Overlap,
    /// Where the manifest says so.
    pub at: Location,
}

impl CronRule {
    /// A rule without a manifest.
    pub fn new(name: String, schedule: Schedule, overlap: Overlap) -> Self {
        Self {
            name,
            schedule,
            argument: String::new(),
            overlap,
            at: Location { line: 1, column: 1 },
        }
    }
}

/// What becomes of a tick that comes while the run of an earlier one is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// It is begun beside the earlier one.
    Start,
}

/// Five fields as of cron, in UTC. Ticks are milliseconds since 1970-01-01 UTC.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    pattern: Cron,
}

/// So long is searched for a first tick: a leap year may be eight years off.
const FROM_MS: u64 = 946_684_800_000;

impl Schedule {
    /// Reads it; the error follows upon the schedule's name in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(format!("has {fields} fields instead of 5"));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed);
        let pattern = parser.build().parse(text);
        let pattern = pattern.map_err(|error| format!("is no schedule: {}", sentence(&error.to_string())))?;
        let schedule = Self {
            text: text.to_owned(),
            pattern,
        };
        match schedule.next(FROM_MS) {
            Some(_) => Ok(schedule),
            None => Err("never comes".into()),
        }
    }

    /// As the manifest writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The last tick after `after_ms` and not after `until_ms`: of several that were missed the last one.
    pub fn latest(&self, after_ms: u64, until_ms: u64) -> Option<u64> {
        let until = time(until_ms)?;
        let tick = self.pattern.find_previous_occurrence(&until, true).ok()?;
        let tick_ms = u64::try_from(tick.timestamp_millis()).ok()?;
        (tick_ms > after_ms).then_some(tick_ms)
    }

    /// The first tick after `after_ms`.
    pub fn next(&self, after_ms: u64) -> Option<u64> {
        let after = time(after_ms)?;
        let tick = self.pattern.find_next_occurrence(&after, false).ok()?;
        u64::try_from(tick.timestamp_millis()).ok()
    }
}

/// A whole second, as those ticks are.
fn time(ms: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(ms / 1_000).ok()?, 0)
}

/// The library's words, as they stand within ours.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;
    /// 2026-01-01 00:00 UTC, a Thursday.
    const NEW_YEAR_MS: u64 = 1_767_225_600_000;

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text).unwrap_or_else(|reason| panic!("{text} {reason}"))
    }

    #[test]
    fn ticks_are_those_of_cron_in_utc() {
        let five = schedule("*/5 * * * *");
        assert_eq!(five.next(NEW_YEAR_MS), Some(NEW_YEAR_MS + 5 * MINUTE_MS));
        assert_eq!(five.next(NEW_YEAR_MS - 1), Some(NEW_YEAR_MS));
        let weekday = schedule("30 8 * * mon-fri");
        assert_eq!(weekday.next(NEW_YEAR_MS), Some(NEW_YEAR_MS + (8 * 60 + 30) * MINUTE_MS));
        // Either day counts where both are given, as of old.
        let either = schedule("0 0 13 * 5");
        assert_eq!(either.next(NEW_YEAR_MS), Some(NEW_YEAR_MS + 24 * 60 * MINUTE_MS));
        assert!(schedule("0 0 29 2 *").next(NEW_YEAR_MS).is_some());
    }

    #[test]
    fn of_the_missed_ticks_the_last_one_counts_and_none_twice() {
        let five = schedule("*/5 * * * *");
        let until = NEW_YEAR_MS + 17 * MINUTE_MS;
        let last = NEW_YEAR_MS + 15 * MINUTE_MS;
        assert_eq!(five.latest(NEW_YEAR_MS, until), Some(last));
        assert_eq!(five.latest(last, until), None);
        assert_eq!(five.latest(last - 1, last), Some(last), "at its very moment");
        assert_eq!(five.latest(last - 1, last + 999), Some(last));
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (text, part) in [
            ("* * * *", "4 fields"),
            ("0 * * * * *", "6 fields"),
            ("", "0 fields"),
            ("61 * * * *", "is no schedule"),
            ("a * * * *", "is no schedule"),
            ("0 0 31 2 *", "never"),
        ] {
            let reason = Schedule::parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
