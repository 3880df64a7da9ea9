//! Variants of an interface that nobody writes: the same functions, sent instead of called, begun and finished apart, or under an id.
//!
//! For `shop:inventory/reservations`, `shop:inventory/reservations-send` has the same functions with the same parameters, whose result
//! is the id of a new invocation; and in `shop:inventory/reservations-schedule` a first parameter `delay-ms: u64` says how much later it
//! begins. `shop:inventory/reservations-begin` has the same functions with the same parameters, whose result is the number of a call that
//! is under way, a `u32`; and in `shop:inventory/reservations-finish` each takes such a number, `call: u32`, and returns what the call
//! returned, once it has. In `shop:inventory/reservations-workflow` a first parameter `workflow-id: string` is the id under which there is
//! at most one, and the result is the variant `started` of `nexus:durable/workflows`; the functions of
//! `shop:inventory/reservations-attach` take that id and a `timeout-ms: option<u64>`, and return what the function returned. Whether a
//! caller waits thus shows in what it imports. Whoever exports the interface answers its variants.

use crate::InterfaceName;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is made at once, and its result is waited for.
    Call,
    /// A new invocation makes it, once the sender's effects are committed.
    Send,
    /// The same, after a delay.
    Schedule,
    /// It is made at once, while the caller goes on.
    Begin,
    /// The result of one that was begun is waited for.
    Finish,
    /// A new invocation is made of it, as by `Send`, unless there was one under that id.
    Workflow,
    /// Nothing is called: the result of what was started under that id is waited for.
    Attach,
}

const VARIANTS: [(&str, Delivery); 6] = [
    ("-send", Delivery::Send),
    ("-schedule", Delivery::Schedule),
    ("-begin", Delivery::Begin),
    ("-finish", Delivery::Finish),
    ("-workflow", Delivery::Workflow),
    ("-attach", Delivery::Attach),
];

impl InterfaceName {
    /// The interface whose functions an import of this name reaches, and how.
    pub fn delivery(&self) -> (Self, Delivery) {
        let derived = VARIANTS.iter().find_map(|(suffix, delivery)| {
            let base = self.interface()?.strip_suffix(suffix)?;
            Some((self.with_interface(base), *delivery))
        });
        derived.unwrap_or_else(|| (self.clone(), Delivery::Call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_told_by_its_name() {
        let delivery = |text: &str| {
            let (base, delivery) = InterfaceName::parse(text).unwrap().delivery();
            (base.to_string(), delivery)
        };
        let base = "shop:inventory/reservations@0.1.0".to_owned();
        assert_eq!(delivery(&base), (base.clone(), Delivery::Call));
        for (suffix, meant) in VARIANTS {
            let variant = format!("shop:inventory/reservations{suffix}@0.1.0");
            assert_eq!(delivery(&variant), (base.clone(), meant));
        }
        assert_eq!(delivery("a:b/send"), ("a:b/send".into(), Delivery::Call));
        assert_eq!(delivery("a:b-send"), ("a:b-send".into(), Delivery::Call));
    }
}
