//! `/metrics`: what is documented is exposed and the other way round, and it counts what happens.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use component_tests::{Nexus, Shop, workspace};

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";

/// Name and kind of every metric of the text.
fn kinds(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds = types.filter_map(|line| line.split_once(' '));
    kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// Name and kind of every row of the README's table.
fn documented() -> Result<BTreeSet<(String, String)>> {
    let readme = std::fs::read_to_string(workspace().join("host/metrics/README.md"))?;
    let (_, table) = readme.split_once("## Names").context("a table of names")?;
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
    });
    Ok(rows.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_under_the_names_that_are_documented() -> Result<()> {
    let nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    shop.buyer
        .client
        .keyed("once")
        .post(CHECKOUT, shop.checkout(2))
        .await?
        .data(200);
    let secret_path = "/api/v1/catalog/product-card?search=confidential";
    nexus.client().get(secret_path).await?;
    nexus.client().get("/nowhere/confidential").await?;

    let (text, samples) = nexus.scrape().await?;
    let documented = documented()?;
    // What has not happened yet has no combination of labels.
    let unknown: Vec<_> = kinds(&text).difference(&documented).cloned().collect();
    ensure!(unknown.is_empty(), "host/metrics/README.md does not list {unknown:?}");
    let silent: Vec<_> = documented
        .difference(&kinds(&text))
        .map(|(name, _)| name.clone())
        .collect();
    let quiet = [
        "nexus_append_failures_total",
        "nexus_instances_refused_total",
        "nexus_open_refused_total",
        "nexus_pauses_total",
        "nexus_retries_total",
        "nexus_sql_session_refused_total",
        "nexus_turns_refused_total",
    ];
    let missing: Vec<_> = silent.iter().filter(|name| !quiet.contains(&name.as_str())).collect();
    ensure!(missing.is_empty(), "documented and not exposed: {missing:?}");

    let sample = |name: &str| {
        samples
            .get(name)
            .copied()
            .with_context(|| format!("no {name} in\n{text}"))
    };
    let checkouts = "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_response_status_code=\"200\",http_route=\"/api/v1/order/...\"}";
    assert_eq!(sample(checkouts)?, 1.0);
    let nowhere = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"404\",http_route=\"_none\"}";
    assert_eq!(sample(nowhere)?, 1.0);
    ensure!(!text.contains("confidential"), "a path is no label");
    ensure!(sample("nexus_runs_total{component=\"order\",outcome=\"returned\"}")? >= 1.0);
    ensure!(sample("nexus_attempts_total{component=\"order\",outcome=\"returned\"}")? >= 1.0);
    let journal = sample("nexus_journal_bytes_total{component=\"order\"}")?;
    let business = sample("nexus_business_bytes_total{component=\"order\"}")?;
    ensure!(journal > business && business > 100.0, "{journal} and {business}");
    ensure!(sample("nexus_append_seconds_count{path=\"group\"}")? >= 1.0);
    ensure!(sample("nexus_append_batch_size_sum")? >= sample("nexus_append_batch_size_count")?);
    ensure!(sample("nexus_sql_sessions_open")? >= 1.0);
    ensure!(sample("nexus_instances_started_total{component=\"inventory\"}")? >= 1.0);
    assert_eq!(sample("nexus_instances_live{component=\"inventory\"}")?, 0.0);
    assert_eq!(sample("http_server_active_requests")?, 1.0, "this one");
    ensure!(sample("nexus_lease_left_seconds")? > 0.0);
    // What expires later is open until then.
    let mut open = samples
        .iter()
        .filter(|(name, _)| name.starts_with("nexus_invocations_open{status=\"running\""));
    ensure!(open.any(|(_, count)| *count >= 1.0), "{text}");
    ensure!(sample("process_resident_memory_bytes")? > 1e6 && sample("process_cpu_seconds_total")? > 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_make_more_and_more_of_them() -> Result<()> {
    let nexus = Nexus::start().await?;
    for number in 0..20 {
        nexus
            .client()
            .get(&format!("/api/v1/catalog/product-spu/{number}"))
            .await?;
        nexus.client().get(&format!("/somewhere/{number}")).await?;
    }
    let (_, before) = nexus.scrape().await?;
    for number in 20..60 {
        nexus
            .client()
            .get(&format!("/api/v1/catalog/product-spu/{number}"))
            .await?;
        nexus.client().get(&format!("/somewhere/{number}")).await?;
    }
    let (_, after) = nexus.scrape().await?;
    let names = |samples: &BTreeMap<String, f64>| {
        let names = samples
            .keys()
            .filter(|name| !name.contains("http_route=\"_none\"") || name.contains("404"));
        names.cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&after), names(&before));
    Ok(())
}
