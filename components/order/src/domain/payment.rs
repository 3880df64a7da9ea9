//! What the flow of a payment that is made elsewhere does next.

use std::collections::BTreeSet;

use sdk::{Currency, Money, Timestamp};

use super::{id::LegId, status::Status};

/// One attempt to pay, as it is stored, with what was reported of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    pub(crate) status: Status,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// The component that was charged.
    pub(crate) provider: Option<String>,
    /// Where the payer continues.
    pub(crate) url: Option<String>,
    pub(crate) date_expired: Option<Timestamp>,
    /// The provider's reference, once it told of the money, by itself or asked.
    pub(crate) paid: Option<String>,
    /// The provider said that there will be none, when it was charged or later.
    pub(crate) failed: bool,
}

impl Leg {
    /// It may still be paid, as far as we know.
    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::Pending
    }

    /// The attempt is under way.
    pub(crate) fn is_usable(&self, now: Timestamp) -> bool {
        self.is_open() && !self.failed && self.date_expired.is_none_or(|expired| now < expired)
    }

    /// Where the payer can be sent now.
    pub(crate) fn usable_url(&self, now: Timestamp) -> Option<&str> {
        self.url.as_deref().filter(|_| self.is_usable(now))
    }

    /// Its money may have come without our knowing: the payer was sent to where it is paid, or may have been.
    pub(crate) fn is_doubtful(&self) -> bool {
        (self.is_open() || self.url.is_some()) && self.is_unpaid()
    }

    /// Nothing is known of its money, not even that there will be none.
    pub(crate) fn is_unpaid(&self) -> bool {
        self.status != Status::Success && self.paid.is_none() && !self.failed
    }

    /// The money arrived, and nothing was done about it yet.
    pub(crate) fn new_money(&self) -> Option<&str> {
        self.paid.as_deref().filter(|_| self.status != Status::Success)
    }
}

/// What a provider says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pending,
    Succeeded,
    Failed,
    Expired,
    /// Of another amount than was asked for: nothing follows from it but that a person looks.
    Mismatch,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Mismatch => "mismatch",
        }
    }
}

/// What a provider reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The provider's own, the same in each repetition.
    pub(crate) id: String,
    pub(crate) leg_id: LegId,
    pub(crate) outcome: Outcome,
    pub(crate) amount: Money,
    /// The provider's name of the payment.
    pub(crate) reference: String,
    pub(crate) occurred: Timestamp,
}

/// What was asked of the flow from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) cancel: bool,
    /// Another address to pay at.
    pub(crate) retry: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The money of this leg is there, with the provider's reference.
    Paid(LegId, String),
    /// Something is about to end: ask the provider whether the money of this leg arrived.
    Ask(LegId),
    /// This attempt came to nothing, for this reason.
    Fail(LegId, &'static str),
    /// Another attempt is wanted.
    Retry,
    /// The payer does not want to pay any more.
    Cancel,
    /// The session's time is up.
    Expire,
    /// Until something happens, or until then.
    Wait(Timestamp),
}

/// Money that arrived decides, whatever else was wished for, and for whichever attempt it came. An attempt ends without money only after the
/// provider was `asked` about it and said that there is none, and a session after it was asked about all of them again: one that was over for us may
/// have been paid since.
pub(crate) fn next(legs: &[Leg], wishes: Wishes, now: Timestamp, expires: Timestamp, asked: &BTreeSet<LegId>) -> Step {
    let arrived = legs.iter().find_map(|leg| Some((leg.id, leg.new_money()?.to_owned())));
    if let Some((leg, reference)) = arrived {
        return Step::Paid(leg, reference);
    }
    if wishes.cancel || now >= expires {
        let doubtful = legs.iter().find(|leg| leg.is_doubtful() && !asked.contains(&leg.id));
        return match doubtful {
            Some(leg) => Step::Ask(leg.id),
            None if wishes.cancel => Step::Cancel,
            None => Step::Expire,
        };
    }
    match legs.iter().find(|leg| leg.is_open()) {
        Some(open) if open.failed => Step::Fail(open.id, "the payment was not made"),
        Some(open) => match open.date_expired {
            Some(expired) if now >= expired && asked.contains(&open.id) => {
                Step::Fail(open.id, "gateway attempt expired")
            }
            Some(expired) if now >= expired => Step::Ask(open.id),
            Some(expired) => Step::Wait(expired.min(expires)),
            None => Step::Wait(expires),
        },
        None if wishes.retry => Step::Retry,
        None => Step::Wait(expires),
    }
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;

    const NO_WISH: Wishes = Wishes {
        cancel: false,
        retry: false,
    };
    const CANCEL: Wishes = Wishes {
        cancel: true,
        retry: false,
    };
    const RETRY: Wishes = Wishes {
        cancel: false,
        retry: true,
    };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn leg(number: u128, status: Status, expired_ms: i64) -> Leg {
        Leg {
            id: LegId(Uuid::from_u128(number)),
            status,
            amount: 100,
            currency: "VND".parse().unwrap(),
            provider: Some("payment-sandbox".to_owned()),
            url: Some("http://pay".to_owned()),
            date_expired: Some(at(expired_ms)),
            paid: None,
            failed: false,
        }
    }

    fn paid(leg: Leg) -> Leg {
        Leg {
            paid: Some("ref".to_owned()),
            ..leg
        }
    }

    /// At 50 ms of a session of 100 ms, after the provider was asked about all attempts, or about none.
    fn step(legs: &[Leg], wishes: Wishes, asked: bool) -> Step {
        step_at(50, legs, wishes, asked)
    }

    fn step_at(ms: i64, legs: &[Leg], wishes: Wishes, asked: bool) -> Step {
        let asked = legs.iter().filter(|_| asked).map(|leg| leg.id).collect();
        next(legs, wishes, at(ms), at(100), &asked)
    }

    #[test]
    fn money_that_arrived_decides_whatever_is_wished_for() {
        let late = [paid(leg(1, Status::Failed, 10)), leg(2, Status::Pending, 90)];
        for wishes in [NO_WISH, CANCEL, RETRY] {
            assert_eq!(step(&late, wishes, true), Step::Paid(late[0].id, "ref".to_owned()));
        }
        let expired = step_at(200, &late, NO_WISH, true);
        assert_eq!(expired, Step::Paid(late[0].id, "ref".to_owned()));
        let done = [paid(leg(1, Status::Success, 10))];
        assert_eq!(step(&done, NO_WISH, false), Step::Wait(at(100)), "that was seen to");
    }

    #[test]
    fn nothing_ends_before_the_provider_was_asked() {
        let open = [leg(1, Status::Pending, 90)];
        assert_eq!(step(&open, CANCEL, false), Step::Ask(open[0].id));
        assert_eq!(step(&open, CANCEL, true), Step::Cancel);
        assert_eq!(step_at(100, &open, NO_WISH, false), Step::Ask(open[0].id));
        assert_eq!(step_at(100, &open, NO_WISH, true), Step::Expire);
        let over = [leg(1, Status::Pending, 50)];
        assert_eq!(step(&over, NO_WISH, false), Step::Ask(over[0].id));
        assert_eq!(
            step(&over, NO_WISH, true),
            Step::Fail(over[0].id, "gateway attempt expired")
        );
        let nowhere = Leg {
            url: None,
            ..leg(1, Status::Failed, 10)
        };
        assert_eq!(step(&[nowhere], CANCEL, false), Step::Cancel, "nothing to ask about");
        let refused = Leg {
            failed: true,
            ..leg(1, Status::Failed, 10)
        };
        assert_eq!(step(&[refused], CANCEL, false), Step::Cancel, "it has said so");
    }

    #[test]
    fn a_session_ends_after_the_provider_was_asked_about_each_of_its_attempts() {
        let legs = [leg(1, Status::Failed, 10), leg(2, Status::Pending, 90)];
        for wishes in [CANCEL, NO_WISH] {
            let ask = |asked: &[LegId]| next(&legs, wishes, at(100), at(100), &asked.iter().copied().collect());
            assert_eq!(ask(&[]), Step::Ask(legs[0].id));
            assert_eq!(ask(&[legs[0].id]), Step::Ask(legs[1].id));
            assert!(matches!(ask(&[legs[0].id, legs[1].id]), Step::Cancel | Step::Expire));
        }
    }

    #[test]
    fn a_failed_attempt_leaves_the_session_open_for_another() {
        let failed = [Leg {
            failed: true,
            ..leg(1, Status::Pending, 90)
        }];
        assert_eq!(
            step(&failed, NO_WISH, false),
            Step::Fail(failed[0].id, "the payment was not made")
        );
        let over = [leg(1, Status::Failed, 90)];
        assert_eq!(step(&over, NO_WISH, false), Step::Wait(at(100)));
        assert_eq!(step(&over, RETRY, false), Step::Retry);
        assert_eq!(step(&[leg(1, Status::Pending, 90)], RETRY, false), Step::Wait(at(90)));
    }

    #[test]
    fn a_wait_ends_with_the_attempt_or_with_the_session() {
        assert_eq!(step(&[leg(1, Status::Pending, 70)], NO_WISH, false), Step::Wait(at(70)));
        assert_eq!(
            step(&[leg(1, Status::Pending, 170)], NO_WISH, false),
            Step::Wait(at(100))
        );
    }

    #[test]
    fn an_address_is_usable_while_its_attempt_is() {
        let open = leg(1, Status::Pending, 90);
        assert_eq!(open.usable_url(at(89)), Some("http://pay"));
        assert_eq!(open.usable_url(at(90)), None);
        assert_eq!(leg(1, Status::Failed, 90).usable_url(at(1)), None);
        assert_eq!(Leg { failed: true, ..open }.usable_url(at(1)), None);
    }
}
