//! Variants of an interface that nobody writes: the same functions, sent instead of called, or begun and finished apart.
//!
//! For `shop:inventory/reservations`, `shop:inventory/reservations-send` has the same functions with the same parameters, whose result
//! is the id of a new invocation; and in `shop:inventory/reservations-schedule` a first parameter `delay-ms: u64` says how much later it
//! begins. `shop:inventory/reservations-begin` has the same functions with the same parameters, whose result is the number of a call that
//! is under way, a `u32`; and in `shop:inventory/reservations-finish` each takes such a number, `call: u32`, and returns what the call
//! returned, once it has. Whether a caller waits thus shows in what it imports. Whoever exports the interface answers its variants.

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
}

const SEND: &str = "-send";
const SCHEDULE: &str = "-schedule";
const BEGIN: &str = "-begin";
const FINISH: &str = "-finish";

impl InterfaceName {
    /// The interface whose functions an import of this name reaches, and how.
    pub fn delivery(&self) -> (Self, Delivery) {
        let variants = [
            (SEND, Delivery::Send),
            (SCHEDULE, Delivery::Schedule),
            (BEGIN, Delivery::Begin),
            (FINISH, Delivery::Finish),
        ];
        let derived = variants.into_iter().find_map(|(suffix, delivery)| {
            let base = self.interface()?.strip_suffix(suffix)?;
            Some((base, delivery))
        });
        let Some((base, delivery)) = derived else {
            return (self.clone(), Delivery::Call);
        };
        (self.with_interface(base), delivery)
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
        assert_eq!(
            delivery("shop:inventory/reservations-send@0.1.0"),
            (base.clone(), Delivery::Send)
        );
        assert_eq!(
            delivery("shop:inventory/reservations-schedule@0.1.0"),
            (base.clone(), Delivery::Schedule)
        );
        assert_eq!(
            delivery("shop:inventory/reservations-begin@0.1.0"),
            (base.clone(), Delivery::Begin)
        );
        assert_eq!(
            delivery("shop:inventory/reservations-finish@0.1.0"),
            (base, Delivery::Finish)
        );
        assert_eq!(delivery("a:b/send"), ("a:b/send".into(), Delivery::Call));
        assert_eq!(delivery("a:b-send"), ("a:b-send".into(), Delivery::Call));
    }
}
