//! How far a parcel is, as its carrier reports, and how long its order's money waits for that.

use sdk::Timestamp;

use super::{
    id::{OrderId, TransportId},
    status::Status,
};

const DAY_SECONDS: i64 = 24 * 3600;

/// How long a carrier may take to bring a parcel once more that nobody took.
const REDELIVERY_DAYS: i64 = 3;

/// What a carrier reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The carrier's own, the same in each repetition.
    pub(crate) id: String,
    pub(crate) order_id: OrderId,
    pub(crate) status: Status,
    /// The carrier's own word.
    pub(crate) carrier_status: String,
    pub(crate) reason: Option<String>,
    pub(crate) occurred: Timestamp,
}

/// A parcel on its way to its buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) id: TransportId,
    /// The component that speaks for the carrier.
    pub(crate) provider: String,
    pub(crate) status: Status,
    pub(crate) date_created: Timestamp,
    /// When what the status says happened; none as long as nothing was reported.
    pub(crate) date_status: Option<Timestamp>,
}

impl Parcel {
    /// When something happened to it that is reported now: clocks may be wrong, and money goes by this.
    pub(crate) fn happened(&self, occurred: Timestamp, received: Timestamp) -> Timestamp {
        occurred.min(received).max(self.date_created)
    }

    /// Whether it is further than it was. What is older than what is known, and what cannot follow it, changes nothing.
    pub(crate) fn advances(&self, to: Status, at: Timestamp) -> bool {
        let is_newer = self.date_status.is_none_or(|known| at >= known);
        let follows = match self.status {
            Status::Pending => to != Status::Pending,
            Status::Processing => matches!(to, Status::Success | Status::Failed | Status::Cancelled),
            // It travels once more; a carrier may leave that out and report where it ended.
            Status::Failed => matches!(to, Status::Processing | Status::Success | Status::Cancelled),
            Status::Success | Status::Cancelled => false,
        };
        is_newer && follows
    }

    /// Whether something newer is said of it that does not go with the end it has come to.
    pub(crate) fn contradicts(&self, to: Status, at: Timestamp) -> bool {
        let is_over = matches!(self.status, Status::Success | Status::Cancelled);
        is_over && to != self.status && self.date_status.is_some_and(|known| at > known)
    }
}

/// How long the money of an order is kept, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Periods {
    /// After the delivery.
    pub(crate) escrow_seconds: i64,
    /// Without a word of how the delivery ended.
    pub(crate) delivery_seconds: i64,
}

impl Periods {
    /// When it is time to do something about the money of an order whose parcel was made then and has had this status since.
    pub(crate) fn due(self, created: Timestamp, status: Status, since: Timestamp) -> Timestamp {
        match status {
            Status::Pending | Status::Processing => created.plus_seconds(self.delivery_seconds),
            Status::Success => since.plus_seconds(self.escrow_seconds),
            Status::Failed => since.plus_seconds(REDELIVERY_DAYS * DAY_SECONDS),
            Status::Cancelled => since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Status; 5] = [
        Status::Pending,
        Status::Processing,
        Status::Success,
        Status::Cancelled,
        Status::Failed,
    ];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    fn parcel(status: Status, date_status: Option<i64>) -> Parcel {
        Parcel {
            id: TransportId(1),
            provider: "transport-flat".to_owned(),
            status,
            date_created: at(100),
            date_status: date_status.map(at),
        }
    }

    #[test]
    fn a_parcel_advances_as_the_table_says_and_never_from_its_end() {
        let follow = |from: Status| {
            ALL.into_iter()
                .filter(move |to| parcel(from, None).advances(*to, at(200)))
        };
        assert_eq!(
            follow(Status::Pending).collect::<Vec<_>>(),
            [Status::Processing, Status::Success, Status::Cancelled, Status::Failed]
        );
        assert_eq!(
            follow(Status::Processing).collect::<Vec<_>>(),
            [Status::Success, Status::Cancelled, Status::Failed]
        );
        assert_eq!(
            follow(Status::Failed).collect::<Vec<_>>(),
            [Status::Processing, Status::Success, Status::Cancelled]
        );
        assert_eq!(follow(Status::Success).count() + follow(Status::Cancelled).count(), 0);
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let travelling = parcel(Status::Processing, Some(200));
        assert!(!travelling.advances(Status::Failed, at(199)));
        assert!(travelling.advances(Status::Failed, at(200)));
    }

    #[test]
    fn an_end_is_contradicted_by_what_is_newer_and_another_word() {
        let delivered = parcel(Status::Success, Some(200));
        assert!(delivered.contradicts(Status::Failed, at(201)));
        assert!(!delivered.contradicts(Status::Success, at(201)));
        assert!(!delivered.contradicts(Status::Processing, at(200)), "it came late");
        assert!(!parcel(Status::Failed, Some(200)).contradicts(Status::Cancelled, at(201)));
    }

    #[test]
    fn nothing_happens_to_a_parcel_before_there_is_one_or_after_it_is_reported() {
        let parcel = parcel(Status::Pending, None);
        assert_eq!(parcel.happened(at(0), at(300)), at(100));
        assert_eq!(parcel.happened(at(250), at(300)), at(250));
        assert_eq!(parcel.happened(at(9_999), at(300)), at(300));
    }

    #[test]
    fn money_waits_for_the_delivery_and_then_for_the_escrow() {
        let periods = Periods {
            escrow_seconds: 7,
            delivery_seconds: 1_000,
        };
        let due = |status| periods.due(at(100), status, at(200));
        assert_eq!(due(Status::Pending), at(1_100));
        assert_eq!(due(Status::Processing), at(1_100));
        assert_eq!(due(Status::Success), at(207));
        assert_eq!(due(Status::Failed), at(200 + 3 * 24 * 3600));
        assert_eq!(due(Status::Cancelled), at(200));
    }
}
