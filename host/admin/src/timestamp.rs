//! Moments as RFC 3339 text, in UTC.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// A moment, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

impl Timestamp {
    /// Milliseconds since 1970-01-01 UTC. What RFC 3339 cannot write becomes the nearest it can.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        const LAST: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
        const FIRST: i64 = -62_167_219_200_000; // 0000-01-01T00:00:00Z
        Self(OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(unix_ms.clamp(FIRST, LAST)))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn unix_ms(self) -> i64 {
        let since = self.0 - OffsetDateTime::UNIX_EPOCH;
        i64::try_from(since.whole_milliseconds()).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn a_moment_is_written_in_utc_and_survives_its_text() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            let moment = Timestamp::from_unix_ms(unix_ms);
            assert_eq!(moment.to_string(), text);
            assert_eq!(serde_json::to_string(&moment).unwrap(), format!("\"{text}\""));
            assert_eq!(
                serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).unwrap(),
                moment
            );
            assert_eq!(Timestamp::from_unix_ms(moment.unix_ms()), moment);
        }
    }
}
