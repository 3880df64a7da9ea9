//! The figures to reach.

use serde::Serialize;

use super::{Peer, Report};

/// A figure beside what it should be.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) reach: Reach,
    pub(crate) is_reached: bool,
    /// Something else kept the machine busy, as far as that was watched.
    pub(crate) is_disturbed: bool,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reach {
    AtLeast(f64),
    AtMost(f64),
}

impl Reach {
    fn is_reached_by(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(least) => measured >= least,
            Self::AtMost(most) => measured <= most,
        }
    }
}

/// A figure, and whether it is what it should be.
pub(crate) fn verdict(what: String, measured: f64, reach: Reach) -> Verdict {
    Verdict {
        what,
        measured,
        reach,
        is_reached: reach.is_reached_by(measured),
        is_disturbed: false,
    }
}

/// Of everything that was measured.
pub(super) fn verdicts(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for comparison in &report.comparisons {
        let reach = match (comparison.work.starts_with("durable POST"), comparison.clients) {
            (true, 1) => Reach::AtLeast(0.8),
            (true, _) => Reach::AtLeast(0.65),
            (false, _) => Reach::AtLeast(0.6),
        };
        let kind = if comparison.work.starts_with("durable POST") {
            "durable POST"
        } else {
            "GET"
        };
        for ratio in &comparison.ratios {
            let driver = match ratio.against {
                Peer::Sqlx => "sqlx",
                Peer::TokioPostgres | Peer::Nexus => "the same driver",
            };
            let what = format!("{kind}, {} client(s): ÷ native with {driver}", comparison.clients);
            let is_disturbed = comparison.is_disturbed();
            verdicts.push(Verdict {
                is_disturbed,
                ..verdict(what, ratio.throughput, reach)
            });
        }
    }
    if let Some(calls) = &report.calls {
        verdicts.push(verdict(
            "component call, µs".to_owned(),
            calls.us_per_call,
            Reach::AtMost(25.0),
        ));
        verdicts.push(verdict(
            "component call ÷ instantiation alone".to_owned(),
            calls.ratio,
            Reach::AtMost(2.0),
        ));
    }
    for start in &report.starts {
        let of = format!("{} application, database {}", start.application, start.database);
        verdicts.push(verdict(
            format!("{of}: start to first answer, ms"),
            start.first_answer_ms,
            Reach::AtMost(1000.0),
        ));
        verdicts.push(verdict(
            format!("{of}: resident memory, MiB"),
            start.resident_mib,
            Reach::AtMost(120.0),
        ));
    }
    if let Some(swaps) = &report.swaps {
        let failed = "swap of a module under load: failed requests".to_owned();
        verdicts.push(verdict(failed, swaps.failed as f64, Reach::AtMost(0.0)));
        let answers = "swap of a module under load: activate to first answer, ms".to_owned();
        verdicts.push(verdict(answers, swaps.first_answer_ms, Reach::AtMost(50.0)));
    }
    if let Some(takeovers) = &report.takeovers {
        let open = takeovers.owned + takeovers.suspended;
        let what = format!("{open} open after SIGKILL: known dead to all owned again, ms");
        verdicts.push(verdict(what, takeovers.owned_again_ms, Reach::AtMost(3000.0)));
        let open = takeovers.owned_at_restart;
        let what = format!("{open} open after SIGKILL: start of the same host to all owned again, ms");
        verdicts.push(verdict(what, takeovers.owned_after_restart_ms, Reach::AtMost(3000.0)));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_reached_on_its_side_of_the_bound() {
        assert!(Reach::AtLeast(0.8).is_reached_by(0.8) && !Reach::AtLeast(0.8).is_reached_by(0.79));
        assert!(Reach::AtMost(25.0).is_reached_by(25.0) && !Reach::AtMost(25.0).is_reached_by(25.1));
        assert!(!Reach::AtLeast(0.8).is_reached_by(f64::NAN) && !Reach::AtMost(25.0).is_reached_by(f64::NAN));
    }
}
