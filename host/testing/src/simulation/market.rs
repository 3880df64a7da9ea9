//! The components of a small market, as native handlers: orders, stock, payment, mail. Written as a module's author would write them,
//! without a thought for crashes.

mod desk;
mod flows;
mod orders;
mod payment;
mod stock;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use host_invoker::{Deploy, Handlers, NotBuilt};
use host_journal::RetryPolicy;
use host_manifest::{CronRule, Overlap, Schedule};
use host_recorder::{Answer, Delivered, Recorder, ScheduledInput};
use host_store::{Deployment, Subscription};
use host_types::{ComponentId, DeploymentNumber, Fault, HttpRequest, HttpResponse};

use super::instance::{Instance, NodeView};
use super::sabotage::Sabotage;
use super::transaction::{Transaction, is_committed};

pub(crate) use desk::{COMES, DESK};
pub(crate) use flows::{FLOW, GIVEN_UP, OPEN, ORDER};
pub(crate) use orders::{CHECKOUT, CLOSED, CONFIRM, NEW, PAID, REFUNDED, REJECT, RETURN, SETTLED, WEBHOOK, paid};
pub(crate) use stock::{CONFIRMED, HELD, RELEASED};

/// Who has money.
pub(crate) mod account {
    pub(crate) const WORLD: u64 = 1;
    pub(crate) const ESCROW: u64 = 2;
    pub(crate) const SELLER: u64 = 3;
    pub(crate) const PLATFORM: u64 = 4;
    pub(crate) const ALL: [u64; 4] = [WORLD, ESCROW, SELLER, PLATFORM];
}

/// The component that answers requests.
pub(crate) const SHOP: &str = "shop";
/// What a call comes to.
pub(crate) const DONE: i64 = 0;
pub(crate) const REFUSED: i64 = 1;

/// A wait keeps its instance for so long.
const WAIT_HOLD: Duration = Duration::from_millis(400);

/// The clock's lines, and what their runs leave.
const TICKS: [&str; 2] = ["count", "tidy"];
pub(crate) const TICK: &str = "tick";
/// The only subscription, and what it leaves.
pub(crate) const HEARD: &str = "heard";
/// One order in so many is not taken note of in bad times.
const MOODY: i64 = 4;

/// Read once: it takes longer than a node's start.
static RULES: LazyLock<Vec<CronRule>> = LazyLock::new(|| {
    let rule = |(name, overlap): (&str, Overlap)| {
        let schedule = Schedule::parse("* * * * *").expect("every minute is a schedule");
        CronRule::new(name.into(), schedule, overlap)
    };
    TICKS
        .into_iter()
        .zip([Overlap::Skip, Overlap::Start])
        .map(rule)
        .collect()
});
static CLERK: LazyLock<ComponentId> = LazyLock::new(|| "clerk".into());

/// The components on one node.
pub(crate) struct Market(pub(crate) Arc<NodeView>);

impl Market {
    fn instance(&self, recorder: Recorder) -> Instance {
        Instance {
            recorder,
            node: Arc::clone(&self.0),
        }
    }
}

const RETRIES: RetryPolicy = RetryPolicy {
    attempts: 5,
    initial_ms: 100,
    factor: 2.0,
    max_ms: 1_000,
    deadline_ms: None,
};

impl Handlers for Market {
    fn number(&self) -> DeploymentNumber {
        DeploymentNumber(1)
    }

    fn has(&self, _: &ComponentId) -> bool {
        true
    }

    fn memory_limit_bytes(&self, _: &ComponentId) -> u64 {
        64 << 20
    }

    fn wait_hold(&self, _: &ComponentId) -> Duration {
        WAIT_HOLD
    }

    fn retry_of_request(&self, _: &ComponentId, _: &str, _: &str) -> RetryPolicy {
        RETRIES
    }

    fn retry_of_function(&self, _: &ComponentId, _: &str) -> RetryPolicy {
        RETRIES
    }

    fn is_committed(&self, record: &[u8]) -> bool {
        is_committed(record)
    }

    fn cron(&self) -> Vec<(&ComponentId, &CronRule)> {
        RULES.iter().map(|rule| (&*CLERK, rule)).collect()
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription {
            component: CLERK.clone(),
            name: HEARD.into(),
            patterns: vec!["order.*".into()],
            blocks: true,
        }]
    }

    fn call_http<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        _: &'a ComponentId,
        request: HttpRequest,
    ) -> Answer<'a, Result<HttpResponse, Fault>> {
        Box::pin(async move {
            let instance = self.instance(recorder);
            let arguments: Vec<i64> =
                minicbor::decode(&request.body).map_err(|error| Fault::Guest(error.to_string()))?;
            let (status, body) = match (request.path.as_str(), &arguments[..]) {
                (CHECKOUT, [number, item, quantity]) => {
                    orders::checkout(&instance, *number, *item, *quantity, None).await?
                }
                (ORDER, [number, item, quantity, until_opened]) => {
                    flows::order(&instance, &[*number, *item, *quantity], *until_opened == 1).await?
                }
                (RETURN | REJECT, [order]) => orders::give_back(&instance, *order).await?,
                (CONFIRM, [order]) => orders::confirm(&instance, *order).await?,
                (WEBHOOK, [order, state]) => orders::notified(&instance, *order, *state).await?,
                (path, arguments) => (404, format!("{path} {arguments:?}")),
            };
            Ok(HttpResponse {
                status,
                headers: Vec::new(),
                body: body.into_bytes().into(),
            })
        })
    }

    fn call_scheduled<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        _: &'a ComponentId,
        input: ScheduledInput,
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Box::pin(async move {
            let instance = self.instance(recorder);
            if TICKS.contains(&input.name.as_str()) {
                tick(&instance).await?;
                return Ok(Ok(()));
            }
            let order = decode(&input.argument)?;
            match input.name.as_str() {
                stock::EXPIRE => stock::expire(&instance, order).await?,
                orders::PAY_OUT => orders::pay_out(&instance, order).await?,
                name => return Ok(Err(format!("nothing is called {name}"))),
            }
            Ok(Ok(()))
        })
    }

    fn call_sent<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        _: &'a ComponentId,
        interface: &'a str,
        _: &'a str,
        params: &'a [u8],
    ) -> Answer<'a, Result<Vec<u8>, Fault>> {
        Box::pin(async move {
            let instance = self.instance(recorder);
            if FLOW.starts_with(interface) {
                return flows::place(&instance, params).await;
            }
            let order = decode(params)?;
            let mut letter = instance.transaction("send a letter").await?;
            letter.log("letter", vec![order]);
            letter.commit().await?;
            Ok(Vec::new())
        })
    }

    fn call_subscriber<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        _: &'a ComponentId,
        delivered: Delivered,
    ) -> Answer<'a, Result<(), Fault>> {
        Box::pin(async move {
            let instance = self.instance(recorder);
            let order = decode(&delivered.payload)?;
            // Until things are better: retries come to an end, and an operator has it delivered once more.
            if instance.is_rough() && order % MOODY == 0 {
                return Err(Fault::Transient("not now".into()));
            }
            let mut hearing = instance.transaction("hear").await?;
            hearing.log(HEARD, vec![order]);
            hearing.commit().await
        })
    }

    fn call_compensate<'a>(
        self: Arc<Self>,
        recorder: Recorder,
        _: &'a ComponentId,
        name: &'a str,
        argument: &'a [u8],
    ) -> Answer<'a, Result<Result<(), String>, Fault>> {
        Box::pin(async move {
            let instance = self.instance(recorder);
            if instance.node.sabotage == Some(Sabotage::ForgetCompensations) {
                return Ok(Ok(()));
            }
            orders::undo(&instance, name, decode(argument)?).await?;
            Ok(Ok(()))
        })
    }
}

/// What every tick does: it takes its turn at the desk, and leaves a line.
async fn tick(instance: &Instance) -> Result<(), Fault> {
    let run = (instance.recorder.invocation().0.as_u128() as u64 >> 1).cast_signed();
    desk::work(instance, run).await?;
    let mut ticking = instance.transaction("tick").await?;
    ticking.log(TICK, vec![run]);
    ticking.commit().await
}

/// There is one deployment, and it is there.
pub(crate) struct Nothing;

impl Deploy for Nothing {
    fn deploy<'a>(
        &'a self,
        stored: &'a Deployment,
        _: &'a dyn host_invoker::FetchRevisions,
    ) -> Answer<'a, Result<Arc<dyn Handlers>, NotBuilt>> {
        Box::pin(async move {
            Err(NotBuilt {
                reason: format!("there is no deployment {}", stored.number),
                is_transient: false,
            })
        })
    }
}

/// Money changes hands: in the books, and as a line of its own.
async fn transfer(transaction: &mut Transaction, order: i64, from: u64, to: u64, amount: i64) -> Result<(), Fault> {
    for (account, change) in [(from, -amount), (to, amount)] {
        let balance = transaction.read("account", account).await?.map_or(0, |row| row[0]);
        transaction.write("account", account, vec![balance + change]);
    }
    transaction.log("transfer", vec![order, from as i64, to as i64, amount]);
    Ok(())
}

fn decode(argument: &[u8]) -> Result<i64, Fault> {
    minicbor::decode(argument).map_err(|error| Fault::Guest(error.to_string()))
}
