//! What a test puts in the way of commands: it is asked before one is performed. Under the feature `test-support`.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_journal::{CommandKind, Payload};
use host_types::{Fault, NodeId};
use parking_lot::Mutex;

/// Asked about every command that is not answered from the record.
pub trait Interpose: Send + Sync + 'static {
    /// It fails like this, and ends its attempt.
    fn fault(&self, kind: CommandKind, target: &str) -> Option<Fault>;

    /// A call of this target returns this; nobody is entered.
    fn answer(&self, target: &str) -> Option<Payload>;
}

/// By node: the hosts of one process do not meet each other's.
static INTERPOSED: Mutex<BTreeMap<NodeId, Arc<dyn Interpose>>> = Mutex::new(BTreeMap::new());

/// From now on it is asked about every command of this node's attempts.
pub fn interpose(node: NodeId, with: Arc<dyn Interpose>) {
    INTERPOSED.lock().insert(node, with);
}

/// Nothing is in the way of this node any more.
pub fn withdraw(node: NodeId) {
    INTERPOSED.lock().remove(&node);
}

pub(crate) fn fault(node: NodeId, kind: CommandKind, target: &str) -> Option<Fault> {
    let interposed = INTERPOSED.lock().get(&node).cloned();
    interposed?.fault(kind, target)
}

pub(crate) fn answer(node: NodeId, target: &str) -> Option<Payload> {
    let interposed = INTERPOSED.lock().get(&node).cloned();
    interposed?.answer(target)
}
