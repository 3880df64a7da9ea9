//! An invocation that was cancelled: its handler is not called any more, and what it pushed is undone.

use super::Machine;
use super::derived::{NOW, told_ms};
use crate::{Body, Compensation, compensation};

impl Machine {
    /// What is to be undone, newest first, when the invocation was cancelled. Asked at the begin of each attempt: the handler, which
    /// would give its scopes their recorded times again, is not called.
    ///
    /// `Err` says what is wrong with the record.
    pub fn compensate(&mut self) -> Result<Option<Vec<Compensation>>, String> {
        if compensation::cancelled(&self.log).is_none() {
            return Ok(None);
        }
        self.is_undoing = true;
        let told = self.log.iter().filter_map(|entry| match &entry.body {
            Body::Command {
                target,
                answer: Some(answer),
                position,
                ..
            } if target == NOW && !position.scope.is_within(&compensation::compensating_scope()) => told_ms(answer),
            _ => None,
        });
        let now_ms = told.max().unwrap_or(0);
        self.cursors
            .entry(compensation::compensating_scope())
            .or_default()
            .now_ms = now_ms;
        compensation::compensations(&self.log).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use host_types::{ComponentId, DeploymentNumber, NodeId, Scope};

    use crate::{Body, Entry, FenceReason, Header, Machine, Payload, Seed, compensating_scope};

    #[test]
    fn time_does_not_go_back_where_the_handler_is_not_called() {
        let header = Header {
            component: ComponentId::from("order"),
            function: "nexus:http/handler.handle".into(),
            deployment: DeploymentNumber(1),
            input: Payload::new(),
            seed: Seed::new([7; 32]),
            subject: String::new(),
            trace_parent: String::new(),
            memory_limit_bytes: 0,
            started_ms: 10,
            workflow: None,
            deadline_ms: None,
        };
        let mut machine = Machine::start(header);
        machine.now(&Scope::root(), 500).unwrap();
        let mut history: Vec<Entry> = machine.pending().to_vec();
        assert_eq!(Machine::replay(history.clone()).unwrap().compensate(), Ok(None));
        history.push(Entry {
            index: 2,
            body: Body::Fence {
                attempt: 1,
                node: NodeId::new(1, [3; 10]),
                reason: FenceReason::Cancel("why not".into()),
            },
        });
        let mut machine = Machine::replay(history).unwrap();
        assert_eq!(machine.compensate(), Ok(Some(Vec::new())));
        assert_eq!(machine.now(&compensating_scope().child(0), 400), Ok(500));
    }
}
