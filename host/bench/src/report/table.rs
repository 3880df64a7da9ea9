//! The report for people. Ratios first: they are what carries over to another machine.

use std::fmt::{self, Write};

use super::targets::{Reach, Verdict};
use super::{Comparison, Counts, Figures, Peer, Report, Swaps, Takeovers};

/// The whole report as text.
pub(crate) fn render(report: &Report) -> Result<String, fmt::Error> {
    let mut out = String::new();
    conditions(&mut out, report)?;
    for comparison in &report.comparisons {
        compared(&mut out, comparison)?;
    }
    if !report.counts.is_empty() {
        counted(&mut out, &report.counts)?;
    }
    if let Some(calls) = &report.calls {
        writeln!(
            out,
            "\nCall from component to component, fresh instance, {} in one request that writes nothing",
            calls.calls_per_request
        )?;
        writeln!(
            out,
            "  {:.1} µs a call; an instantiation alone {:.1} µs; ratio {:.2}",
            calls.us_per_call, calls.us_per_instantiation, calls.ratio
        )?;
    }
    if !report.starts.is_empty() {
        writeln!(
            out,
            "\nStart to first answer, everything built, compiled and migrated; resident memory without PostgreSQL"
        )?;
        writeln!(
            out,
            "  {:<30} {:>10} {:>10} {:>11} {:>16}",
            "", "median ms", "slowest ms", "then MiB", "1000 requests on"
        )?;
        for start in &report.starts {
            let name = format!("{}, {}", start.application, start.database);
            writeln!(
                out,
                "  {name:<30} {:>10.0} {:>10.0} {:>11.1} {:>16.1}",
                start.first_answer_ms, start.slowest_ms, start.resident_idle_mib, start.resident_mib
            )?;
        }
    }
    if let Some(swaps) = &report.swaps {
        swapped(&mut out, swaps)?;
    }
    if let Some(takeovers) = &report.takeovers {
        taken_over(&mut out, takeovers)?;
    }
    write_verdicts(&mut out, &report.verdicts)?;
    Ok(out)
}

fn conditions(out: &mut String, report: &Report) -> fmt::Result {
    let conditions = &report.conditions;
    let durable = if conditions.is_durable {
        "fsync and synchronous_commit on"
    } else {
        "NOT durable: figures mean nothing"
    };
    let build = if conditions.is_optimised {
        "release build"
    } else {
        "DEBUG build: figures mean nothing"
    };
    writeln!(
        out,
        "nexus ÷ native hyper; PostgreSQL {}, {durable}; {build}",
        conditions.postgres
    )?;
    writeln!(
        out,
        "{} cores ({}), shared by the servers, PostgreSQL and the clients",
        conditions.cores, conditions.processor
    )?;
    writeln!(
        out,
        "{} rounds, a turn of {} s for each server in each; pools of {} sessions; medians",
        conditions.rounds, conditions.turn_s, conditions.sessions
    )
}

fn compared(out: &mut String, comparison: &Comparison) -> fmt::Result {
    let clients = if comparison.clients == 1 {
        "1 client".to_owned()
    } else {
        format!("{} clients", comparison.clients)
    };
    writeln!(out, "\n{}, {clients}", comparison.work)?;
    writeln!(
        out,
        "  {:<24} {:>10} {:>15} {:>8} {:>8}",
        "ratio to native with", "throughput", "(rounds)", "p50", "p99"
    )?;
    for ratio in &comparison.ratios {
        let range = format!("({:.2} – {:.2})", ratio.lowest_throughput, ratio.highest_throughput);
        writeln!(
            out,
            "  {:<24} {:>10.2} {range:>15} {:>8.2} {:>8.2}",
            name(ratio.against),
            ratio.throughput,
            ratio.p50,
            ratio.p99
        )?;
    }
    writeln!(
        out,
        "  {:<24} {:>10} {:>8} {:>8}   {:>27} {:>9} {:>9}",
        "on this machine", "requests/s", "p50 µs", "p99 µs", "CPU µs: server, DB, clients", "write txs", "WAL bytes"
    )?;
    for figures in &comparison.figures {
        let Figures {
            server,
            requests_per_second,
            p50_us,
            p99_us,
            cpu_us_per_request: cpu,
            ..
        } = figures;
        writeln!(
            out,
            "  {:<24} {requests_per_second:>10.0} {p50_us:>8.0} {p99_us:>8.0}   {:>13.0} {:>6.0} {:>6.0} {:>9.2} {:>9.0}",
            name(*server),
            cpu.server,
            cpu.postgres,
            cpu.clients,
            figures.written_transactions_per_request,
            figures.wal_bytes_per_request
        )?;
    }
    let disturbed = if comparison.is_disturbed() {
        ": DISTURBED, measure again on an idle machine"
    } else {
        ""
    };
    writeln!(
        out,
        "  cores kept busy by anything else meanwhile: {:.1}{disturbed}",
        comparison.other_load
    )?;
    Ok(())
}

fn counted(out: &mut String, counts: &[Counts]) -> fmt::Result {
    writeln!(
        out,
        "\nCommits and flushes of the log per request, 1 client (ours with the host's heartbeats and marks)"
    )?;
    writeln!(out, "  {:<10} {:<24} {:>10} {:>10}", "", "", "commits", "flushes")?;
    for count in counts {
        let work = if count.work.starts_with("GET") { "GET" } else { "POST" };
        let server = name(count.server);
        writeln!(
            out,
            "  {work:<10} {server:<24} {:>10.3} {:>10.3}",
            count.commits_per_request, count.wal_syncs_per_request
        )?;
    }
    Ok(())
}

fn swapped(out: &mut String, swaps: &Swaps) -> fmt::Result {
    writeln!(
        out,
        "\n{} swaps of a module under load, {} clients: {} requests, {} failed",
        swaps.swaps, swaps.clients, swaps.requests, swaps.failed
    )?;
    writeln!(
        out,
        "  {:<34} {:>10} {:>8} {:>8}",
        "ratio to the load alone", "throughput", "p50", "p99"
    )?;
    for (name, beside) in [
        ("while a revision is compiled", &swaps.uploading),
        ("while it is activated", &swaps.activating),
    ] {
        writeln!(
            out,
            "  {name:<34} {:>10.2} {:>8.2} {:>8.2}",
            beside.throughput, beside.p50, beside.p99
        )?;
    }
    writeln!(
        out,
        "  upload {:.0} ms; activate {:.1} ms; from activate to its first answer {:.1} ms, slowest {:.1} ms",
        swaps.upload_ms, swaps.activate_ms, swaps.first_answer_ms, swaps.slowest_first_answer_ms
    )
}

fn taken_over(out: &mut String, takeovers: &Takeovers) -> fmt::Result {
    writeln!(
        out,
        "\nA host with {} running and {} sleeping invocations is killed; another one finishes them",
        takeovers.owned, takeovers.suspended
    )?;
    writeln!(
        out,
        "  all ended {:.2} leases of {:.0} ms after the kill; all owned again {:.0} ms after the host was declared gone",
        takeovers.finished_leases, takeovers.lease_ms, takeovers.owned_again_ms
    )?;
    writeln!(
        out,
        "  ended per second from then on {:.0}, of {:.0} in normal running; ratio {:.2}",
        takeovers.recovered_per_second, takeovers.normal_per_second, takeovers.throughput
    )?;
    writeln!(
        out,
        "  a host with {} running is killed and started again: all owned {:.0} ms after the start of its process",
        takeovers.owned_at_restart, takeovers.owned_after_restart_ms
    )
}

/// The figures to reach, beside those measured.
pub(crate) fn write_verdicts(out: &mut String, verdicts: &[Verdict]) -> fmt::Result {
    writeln!(out, "\nTo reach")?;
    let width = verdicts
        .iter()
        .map(|verdict| verdict.what.chars().count())
        .max()
        .unwrap_or_default();
    for verdict in verdicts {
        let (sign, bound) = match verdict.reach {
            Reach::AtLeast(bound) => ('≥', bound),
            Reach::AtMost(bound) => ('≤', bound),
        };
        let outcome = match (verdict.is_reached, verdict.is_disturbed) {
            (true, false) => "reached",
            (false, false) => "NOT REACHED",
            (true, true) => "reached, but disturbed",
            (false, true) => "NOT REACHED, but disturbed",
        };
        writeln!(
            out,
            "  {:<width$} {:>8.2} {sign} {bound:<6} {outcome}",
            verdict.what, verdict.measured
        )?;
    }
    Ok(())
}

fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Nexus => "nexus",
        Peer::TokioPostgres => "hyper + tokio-postgres",
        Peer::Sqlx => "hyper + sqlx",
    }
}
