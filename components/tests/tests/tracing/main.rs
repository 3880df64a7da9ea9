//! One trace over everything that a request leads to: in all components, in the attempt that follows a crash, on the node that follows.

mod collector;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use collector::{Collector, hex, orphans, said, told};
use component_tests::{ADDRESS, Audit, CHECKOUT, Nexus, NexusOptions, Opened, PaidShop, Shop};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const CARDS: &str = "/api/v1/catalog/product-card";
/// A checkout has fewer points at which it may die.
const POINTS: u32 = 20;
/// How long a restarted host may take to finish what the last one left.
const PATIENCE: Duration = Duration::from_secs(30);

fn trace_parent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// A call of a component, or something it did there: their names begin with whom is called.
fn calls<'a>(spans: &'a [Span], component: &str) -> Vec<&'a Span> {
    let is_of = |span: &&Span| span.name.split_once(':').is_some_and(|(callee, _)| callee == component);
    spans.iter().filter(is_of).collect()
}

fn is_attempt(span: &Span) -> bool {
    !said(span, "nexus.attempt").is_empty()
}

/// The last attempt of an invocation that only waits: none of its attempts came to an end.
fn waiting(spans: &[Span]) -> Option<&Span> {
    let is_suspended = |span: &Span| said(span, "nexus.suspended") == "true";
    let mut attempts = spans.iter().rev().filter(|span| is_attempt(span));
    attempts.find(|last| {
        let same = |span: &&Span| said(span, "nexus.invocation.id") == said(last, "nexus.invocation.id");
        let mut all = spans.iter().filter(|span| is_attempt(span)).filter(same);
        all.all(is_suspended)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_one_trace_through_all_its_components() -> Result<()> {
    let collector = Collector::start().await?;
    let nexus = Nexus::start_with(collector.options(&[])).await?;
    let shop = Shop::open(&nexus.client(), 10).await?;
    let buyer = shop.buyer.client.with_header("traceparent", &trace_parent());
    let answer = buyer.post(CHECKOUT, shop.checkout(2)).await?;
    answer.data(200);
    let invocation = answer.headers["x-invocation-id"].to_str()?;

    // What it began goes on, and some of that may still be under way.
    let is_whole =
        |spans: &[Span]| !named(spans, "POST /api/v1/order/...").is_empty() && orphans(spans, CALLER).is_empty();
    let spans = collector.trace(TRACE, is_whole).await?;
    let request = named(&spans, "POST /api/v1/order/...");
    let [request] = request[..] else {
        anyhow::bail!("one request: {request:?}")
    };
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(said(request, "http.response.status_code"), "200");
    assert_eq!(said(request, "nexus.invocation.id"), invocation);
    let attempts = spans.iter().filter(|span| said(span, "nexus.attempt") == "0");
    let attempt: Vec<_> = attempts
        .filter(|span| said(span, "nexus.invocation.id") == invocation)
        .collect();
    let [attempt] = attempt[..] else {
        anyhow::bail!("one attempt: {attempt:?}")
    };
    assert_eq!(
        (&*attempt.name, &attempt.parent_span_id),
        ("attempt order", &request.span_id)
    );

    // What the inventory did in its schema is within the call of it.
    let transactions = named(&spans, "nexus:sql/sql.transaction");
    let within = |call: &Span| transactions.iter().any(|span| span.parent_span_id == call.span_id);
    let lines: Vec<_> = spans.iter().map(told).collect();
    ensure!(calls(&spans, "inventory").into_iter().any(within), "{lines:#?}");
    ensure!(!calls(&spans, "payment-cod").is_empty(), "{lines:#?}");
    ensure!(within(attempt), "and its own: {lines:#?}");
    // Nothing of what was bought, by whom, and where to.
    let whole = format!("{spans:?}");
    let token = shop.buyer.client.token().context("she is signed in")?;
    for secret in [ADDRESS, CHECKOUT, &*shop.sku, token] {
        ensure!(!whole.contains(secret), "{secret} in {whole}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_where_the_process_was_killed() -> Result<()> {
    let (first, second) = (Collector::start().await?, Collector::start().await?);
    let mut world = PaidShop::start(&[]).await?;
    world.restart(&first.variables()).await?;
    let buyer = world.buyer().with_header("traceparent", &trace_parent());
    let answer = buyer.post(CHECKOUT, world.checkout(1)).await?;
    let opened = Opened::read(&answer, "checkout_session_id");

    // What waits for the payment is given up, and all that was done until then is told.
    let is_told = |spans: &[Span]| {
        let is_answered = !named(spans, "POST /api/v1/order/...").is_empty();
        is_answered && waiting(spans).is_some() && orphans(spans, CALLER).is_empty()
    };
    let before = first.trace(TRACE, is_told).await?;
    let suspended = waiting(&before).context("an invocation that waits")?;
    let invocation = said(suspended, "nexus.invocation.id");
    world.nexus.kill()?;
    world.restart(&second.variables()).await?;
    world.settles(&opened).await?;

    // Nothing but the journal has gone from the one process to the other.
    let of_invocation = |span: &&Span| is_attempt(span) && said(span, "nexus.invocation.id") == invocation;
    let after = second
        .trace(TRACE, |spans| spans.iter().any(|span| of_invocation(&span)))
        .await?;
    let resumed = after.iter().find(of_invocation).context("the attempt that goes on")?;
    assert_eq!(resumed.parent_span_id, suspended.parent_span_id);
    let node = |span: &Span| said(span, "nexus.node.id");
    assert_ne!(node(resumed), node(suspended));
    let lines: Vec<_> = before.iter().chain(&after).map(told).collect();
    for component in ["inventory", "payment-sandbox"] {
        ensure!(!calls(&before, component).is_empty(), "{component}: {lines:#?}");
    }

    // The gateway was told which of these spans asked.
    let asked = named(&before, "wasi:http/outgoing-handler.handle");
    let [asked] = asked[..] else {
        anyhow::bail!("one charge: {asked:?}")
    };
    assert_eq!(asked.kind(), SpanKind::Client);
    assert_eq!(
        world.gateway.trace_parents(),
        [format!("00-{TRACE}-{}-01", hex(&asked.span_id))]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_crash_keeps_its_trace_and_repeats_no_span() -> Result<()> {
    let collector = Collector::start().await?;
    let mut nexus = Nexus::start().await?;
    let shop = Shop::open(&nexus.client(), 100).await?;
    let audit = Audit::open(nexus.database_url()).await?;
    // Past its first commit and before its last: which point that is depends on what a checkout does.
    let mut points = 3..=POINTS;
    let (key, trace) = loop {
        let point = points.next().context("no point lies between two transactions")?;
        let (key, trace) = (format!("point-{point}"), format!("{point:032x}"));
        nexus
            .restart(collector.options(&[("NEXUS_DIE_AT", &point.to_string())]))
            .await?;
        let client = shop.at(nexus.url()).buyer.client.keyed(&key);
        let buyer = client.with_header("traceparent", &format!("00-{trace}-{CALLER}-01"));
        let died = buyer.post(CHECKOUT, shop.checkout(1)).await;
        ensure!(died.is_err(), "it died on the way: {died:?}");
        nexus.ended().await?;
        let committed = format!(
            "SELECT count(*) FROM host_view.journal_entry WHERE command = 'transaction' AND invocation_id IN
                 (SELECT invocation_id FROM host_view.journal_entry
                  WHERE trace_parent LIKE '00-{trace}-%' AND target LIKE '%:nexus:http/handler.handle')"
        );
        if audit.count(&committed).await? > 0 {
            break (key, trace);
        }
    };
    nexus.restart(collector.options(&[])).await?;
    let client = shop.at(nexus.url()).buyer.client.keyed(&key);
    let answer = client
        .post_until_answered(CHECKOUT, &shop.checkout(1), PATIENCE)
        .await?;
    answer.data(200);
    audit.settled().await?;

    let is_second = |span: &&Span| span.name == "attempt order" && said(span, "nexus.attempt") == "1";
    let spans = collector
        .trace(&trace, |spans| spans.iter().any(|span| is_second(&span)))
        .await?;
    let attempt = spans.iter().find(is_second).context("the second attempt")?;

    // Of the transactions that were durable before, none is told again; of the others, all are.
    let invocation = said(attempt, "nexus.invocation.id");
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
        .filter(|span| said(span, "nexus.invocation.id") == invocation)
        .filter(|span| span.start_time_unix_nano >= attempt.start_time_unix_nano)
        .map(|span| said(span, "nexus.position"))
        .collect();
    told.sort();
    new.sort();
    assert_eq!(told, new);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_exports_when_it_is_told_to_and_what_has_ended_before_it_stops() -> Result<()> {
    let collector = Collector::start().await?;
    let mut nexus = Nexus::start_with(collector.options(&[("OTEL_SDK_DISABLED", "true")])).await?;
    assert_eq!(nexus.client().get(CARDS).await?.status, 200);
    ensure!(nexus.terminate().await?.success());
    assert_eq!(collector.spans(), []);

    // Never but at the end.
    let seldom = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    nexus.restart(collector.options(&seldom)).await?;
    let answer = nexus.client().get(CARDS).await?;
    assert_eq!(answer.status, 200);
    ensure!(nexus.terminate().await?.success());
    let spans = collector.spans();
    let requests = named(&spans, "GET /api/v1/catalog/...");
    let [request] = requests[..] else {
        anyhow::bail!("one request: {requests:?}")
    };
    ensure!(
        named(&spans, "attempt catalog")
            .iter()
            .any(|span| span.parent_span_id == request.span_id)
    );
    // Whoever knows the invocation finds its trace.
    let invocation = answer.headers["x-invocation-id"].to_str()?.replace('-', "");
    assert_eq!(hex(&request.trace_id)[..16], invocation[..16]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_silent_is_nobodys_concern_but_the_logs() -> Result<()> {
    let mut nexus = Nexus::start_with(NexusOptions::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]))
    .await?;
    let log = nexus.log()?;
    ensure!(
        log.contains("spans are not exported") && log.contains("http/protobuf"),
        "what cannot be done is said: {log}"
    );
    nexus.kill()?;

    // It takes connections and requests, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", silent.local_addr()?);
    for url in ["http://127.0.0.1:9", &url] {
        nexus
            .restart(NexusOptions::with(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
            ]))
            .await?;
        for _ in 0..50 {
            assert_eq!(nexus.client().get(CARDS).await?.status, 200);
        }
        let stopped = tokio::time::timeout(PATIENCE, nexus.terminate()).await;
        ensure!(stopped.context("it waits for nobody for long")??.success());
        let failures = nexus.log()?.matches("spans cannot be exported").count();
        ensure!(failures > 0, "{}", nexus.log()?);
    }
    assert_eq!(nexus.log()?.matches("spans cannot be exported").count(), 2, "once each");
    Ok(())
}
