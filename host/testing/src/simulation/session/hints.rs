//! What nodes tell each other: hints, any of which may be lost.

use std::sync::Arc;

use host_invoker::{HearNodes, TellNodes};
use host_recorder::Answer;
use host_store::{Result, Wake};
use tokio::sync::mpsc;

use super::{Session, pause};
use crate::simulation::gate::Gate;

impl TellNodes for Session {
    fn notify(&self, wake: Wake) {
        let database = Arc::clone(&self.database);
        if database.is_rough() && database.dice.per_mille(150) {
            return;
        }
        let (way, gate) = (database.way(), Arc::clone(&self.gate));
        tokio::spawn(async move {
            gate.pass().await;
            pause(way).await;
            database.listeners.lock().retain(|listener| listener.send(wake).is_ok());
        });
    }

    fn listen(&self) -> Answer<'_, Result<Box<dyn HearNodes>>> {
        Box::pin(async move {
            self.gate.pass().await;
            let (tell, told) = mpsc::unbounded_channel();
            self.database.listeners.lock().push(tell);
            let gate = Arc::clone(&self.gate);
            Ok(Box::new(Ears { told, gate }) as Box<dyn HearNodes>)
        })
    }
}

struct Ears {
    told: mpsc::UnboundedReceiver<Wake>,
    gate: Arc<Gate>,
}

impl HearNodes for Ears {
    fn next(&mut self) -> Answer<'_, Wake> {
        Box::pin(async move {
            let wake = self.told.recv().await;
            self.gate.pass().await;
            wake.unwrap_or(Wake::Missed)
        })
    }
}
