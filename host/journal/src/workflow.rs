//! Workflows: invocations under an id of somebody's choosing, at most one for each function and id.
//!
//! The id stands in a table of its own, written with the start. With it stands a key, from which the ids of the workflow's promises are
//! derived: whoever may ask for the workflow finds its promises by their names, and nobody can guess them.

use host_types::{ComponentId, PromiseId};
use minicbor::{Decode, Encode};
use ring::hmac;

use crate::Payload;

/// Bytes of a workflow's id at most.
pub const MAX_WORKFLOW_ID_BYTES: usize = 255;
/// Bytes of the name of a workflow's promise at most.
pub const MAX_PROMISE_NAME_BYTES: usize = 255;
/// The name of the promise that is completed with a workflow's output: one that no guest can use.
pub const OUTPUT_PROMISE: &str = "";

/// What a workflow is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkflowKey {
    /// The component that runs it.
    pub component: ComponentId,
    /// The interface, without its version, and the function: `shop:order/purchases.checkout`.
    pub function: String,
    /// Of the starter's choosing. It stands in clear.
    pub id: String,
}

/// A workflow to come, with the message that begins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowStart {
    /// What it is known by.
    pub key: WorkflowKey,
    /// What the ids of its promises are derived from.
    pub promise_key: [u8; 32],
    /// How long after its end it is known, milliseconds.
    pub retention_ms: u64,
}

/// How a workflow ended, as those are told who wait for its output. Stored for years.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum WorkflowEnd {
    /// Its function returned this.
    #[n(0)]
    Returned(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// An operator ended it.
    #[n(1)]
    Cancelled,
}

impl WorkflowEnd {
    /// As it is stored.
    pub fn to_payload(&self) -> Payload {
        // Plain fields into a vector: there is nothing that could fail.
        minicbor::to_vec(self).expect("an end has an encoding").into()
    }
}

impl WorkflowKey {
    /// Of an exported function; the interface's version does not count.
    pub fn new(component: ComponentId, interface: &str, function: &str, id: String) -> Self {
        let interface = interface.split('@').next().unwrap_or_default();
        Self {
            component,
            function: format!("{interface}.{function}"),
            id,
        }
    }

    /// All of it, as the arguments of a command.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.component.as_str(), &self.function, &self.id] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// The id of a workflow's promise.
pub fn workflow_promise(promise_key: &[u8; 32], name: &str) -> PromiseId {
    let key = hmac::Key::new(hmac::HMAC_SHA256, promise_key);
    let tag = hmac::sign(&key, name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    PromiseId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn a_promise_belongs_to_one_name_of_one_workflow() {
        let key = Seed::new([7; 32]).promise_key();
        let paid = workflow_promise(&key, "paid");
        assert_eq!(paid, workflow_promise(&key, "paid"));
        assert_ne!(paid, workflow_promise(&key, OUTPUT_PROMISE));
        assert_ne!(paid, workflow_promise(&Seed::new([8; 32]).promise_key(), "paid"));
        assert_eq!(paid.0.get_version_num(), 8);
    }

    #[test]
    fn a_later_version_of_an_interface_is_the_same_workflow() {
        let of = |interface| WorkflowKey::new("order".into(), interface, "checkout", "7".into());
        assert_eq!(of("shop:order/purchases@0.1.0"), of("shop:order/purchases@0.2.1"));
        assert_eq!(of("shop:order/purchases").function, "shop:order/purchases.checkout");
        let swapped = WorkflowKey {
            function: "7".into(),
            id: of("a:b/c").function,
            ..of("a:b/c")
        };
        assert_ne!(swapped.to_bytes(), of("a:b/c").to_bytes());
    }
}
