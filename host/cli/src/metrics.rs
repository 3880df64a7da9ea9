//! Every metric of the host, registered. Their names are listed in `host/metrics/README.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use host_http::HttpMetrics;
use host_invoker::Invoker;
use host_metrics::{Exposition, Gauge, Observed, Registry, Series, register_process};
use host_runtime::Runtime;
use host_sql::Pools;
use host_store::Store;
use host_types::Clock;
use tokio::sync::Mutex;

/// Those who count.
pub(crate) struct Sources<'a> {
    pub(crate) http: &'a HttpMetrics,
    pub(crate) invoker: &'a Invoker,
    pub(crate) runtime: &'a Runtime,
    pub(crate) pools: &'a Arc<Pools>,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// All of them together, for `/metrics`.
pub(crate) fn exposition(sources: Sources<'_>) -> Exposition {
    let Sources {
        http,
        invoker,
        runtime,
        pools,
        store,
        clock,
    } = sources;
    let mut registry = Registry::default();
    http.register(&mut registry);
    invoker.register(&mut registry);
    runtime.register(&mut registry);
    pools.register(&mut registry);
    store.register(&mut registry);
    register_process(&mut registry);
    let counted = Arc::new(Counted {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        last_ns: Mutex::new(None),
        open: Series::gauges(["status", "component"]),
        truncated: AtomicBool::new(false),
        overdue_ms: AtomicU64::new(0),
    });
    counted.register(&mut registry);
    Exposition::new(registry).refreshed(move || {
        let counted = Arc::clone(&counted);
        Box::pin(async move { counted.refresh().await })
    })
}

/// What only the database knows, looked up when somebody asks, and seldom.
struct Counted {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    /// When it was last looked up.
    last_ns: Mutex<Option<u64>>,
    open: Series<Gauge, 2>,
    truncated: AtomicBool,
    overdue_ms: AtomicU64,
}

/// Whoever asks sooner gets the numbers of before.
const FRESH_NS: u64 = 10_000_000_000;

impl Counted {
    fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register(
            "nexus_invocations_open",
            "Open invocations of all nodes, by status and by the component they began in",
            self.open.clone(),
        );
        let counted = Arc::clone(self);
        registry.register(
            "nexus_invocations_open_truncated",
            "1 when there are more open invocations than are counted",
            Observed::gauge(move || f64::from(u8::from(counted.truncated.load(Ordering::Relaxed)))),
        );
        let counted = Arc::clone(self);
        registry.register(
            "nexus_scheduler_lag_seconds",
            "For how long what is due and in no node's hands has been waiting",
            Observed::gauge(move || counted.overdue_ms.load(Ordering::Relaxed) as f64 / 1_000.0),
        );
    }

    async fn refresh(&self) {
        let mut last_ns = self.last_ns.lock().await;
        let now_ns = self.clock.boot_ns();
        if last_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < FRESH_NS) {
            return;
        }
        // Also after a failure: a database that is in trouble is not asked more often.
        *last_ns = Some(now_ns);
        let counts = match self.store.open_counts().await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::debug!(%error, "open invocations cannot be counted");
                return;
            }
        };
        self.open.for_each(|gauge| {
            gauge.set(0);
        });
        for (status, component, count) in counts.counts {
            let gauge = self.open.of(&[status.as_str(), component.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.truncated.store(counts.truncated, Ordering::Relaxed);
        self.overdue_ms
            .store((counts.overdue_seconds * 1_000.0) as u64, Ordering::Relaxed);
    }
}
