//! One trace over everything that a request leads to: in all components, and in the attempt that follows a crash.

mod collector;

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use collector::{Collector, hex, said};
use component_tests::{Audit, Nexus, NexusOptions, Shop};
use opentelemetry_proto::tonic::trace::v1::Span;

const CHECKOUT: &str = "/api/v1/order/buyer/checkout";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

fn trace_parent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The request is the last to end.
fn has_request(spans: &[Span]) -> bool {
    spans.iter().any(|span| span.name.starts_with("POST "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_one_trace_through_all_its_components() -> Result<()> {
    let collector = Collector::start().await?;
    let nexus = Nexus::start_with(collector.options()).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let buyer = shop.buyer.client.with_header("traceparent", &trace_parent());
    let answer = buyer.post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    let invocation = answer.headers["x-invocation-id"].to_str()?;

    let spans = collector.trace(TRACE, has_request).await?;
    let ids: HashSet<String> = spans.iter().map(|span| hex(&span.span_id)).collect();
    assert_eq!(ids.len(), spans.len());
    let request = named(&spans, "POST /api/v1/order/...");
    let [request] = request[..] else {
        anyhow::bail!("one request: {request:?}")
    };
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(said(request, "http.response.status_code"), "200");
    assert_eq!(said(request, "nexus.invocation.id"), invocation);
    let attempt = named(&spans, "attempt order");
    let [attempt] = attempt[..] else {
        anyhow::bail!("one attempt: {attempt:?}")
    };
    assert_eq!(attempt.parent_span_id, request.span_id);
    ensure!(attempt.links.is_empty(), "nothing came before it");
    for span in &spans {
        let parent = hex(&span.parent_span_id);
        ensure!(
            parent == CALLER || ids.contains(&parent),
            "{} belongs to nothing",
            span.name
        );
    }

    // What the inventory did in its schema is within the call of it.
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("inventory:"))
        .collect();
    ensure!(!calls.is_empty(), "{spans:?}");
    let transactions = named(&spans, "nexus:sql/sql.transaction");
    let within = |call: &Span| transactions.iter().any(|span| span.parent_span_id == call.span_id);
    ensure!(calls.iter().any(|call| within(call)));
    ensure!(
        transactions.iter().any(|span| span.parent_span_id == attempt.span_id),
        "and its own"
    );
    ensure!(spans.iter().any(|span| span.name.starts_with("payment-")), "{spans:?}");
    // Nothing of what was bought, by whom, and where to.
    let whole = format!("{spans:?}");
    ensure!(!whole.contains("Nguyen Hue") && !whole.contains(CHECKOUT), "{whole}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_crash_keeps_its_trace_and_repeats_no_span() -> Result<()> {
    let collector = Collector::start().await?;
    let mut nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    nexus.kill()?;
    // Past the first commit, and far from the last.
    let mut armed = collector.options();
    armed.environment.push(("NEXUS_DIE_AT".into(), "3".into()));
    nexus.restart(armed).await?;
    let at = shop.at(nexus.url());
    let buyer = at
        .buyer
        .client
        .keyed("once")
        .with_header("traceparent", &trace_parent());
    let died = buyer.post(CHECKOUT, shop.checkout(2)).await;
    ensure!(died.is_err(), "it died on the way: {died:?}");
    drop(nexus.ended().await?);
    let before = collector.count();

    nexus.restart(collector.options()).await?;
    let client = shop.at(nexus.url()).buyer.client.keyed("once");
    let answer = client
        .post_until_answered(CHECKOUT, &shop.checkout(2), PATIENCE)
        .await?;
    answer.data(200);
    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;

    let is_second = |span: &&Span| span.name == "attempt order" && said(span, "nexus.attempt") == "1";
    let attempt_of = |spans: &[Span]| spans.iter().find(is_second).cloned();
    let spans = collector.trace(TRACE, |spans| attempt_of(spans).is_some()).await?;
    ensure!(collector.count() > before);
    let attempt = attempt_of(&spans).context("the second attempt")?;
    let [link] = &attempt.links[..] else {
        anyhow::bail!("it is linked to what came before: {attempt:?}")
    };
    assert_eq!(hex(&link.trace_id), TRACE);
    assert_eq!(
        (&link.span_id, &attempt.parent_span_id),
        (&attempt.parent_span_id, &link.span_id)
    );

    // Of the transactions that were durable before, none is told again; of the others, all are.
    let invocation = said(&attempt, "nexus.invocation.id");
    let place = "scope || '#' || number";
    let recorded = |when: &str| {
        format!(
            "SELECT {place} FROM host_view.journal_entry WHERE invocation_id = '{invocation}' AND command = 'transaction' AND entry_index {when}
                 (SELECT min(entry_index) FROM host_view.journal_entry WHERE invocation_id = '{invocation}' AND kind = 'fence') ORDER BY 1"
        )
    };
    let (old, mut new) = (audit.texts(&recorded("<")).await?, audit.texts(&recorded(">")).await?);
    ensure!(
        !old.is_empty() && !new.is_empty(),
        "it died between transactions: {old:?}, {new:?}"
    );
    let mut told: Vec<String> = named(&spans, "nexus:sql/sql.transaction")
        .into_iter()
        .filter(|span| span.start_time_unix_nano >= attempt.start_time_unix_nano)
        .map(|span| said(span, "nexus.position"))
        .collect();
    told.sort();
    new.sort();
    assert_eq!(told, new);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_told_to_export_exports_nothing_and_one_that_cannot_says_so() -> Result<()> {
    let collector = Collector::start().await?;
    let mut disabled = collector.options();
    disabled.environment.push(("OTEL_SDK_DISABLED".into(), "true".into()));
    let mut nexus = Nexus::start_with(disabled).await?;
    Shop::open(&nexus.client(), 1).await?;
    nexus.terminate().await?;
    assert_eq!(collector.count(), 0);

    let mut grpc = collector.options();
    grpc.environment
        .push(("OTEL_EXPORTER_OTLP_PROTOCOL".into(), "grpc".into()));
    let refused = Nexus::start_with(grpc)
        .await
        .err()
        .context("it does not start")?
        .to_string();
    ensure!(
        refused.contains("OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"") && refused.contains("http/protobuf"),
        "{refused}"
    );

    // A collector that is away is nobody's concern but the log's; what has ended is exported before the host is gone.
    nexus
        .restart(NexusOptions {
            environment: vec![("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "http://127.0.0.1:9".into())],
        })
        .await?;
    assert_eq!(nexus.client().get("/health").await?.status, 200);
    nexus.kill()?;
    nexus.restart(collector.options()).await?;
    nexus.client().get("/api/v1/catalog/product-card").await?;
    nexus.terminate().await?;
    ensure!(collector.count() >= 2, "the request and its attempt");
    Ok(())
}
