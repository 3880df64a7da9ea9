//! The report for people.

use std::fmt::{self, Write};

use super::report::{Compared, Figures, Report};
use crate::report::write_verdicts;

/// The whole report as text.
pub(super) fn render(report: &Report) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let conditions = &report.conditions;
    let durable = match conditions.is_durable {
        true => "fsync and synchronous_commit on",
        false => "NOT durable: figures mean nothing",
    };
    let build = match conditions.is_optimised {
        true => "release build",
        false => "DEBUG build: figures mean nothing",
    };
    writeln!(
        out,
        "nexus ÷ {}{}; each side a PostgreSQL {} of its own, {durable}; {build}",
        conditions.restate,
        if conditions.is_restate_configured {
            " with a configuration of its own"
        } else {
            " as it comes"
        },
        conditions.postgres
    )?;
    writeln!(
        out,
        "{} cores ({}), shared by the side in its turn and the clients",
        conditions.cores, conditions.processor
    )?;
    writeln!(
        out,
        "{} rounds, a turn of {} s for each side in each; medians; each request with an Idempotency-Key of its own",
        conditions.rounds, conditions.turn_s
    )?;
    for compared in &report.compared {
        table(&mut out, compared)?;
    }
    let books = &report.books;
    if books.nexus > 0 {
        writeln!(
            out,
            "\nThe books: {} checkouts on nexus, each transaction once; {} on Restate, {} transactions done again",
            books.nexus, books.restate, books.repeated_by_restate
        )?;
    }
    if !report.verdicts.is_empty() {
        write_verdicts(&mut out, &report.verdicts)?;
    }
    Ok(out)
}

fn table(out: &mut String, compared: &Compared) -> fmt::Result {
    let Compared {
        title,
        clients,
        ratios,
        nexus,
        restate,
        ..
    } = compared;
    let clients = match clients {
        1 => "1 client".to_owned(),
        _ => format!("{clients} clients"),
    };
    writeln!(out, "\n{title}, {clients}")?;
    writeln!(out, "  {:<42} {:>10} {:>10} {:>9}", "", "nexus", "Restate", "ratio")?;
    let range = format!("  ({:.1} – {:.1})", ratios.lowest_throughput, ratios.highest_throughput);
    line(
        out,
        "requests/s",
        of(compared, |side| side.requests_per_second),
        0,
        Some(ratios.throughput),
        &range,
    )?;
    line(
        out,
        "p50 ms",
        of(compared, |side| side.p50_us / 1e3),
        2,
        Some(ratios.p50),
        "",
    )?;
    line(
        out,
        "p99 ms",
        of(compared, |side| side.p99_us / 1e3),
        2,
        Some(ratios.p99),
        "",
    )?;
    let parts = format!(
        "  (server {:.2} : {:.2}, service – : {:.2}, PostgreSQL {:.2} : {:.2}; clients {:.2} : {:.2})",
        nexus.cpu_s_per_thousand.server,
        restate.cpu_s_per_thousand.server,
        restate.cpu_s_per_thousand.service,
        nexus.cpu_s_per_thousand.postgres,
        restate.cpu_s_per_thousand.postgres,
        nexus.clients_cpu_s_per_thousand,
        restate.clients_cpu_s_per_thousand
    );
    line(
        out,
        "CPU s per 1,000 requests",
        of(compared, |side| side.cpu_s_per_thousand.all()),
        2,
        Some(ratios.cpu),
        &parts,
    )?;
    line(
        out,
        "memory MiB, all processes (PSS)",
        of(compared, |side| side.memory_mib),
        0,
        Some(ratios.memory),
        "",
    )?;
    if let (Some(ours), Some(theirs)) = (nexus.counts, restate.counts) {
        let commits = [ours.commits_per_request, theirs.commits_per_request];
        line(out, "PostgreSQL commits per request", commits, 3, None, "")?;
        let flushes = [ours, theirs].map(|side| side.postgres_flushes_per_request + side.log_flushes_per_request);
        let parts = format!(
            "  (of Restate's, {:.3} by its own stores)",
            theirs.log_flushes_per_request
        );
        line(out, "flushes to the disk per request", flushes, 3, None, &parts)?;
    }
    let disturbed = match compared.is_disturbed() {
        true => ": DISTURBED, measure again on an idle machine",
        false => "",
    };
    writeln!(
        out,
        "  cores kept busy by anything else meanwhile: {:.1}{disturbed}",
        compared.other_load
    )
}

fn of(compared: &Compared, value: impl Fn(&Figures) -> f64) -> [f64; 2] {
    [value(&compared.nexus), value(&compared.restate)]
}

fn line(
    out: &mut String,
    name: &str,
    [ours, theirs]: [f64; 2],
    digits: usize,
    ratio: Option<f64>,
    more: &str,
) -> fmt::Result {
    let ratio = ratio.map_or_else(String::new, |ratio| match ratio {
        ..1.0 => format!("{ratio:.3}"),
        _ => format!("{ratio:.1}"),
    });
    writeln!(
        out,
        "  {name:<42} {ours:>10.digits$} {theirs:>10.digits$} {ratio:>9}{more}"
    )
}
