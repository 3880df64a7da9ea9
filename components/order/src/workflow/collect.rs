//! A payment that is made elsewhere: the payer is sent to the provider, and what becomes of it is waited for, for as long as the session lives.
//!
//! What happens outside is noted in rows by whoever learns of it, in a transaction that locks the session and rings the flow's bell; the flow
//! wakes up, looks at the rows and decides. So no notification is missed and none counts twice, whatever order they come in.

use std::{collections::BTreeSet, time::Duration};

use sdk::{
    Money, Promise, Timestamp, config, log, new_id, now,
    sql::{self, Transaction},
    timer, try_again,
};
use serde_json::json;

use super::owed::{Late, Owed};
use crate::{
    domain::{
        id::{LegId, SessionId},
        payment::{self, Leg, Step, Wishes},
        refusal::{Continuation, Refusal},
        session::Kind,
        status::Status,
    },
    error::Error,
    peers::{
        flows,
        ledger::{self, Movement},
        payments::{self, Answer, Charge, Charged, PaymentOption},
    },
    store::{
        leg::{self, NewLeg},
        session,
        wait::{self, Ended},
    },
};

/// How long one attempt to pay may take, unless `attempt_seconds` says otherwise.
const ATTEMPT_SECONDS: i64 = 30 * 60;

/// The timer of a session that ended while one of its payments may still have been made; its argument is the session's id.
pub(crate) const TIMER: &str = "reconcile-payments";

/// When it comes, after the session's end: what a payer had begun by then is long over.
const RECONCILE_MS: u64 = 6 * 3600 * 1000;

/// The timer of a session that ended while money was there that paid for nothing; its argument is the session's id.
pub(crate) const GIVE_BACK_TIMER: &str = "give-back-late-money";

/// A payment to collect.
pub(super) struct Due<'a> {
    pub(super) session_id: SessionId,
    pub(super) kind: Kind,
    pub(super) payment: &'a PaymentOption,
    pub(super) amount: Money,
    /// The session's end.
    pub(super) expires: Timestamp,
    /// Of an attempt.
    pub(super) attempt_seconds: i64,
}

/// One attempt to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) leg_id: LegId,
    /// From 1.
    pub(super) number: u32,
    pub(super) expires: Timestamp,
}

/// The first attempt, and the bell that rings when something happens.
pub(super) type Opened = (Attempt, Promise<()>);

/// The money that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paid {
    pub(super) leg_id: LegId,
    /// The provider's.
    pub(super) reference: String,
}

/// How long an attempt may take.
pub(super) fn attempt_seconds() -> Result<i64, Error> {
    Ok(config::parse::<u32>("attempt_seconds")?.map_or(ATTEMPT_SECONDS, i64::from))
}

impl Due<'_> {
    /// An attempt that begins now.
    fn attempt(&self, leg_id: LegId, number: u32, now: Timestamp) -> Attempt {
        Attempt {
            leg_id,
            number,
            expires: now.plus_seconds(self.attempt_seconds).min(self.expires),
        }
    }

    /// Opens the first attempt in the transaction that opens the session.
    pub(super) fn open(&self, tx: &Transaction, leg_id: LegId, now: Timestamp) -> Result<Opened, Error> {
        let attempt = self.attempt(leg_id, 1, now);
        self.insert(tx, &attempt, now)?;
        let bell = Promise::new();
        wait::insert(tx, self.session_id, &bell, &Promise::new())?;
        Ok((attempt, bell))
    }

    fn insert(&self, tx: &Transaction, attempt: &Attempt, now: Timestamp) -> Result<(), Error> {
        leg::insert(
            tx,
            &NewLeg {
                id: attempt.leg_id,
                session_id: self.session_id,
                kind: self.kind,
                payment_option: Some(self.payment.id.clone()),
                data: json!({ "provider": self.payment.provider }),
                amount: self.amount.amount_minor,
                currency: self.amount.currency,
                date_created: now,
                date_expired: Some(attempt.expires),
                date_settled: None,
            },
        )?;
        Ok(())
    }

    /// Sends the payer to the provider, again if need be, until the money is there. The session is still open then: whoever called settles
    /// it. An error ends the session.
    pub(super) fn collect(&self, opened: Opened) -> Result<Paid, Error> {
        self.attempts(opened).inspect_err(|error| self.note_failure(error))
    }

    /// Notes why the flow fails, before it is undone: whoever waits is told so when the session ends.
    pub(super) fn note_failure(&self, error: &Error) {
        let noted = sql::transaction(|tx| wait::set_failure(tx, self.session_id, &Refusal::from(error)));
        if let Err(error) = noted {
            log::error("note why a payment failed", &[("cause", &error)]);
        }
    }

    fn attempts(&self, (mut attempt, mut bell): Opened) -> Result<Paid, Error> {
        loop {
            // A flow that was paused past its time takes no more money; what it may have taken is asked for below.
            if now() < attempt.expires {
                match self.charge(&attempt) {
                    Ok(Charged::Settled(reference)) => {
                        note(self.session_id, attempt.leg_id, &Answer::Paid(reference.clone()))?;
                        return Ok(Paid {
                            leg_id: attempt.leg_id,
                            reference,
                        });
                    }
                    Ok(Charged::Redirect(url)) => self.hand_out(&attempt, &url)?,
                    Ok(Charged::OnDelivery) => return Err(Error::FeeNotSettled),
                    // The payer may try again, as after a payment that failed over there.
                    Err(error @ (Error::PaymentFailed(_) | Error::PaymentNotTaken(_))) if self.may_fail(&attempt) => {
                        self.fail(&attempt, &error)?;
                    }
                    Err(error) => return Err(error),
                }
            }
            match self.watch(&attempt, bell)? {
                Seen::Paid(paid) => return Ok(paid),
                Seen::Attempt(next, next_bell) => (attempt, bell) = (next, next_bell),
            }
        }
    }

    /// Charges the attempt's leg. A provider that does not answer is asked again, as long as the host's retry policy says; then a person is.
    fn charge(&self, attempt: &Attempt) -> Result<Charged, Error> {
        let what = match self.kind {
            Kind::SellerConfirmationFee => "Confirm fee session",
            Kind::BuyerCheckout | Kind::SellerPayout => "Checkout session",
        };
        let description = format!("{what} {} (attempt {})", self.session_id, attempt.number);
        let charged = self.payment.charge(&Charge {
            leg_id: attempt.leg_id,
            amount: self.amount,
            description: &description,
            expires: attempt.expires,
        });
        match charged {
            Err(Error::PaymentUnavailable(reason)) => try_again(&format!(
                "{} of session {}: {reason}",
                self.payment.provider, self.session_id
            )),
            charged => charged,
        }
    }

    /// Notes where the payer continues, and tells whoever waits for it.
    fn hand_out(&self, attempt: &Attempt, url: &str) -> Result<(), Error> {
        let there = Continuation::At(url.to_owned());
        self.tell(&there, |tx| leg::set_url(tx, attempt.leg_id, url))
    }

    /// Whether the session outlives an attempt that is refused. A buyer whose first one is finds his checkout among what he has pending. A seller
    /// has not been told of the session that claims his lines: he gets them back instead, and confirms anew.
    fn may_fail(&self, attempt: &Attempt) -> bool {
        attempt.number > 1 || self.kind == Kind::BuyerCheckout
    }

    /// Notes that there is nothing to continue, and tells whoever waits for it.
    fn fail(&self, attempt: &Attempt, error: &Error) -> Result<(), Error> {
        let may_go_on = self.kind == Kind::BuyerCheckout && now() < self.expires;
        let refused = Continuation::Refused(Refusal {
            kept_checkout: may_go_on.then_some(self.session_id),
            ..Refusal::from(error)
        });
        let reason = error.to_string();
        self.tell(&refused, |tx| match error {
            Error::PaymentFailed(_) => leg::decline(tx, attempt.leg_id, &reason),
            _ => leg::fail(tx, attempt.leg_id, &reason),
        })
    }

    fn tell(
        &self,
        what: &Continuation,
        note: impl FnOnce(&Transaction) -> Result<(), sql::Error>,
    ) -> Result<(), Error> {
        sql::transaction(|tx| {
            session::lock(tx, self.session_id)?;
            note(tx)?;
            // Once: whoever began the session waits still if an attempt before this one had nothing to tell.
            flows::payment_url(self.kind, self.session_id).complete(what);
            let next_url = self.wait(tx)?.next_url;
            if let Some(next_url) = next_url {
                next_url.complete(what);
                wait::set_next_url(tx, self.session_id, None)?;
            }
            Ok(())
        })
    }

    /// Waits for the money, or for a wish for another attempt.
    fn watch(&self, attempt: &Attempt, mut bell: Promise<()>) -> Result<Seen, Error> {
        let mut until = attempt.expires;
        loop {
            let left_ms = (until.as_ms() - now().as_ms()).max(0);
            // Rung or not: what there is to see is in the rows.
            let _ = bell.wait(Some(Duration::from_millis(left_ms as u64)));
            let mut asked = BTreeSet::new();
            (bell, until) = loop {
                let now = now();
                match self.look(attempt.number, now, &asked)? {
                    Look::Seen(seen) => return Ok(seen),
                    Look::Over(error) => return Err(error),
                    Look::Wait(bell, until) => break (bell, until),
                    Look::Ask(leg) => {
                        note(self.session_id, leg, &self.ask(leg)?)?;
                        asked.insert(leg);
                    }
                }
            };
        }
    }

    /// Asks the provider: silence is not yet a refusal. One that does not answer either is asked again.
    fn ask(&self, leg: LegId) -> Result<Answer, Error> {
        match payments::ask(&self.payment.provider, leg, self.amount) {
            Err(Error::PaymentUnavailable(reason) | Error::Peer { reason, .. }) => try_again(&format!(
                "{} of session {}: {reason}",
                self.payment.provider, self.session_id
            )),
            answer => answer,
        }
    }

    /// Looks at the rows, and takes the steps that need no one else.
    fn look(&self, attempts: u32, now: Timestamp, asked: &BTreeSet<LegId>) -> Result<Look, Error> {
        sql::transaction(|tx| {
            session::lock(tx, self.session_id)?;
            let wait = self.wait(tx)?;
            let mut legs = leg::of_session(tx, self.session_id)?;
            loop {
                match payment::next(&legs, wait.wishes, now, self.expires, asked) {
                    Step::Paid(leg_id, reference) => return Ok(Look::Seen(Seen::Paid(Paid { leg_id, reference }))),
                    Step::Ask(leg) => return Ok(Look::Ask(leg)),
                    Step::Cancel => return Ok(Look::Over(self.kind.cancelled())),
                    Step::Expire => return Ok(Look::Over(self.kind.expired())),
                    Step::Fail(leg, reason) => {
                        leg::fail(tx, leg, reason)?;
                        mark_failed(&mut legs, leg);
                    }
                    Step::Retry => {
                        let attempt = self.attempt(LegId(new_id()), attempts + 1, now);
                        self.insert(tx, &attempt, now)?;
                        wait::set_wishes(
                            tx,
                            self.session_id,
                            Wishes {
                                retry: false,
                                ..wait.wishes
                            },
                        )?;
                        let bell = self.new_bell(tx)?;
                        return Ok(Look::Seen(Seen::Attempt(attempt, bell)));
                    }
                    Step::Wait(until) => return Ok(Look::Wait(self.new_bell(tx)?, until)),
                }
            }
        })
    }

    fn new_bell(&self, tx: &Transaction) -> Result<Promise<()>, Error> {
        let bell = Promise::new();
        wait::set_bell(tx, self.session_id, &bell)?;
        Ok(bell)
    }

    fn wait(&self, tx: &Transaction) -> Result<wait::Wait, Error> {
        // Only the end of this flow ends it.
        wait::get(tx, self.session_id)?.ok_or(Error::SessionClosed)
    }

    /// Settles the session with the money that came, in the transaction that does what was paid for.
    pub(super) fn settle(&self, tx: &Transaction, paid: &Paid, now: Timestamp) -> Result<(), Error> {
        session::succeed(tx, self.session_id, now)?;
        leg::settle_one(tx, paid.leg_id, &paid.reference, now)?;
        leg::settle_wallet(tx, self.session_id, now)?;
        end(tx, self.session_id, self.kind, Ended::Paid)?;
        leg::close(tx, self.session_id, "another attempt was paid")?;
        Ok(())
    }

    /// What the money that came is in the books.
    pub(super) fn capture(&self, paid: &Paid) -> (Movement, Money) {
        (Movement::Capture(paid.leg_id), self.amount)
    }
}

/// Ends the wait of a session with the transaction that decides it, and tells whoever waits: for the first address, too, which may never
/// have been known. Nothing happens when there is no wait. Before the attempts that are open are closed: which they are says which of them may
/// have been paid.
pub(super) fn end(tx: &Transaction, id: SessionId, kind: Kind, ended: Ended) -> Result<(), Error> {
    let Some(told) = wait::end(tx, id, ended, Refusal::from(&kind.cancelled()))? else {
        return Ok(());
    };
    flows::payment_url(kind, id).complete(&told);
    let legs = leg::of_session(tx, id)?;
    // Reported while the flow was on its way here, of an attempt that it does not settle: whoever reported it will not come again.
    if legs.iter().any(|leg| leg.new_money().is_some()) {
        timer::schedule(GIVE_BACK_TIMER, &id, 0);
    }
    // Also one that its provider did not take, as far as it knew then: a request may have come to it late.
    if legs.iter().any(Leg::is_unpaid) {
        timer::schedule(TIMER, &id, RECONCILE_MS);
    }
    Ok(())
}

/// Notes money that a provider tells of when it is asked. Before anything is done with it: what is in a row is not lost, whatever becomes of who asked.
fn note(session: SessionId, leg: LegId, answer: &Answer) -> Result<(), Error> {
    let write: &dyn Fn(&Transaction) -> Result<(), sql::Error> = match answer {
        Answer::Paid(reference) => &|tx| leg::note_money(tx, leg, reference),
        Answer::OtherAmount => &|tx| leg::set_error(tx, leg, leg::OTHER_AMOUNT),
        Answer::Unpaid => return Ok(()),
    };
    sql::transaction(|tx| {
        session::lock(tx, session)?;
        Ok(write(tx)?)
    })
}

/// Asks once more about the payments of a session that is over, some hours later: those that nobody reported go back to whoever paid them. Also about
/// those whose payer was sent nowhere: a charge that was never answered may have taken the money by itself.
pub(crate) fn reconcile(id: SessionId) -> Result<(), Error> {
    let legs = sql::transaction(|tx| leg::of_session(tx, id))?;
    for leg in legs.iter().filter(|leg| leg.is_unpaid()) {
        let Some(provider) = &leg.provider else { continue };
        let amount = Money::new(leg.amount, leg.currency);
        note(id, leg.id, &payments::ask(provider, leg.id, amount)?)?;
    }
    give_back(id)
}

/// What was waited for.
enum Seen {
    Paid(Paid),
    Attempt(Attempt, Promise<()>),
}

/// What there is to do about what is in the rows.
enum Look {
    Seen(Seen),
    Over(Error),
    Ask(LegId),
    Wait(Promise<()>, Timestamp),
}

fn mark_failed(legs: &mut [Leg], id: LegId) {
    legs.iter_mut()
        .filter(|leg| leg.id == id)
        .for_each(|leg| leg.status = Status::Failed);
}

/// Moves what a session was paid, if it was. Whoever settles one owes that, and an operator may end the flow in between.
pub(super) fn post_paid(id: SessionId, kind: Kind) -> Result<(), Error> {
    let paid = leg::paid(id)?;
    if paid.iter().any(|leg| !leg.is_captured) {
        ledger::capture(kind, id);
    }
    let captured = paid.iter().filter(|leg| leg.is_captured);
    let mut movements: Vec<_> = captured.map(|leg| (Movement::Capture(leg.id), leg.amount)).collect();
    if let (Kind::SellerConfirmationFee, Some(first)) = (kind, paid.first()) {
        let fee = paid.iter().map(|leg| leg.amount.amount_minor).sum();
        movements.push((Movement::Fee(id), Money::new(fee, first.amount.currency)));
    }
    ledger::post(&movements);
    Ok(())
}

/// Gives money back that came for a session which is over, or which another attempt has paid: it goes to the payer's wallet. Whoever notices
/// it first does it; a second time there is nothing to do. A session whose flow still waits is left to that.
pub(crate) fn give_back(id: SessionId) -> Result<(), Error> {
    let now = now();
    let owed = sql::transaction(|tx| {
        let Some(session) = session::lock(tx, id)? else {
            return Ok(None);
        };
        let Some(payer) = session.from_id else {
            return Ok(None);
        };
        if wait::get(tx, id)?.is_some() {
            return Ok(None);
        }
        let legs = leg::of_session(tx, id)?;
        let mut late = Vec::new();
        for leg in &legs {
            if let Some(reference) = leg.new_money() {
                leg::settle_one(tx, leg.id, reference, now)?;
                leg::insert_reversal(tx, LegId(new_id()), leg.id, leg.amount, now)?;
                late.push(Late {
                    leg: leg.id,
                    payer,
                    amount: Money::new(leg.amount, leg.currency),
                });
            }
        }
        Ok::<_, Error>((!late.is_empty()).then(|| Owed::late(tx, late)))
    })?;
    if let Some(owed) = owed {
        log::warn("money came too late, and goes back", &[("session", &id)]);
        owed.settle();
    }
    Ok(())
}
