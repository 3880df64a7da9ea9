//! An import of a component of the stock engine answered by a module: an invocation of its own, awaited.

use std::sync::Arc;

use host_engine::Engine;
use host_link::Handler;
use host_manifest::{Component as Granted, Delivery};
use host_types::Fault;
use wasmtime::StoreContextMut;
use wasmtime::component::{Component, Linker};

use crate::Error;
use crate::dispatch::{self, Route};
use crate::stock::{ModuleCall, StockState};

/// Defines every import of the component that the host does not answer itself.
pub(crate) fn link(
    engine: &Engine,
    linker: &mut Linker<StockState>,
    granted: &Granted,
    component: &Component,
) -> Result<(), Error> {
    dispatch::link(engine, linker, granted, component, |route| match route.delivery {
        Delivery::Call => Ok(handler(route)),
        Delivery::Send | Delivery::Schedule | Delivery::Workflow | Delivery::Attach => Err(format!(
            "{}.{} is sent, started or attached to, which only a module can: nothing of this component is recorded that it could be part of; call it",
            route.interface, route.function
        )),
        Delivery::Begin | Delivery::Finish => Err(format!(
            "{}.{} is begun, which only a module can; this component may wait for several calls at once by itself: call it",
            route.interface, route.function
        )),
    })
}

fn handler(route: Arc<Route>) -> Handler<StockState> {
    Arc::new(move |context: StoreContextMut<'_, StockState>, params| {
        let state = context.data();
        let (deployment, modules) = (Arc::clone(&state.deployment), Arc::clone(&state.modules));
        let trace_parent = state.trace_parent.clone();
        let route = Arc::clone(&route);
        Box::pin(async move {
            let (component, _) = route.resolve(&params).map_err(wasmtime::Error::new)?;
            let call = ModuleCall {
                deployment,
                component: component.clone(),
                function: format!("{}.{}", route.interface, route.function),
                params,
                trace_parent,
            };
            modules.call(call).await.map_err(wasmtime::Error::new::<Fault>)
        })
    })
}
