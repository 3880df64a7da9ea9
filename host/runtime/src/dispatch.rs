//! An import of one component answered by an export of another, as a recorded call: in this process, into a fresh instance of the
//! revision the invocation is pinned to.

use std::borrow::Cow;
use std::sync::Arc;

use host_engine::Engine;
use host_journal::{WorkflowEnd, WorkflowKey};
use host_link::{AttachError, Handler, Signature, define_import};
use host_manifest::{Answer, Component as Granted, Delivery, InterfaceName};
use host_recorder::{Attached, CallStep, Entered, Outgoing, Recorder, Started, Workflow};
use host_types::{ComponentId, Fault};
use wasmtime::StoreContextMut;
use wasmtime::component::{Component, Linker};

use crate::Error;
use crate::begun::{self, Begun};
use crate::capabilities::{PLATFORM, STOCK_PLATFORM};
use crate::deployment::Deployment;
use crate::instance::InstanceState;

/// Calls nest this deep at most.
const MAX_DEPTH: usize = 32;

/// Where the calls of one imported function go.
pub(crate) struct Route {
    /// What the answering component exports.
    pub(crate) interface: String,
    pub(crate) function: String,
    /// As the importing component has it.
    pub(crate) signature: Arc<Signature>,
    to: To,
    pub(crate) delivery: Delivery,
}

enum To {
    /// One component, with the name of the call in the journal.
    Component(ComponentId, String),
    /// The provider the call names.
    Provider(Vec<ComponentId>),
}

/// Defines every import of the component that the host does not answer itself. `handler` makes what answers a route's calls.
pub(crate) fn link<T: Send + 'static>(
    engine: &Engine,
    linker: &mut Linker<T>,
    granted: &Granted,
    component: &Component,
    handler: impl Fn(Arc<Route>) -> Result<Handler<T>, String>,
) -> Result<(), Error> {
    let refused = |reason: String| Error::Link {
        component: granted.id.clone(),
        reason,
    };
    for interface in host_engine::interfaces(engine, component).imports {
        let functions = host_engine::imported_functions(engine, component, &interface);
        if functions.is_empty() || is_platform(&interface) {
            continue;
        }
        let name = InterfaceName::parse(&interface).map_err(|error| refused(error.to_string()))?;
        let (meant, delivery) = name.delivery();
        let meant = meant.to_string();
        let answer = granted.answer(&name).ok_or_else(|| {
            refused(format!(
                "nothing answers its import {interface}: add a line to [component.{}.dependencies]",
                granted.id
            ))
        })?;
        let mut instance = linker
            .instance(&interface)
            .map_err(|error| refused(error.to_string()))?;
        for (function, ty) in functions {
            let qualified = format!("{interface}.{function}");
            let signature = Signature::new(&qualified, &ty).map_err(|error| refused(error.to_string()))?;
            // A call that is begun is recorded as one that is made: which of the two it is shows in what comes next.
            let told = match delivery {
                Delivery::Begin | Delivery::Finish => format!("{meant}.{function}"),
                Delivery::Call | Delivery::Send | Delivery::Schedule | Delivery::Workflow | Delivery::Attach => {
                    qualified.clone()
                }
            };
            let (exported, to) = match answer {
                Answer::Component { component, export } => {
                    let exported = export.map_or_else(|| meant.clone(), ToString::to_string);
                    (
                        exported,
                        To::Component(component.clone(), format!("{component}:{told}")),
                    )
                }
                Answer::Providers(_) if !matches!(delivery, Delivery::Call | Delivery::Begin | Delivery::Finish) => {
                    return Err(refused(format!(
                        "{qualified} is answered by providers, which are only called"
                    )));
                }
                // Whoever was named when the call was begun.
                Answer::Providers(components) if signature.has_target() || delivery == Delivery::Finish => {
                    (meant.clone(), To::Provider(components.to_vec()))
                }
                Answer::Providers(_) => {
                    return Err(refused(format!(
                        "{qualified} is answered by providers, but its first parameter is no `nexus:link/types.target` to choose one",
                    )));
                }
            };
            let route = Arc::new(Route {
                interface: exported,
                function: function.clone(),
                signature: Arc::new(signature),
                to,
                delivery,
            });
            let signature = Arc::clone(&route.signature);
            let handler = handler(route).map_err(refused)?;
            let defined = define_import(&mut instance, &function, &signature, handler);
            defined.map_err(|error| refused(error.to_string()))?;
        }
    }
    Ok(())
}

/// What answers a module's calls.
pub(crate) fn recorded(route: Arc<Route>) -> Result<Handler<InstanceState>, String> {
    Ok(Arc::new(
        move |mut context: StoreContextMut<'_, InstanceState>, params| match route.delivery {
            Delivery::Begin => {
                let begun = begin(context.data_mut(), &route, params);
                Box::pin(std::future::ready(begun.map_err(wasmtime::Error::new)))
            }
            Delivery::Finish => {
                let state = context.data_mut();
                let recorder = state.recorder.clone();
                let taken = finish(state, &route, &params);
                Box::pin(async move {
                    let outcome = match taken {
                        Ok(begun) => begun.outcome(&recorder).await,
                        Err(fault) => Err(recorder.attempt().fail(fault)),
                    };
                    outcome.map_err(wasmtime::Error::new)
                })
            }
            Delivery::Call | Delivery::Send | Delivery::Schedule | Delivery::Workflow | Delivery::Attach => {
                let state = context.data();
                let (deployment, recorder) = (Arc::clone(&state.deployment), state.recorder.clone());
                let route = Arc::clone(&route);
                Box::pin(async move {
                    call(&deployment, &recorder, &route, params)
                        .await
                        .map_err(wasmtime::Error::new)
                })
            }
        },
    ))
}

impl Route {
    fn name(&self) -> String {
        format!("{}.{}", self.interface, self.function)
    }

    /// Who answers this call, and its name in the journal.
    pub(crate) fn resolve(&self, params: &[u8]) -> Result<(&ComponentId, Cow<'_, str>), Fault> {
        let (interface, function) = (&self.interface, &self.function);
        match &self.to {
            To::Component(component, target) => Ok((component, Cow::Borrowed(target.as_str()))),
            To::Provider(granted) => {
                let named = self
                    .signature
                    .target(params)
                    .map_err(|error| Fault::Trap(error.to_string()))?
                    .unwrap_or_default();
                let component = granted.iter().find(|component| component.as_str() == named);
                let component = component.ok_or_else(|| {
                    // Any text at all, as long as the guest likes.
                    let named = &named[..named.floor_char_boundary(64)];
                    Fault::Guest(format!(
                        "{interface}.{function} was sent to {named:?}, which is not among the granted providers"
                    ))
                })?;
                Ok((component, format!("{component}:{interface}.{function}").into()))
            }
        }
    }
}

/// Every import must be answered by an export of the same shape, before anything runs.
pub(crate) fn check(
    engine: &Engine,
    granted: &Granted,
    component: &Component,
    deployment: &Deployment,
) -> Result<(), Error> {
    let refused = |reason: String| Error::Link {
        component: granted.id.clone(),
        reason,
    };
    for interface in host_engine::interfaces(engine, component).imports {
        if is_platform(&interface) {
            continue;
        }
        let Ok(name) = InterfaceName::parse(&interface) else {
            continue;
        };
        let (meant, delivery) = name.delivery();
        let (answering, exported) = match granted.answer(&name) {
            Some(Answer::Component { component, export }) => (
                std::slice::from_ref(component),
                export.map_or_else(|| meant.to_string(), ToString::to_string),
            ),
            Some(Answer::Providers(components)) => (components, meant.to_string()),
            None => continue,
        };
        for (function, ty) in host_engine::imported_functions(engine, component, &interface) {
            let qualified = format!("{interface}.{function}");
            let wanted = Signature::new(&qualified, &ty).map_err(|error| refused(error.to_string()))?;
            for id in answering {
                let offered = deployment
                    .component(id)
                    .and_then(|callee| callee.export(&exported, &function));
                match offered {
                    // The manifest names none that it has not got; one that it had is missed by who calls it.
                    None if !deployment.app().components.contains_key(id) => {}
                    None if deployment.is_streamed(id) => {
                        return Err(refused(format!(
                            "imports {qualified} from {id}, whose answers cannot be journaled: it brings WASI 0.3 or answers \
                             `wasi:http` itself; build it without, or ask it over HTTP"
                        )));
                    }
                    None => return Err(refused(format!("imports {qualified}, which {id} does not export"))),
                    Some(offered) if !fits(delivery, &wanted, &offered.signature) => {
                        return Err(refused(format!(
                            "imports {qualified} in another shape than {id} exports it"
                        )));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}

fn fits(delivery: Delivery, wanted: &Signature, offered: &Signature) -> bool {
    match delivery {
        Delivery::Call => offered.hash() == wanted.hash(),
        Delivery::Send => wanted.sends(offered),
        Delivery::Schedule => wanted.schedules(offered),
        Delivery::Begin => wanted.begins(offered),
        Delivery::Finish => wanted.finishes(offered),
        Delivery::Workflow => wanted.starts(offered),
        Delivery::Attach => wanted.attaches(offered),
    }
}

fn is_platform(interface: &str) -> bool {
    let package = |name: &str| name.split('@').next().map(str::to_owned);
    let mut offered = PLATFORM.iter().chain(STOCK_PLATFORM);
    offered.any(|name| package(name) == package(interface)) || interface.starts_with("wasi:")
}

async fn call(
    deployment: &Arc<Deployment>,
    recorder: &Recorder,
    route: &Route,
    params: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    let Route {
        interface,
        function,
        signature,
        delivery,
        ..
    } = route;
    let (callee, target) = route.resolve(&params)?;
    let trap = |error: host_link::Error| Fault::Trap(error.to_string());
    let outgoing = |params: Vec<u8>| Outgoing {
        component: callee.clone(),
        function: format!("{interface}.{function}"),
        input: params.into(),
        memory_limit_bytes: deployment.memory_limit_bytes(callee),
        within_ms: deployment.deadline_of_function(callee, &format!("{interface}.{function}")),
    };
    let key = |id| WorkflowKey::new(callee.clone(), interface, function, id);
    match delivery {
        // Those that are begun are answered elsewhere.
        Delivery::Call | Delivery::Begin | Delivery::Finish => {}
        Delivery::Send => {
            let sent = recorder.send(&target, outgoing(params), 0)?;
            return Ok(host_link::text_result(&sent.to_string()));
        }
        Delivery::Schedule => {
            let (delay_ms, params) = host_link::split_delay(&params).map_err(trap)?;
            let sent = recorder.send(&target, outgoing(params), delay_ms)?;
            return Ok(host_link::text_result(&sent.to_string()));
        }
        Delivery::Workflow => {
            let (id, params) = host_link::split_workflow(&params).map_err(trap)?;
            let workflow = Workflow {
                key: key(id),
                retention_ms: deployment.workflow_retention_ms(callee),
            };
            let started = recorder.start_workflow(&target, outgoing(params), workflow).await?;
            let (is_new, invocation) = match started {
                Started::Now(invocation) => (true, invocation),
                Started::Before(invocation) => (false, invocation),
            };
            return Ok(host_link::started_result(is_new, &invocation.to_string()));
        }
        Delivery::Attach => {
            let (id, timeout_ms) = host_link::attach_params(&params).map_err(trap)?;
            let attached = recorder
                .attach(&target, key(id), timeout_ms, signature.knows_circles())
                .await?;
            return Ok(signature.attach_result(match &attached {
                Attached::Ended(WorkflowEnd::Returned(returned)) => Ok(returned),
                Attached::Ended(WorkflowEnd::Cancelled) => Err(AttachError::Cancelled),
                Attached::TimedOut => Err(AttachError::TimedOut),
                Attached::Unknown => Err(AttachError::NotFound),
                Attached::Circle => Err(AttachError::Circle),
            }));
        }
    }
    check_depth(recorder, &target)?;
    match recorder.call(&target, &params)? {
        CallStep::Recorded(answer) => Ok(answer.into()),
        CallStep::Enter(entered) => {
            let recorder = entered.callee();
            enter(deployment, entered, recorder, route, callee, &params).await
        }
    }
}

/// Makes a call that is not recorded as returned. `recorder` is what the callee is given.
pub(crate) async fn enter(
    deployment: &Arc<Deployment>,
    entered: Entered,
    recorder: Recorder,
    route: &Route,
    callee: &ComponentId,
    params: &[u8],
) -> Result<Vec<u8>, Fault> {
    let answer = deployment
        .call_export(recorder.clone(), callee, &route.interface, &route.function, params)
        .await?;
    entered.returned(answer.clone().into())?;
    recorder.release().await?;
    Ok(answer)
}

fn check_depth(recorder: &Recorder, target: &str) -> Result<(), Fault> {
    match recorder.depth() < MAX_DEPTH {
        true => Ok(()),
        false => Err(Fault::Guest(format!("{target} would be call {MAX_DEPTH} deep"))),
    }
}

/// Begins a call; returns its number.
fn begin(state: &mut InstanceState, route: &Arc<Route>, params: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let (callee, target) = route.resolve(&params)?;
    check_depth(&state.recorder, &target)?;
    state.begun.check_room(&target, params.len())?;
    let begun = match state.recorder.call(&target, &params)? {
        CallStep::Recorded(answer) => Begun::Ended(answer),
        CallStep::Enter(entered) => {
            let work = begun::Call {
                deployment: Arc::clone(&state.deployment),
                caller: state.recorder.clone(),
                entered,
                route: Arc::clone(route),
                callee: callee.clone(),
                params,
            };
            Begun::Beside(state.recorder.beside(work.into()))
        }
    };
    let number = state.begun.push(begun, route.name());
    Ok(host_link::number_result(number))
}

/// Takes a begun call, to wait for it.
fn finish(state: &mut InstanceState, route: &Route, params: &[u8]) -> Result<Begun, Fault> {
    let number = host_link::call_number(params).map_err(|error| Fault::Trap(error.to_string()))?;
    let name = route.name();
    state.recorder.check_may_wait(&name)?;
    state.begun.take(number, &name)
}
