//! The module's failures, and the only place that gives them codes and WIT variants.

use sdk::{http, sql};

use crate::{
    bindings::exports::shop::inventory::reservations,
    domain::{owner::SkuId, reservation::Shortage, serial::Status, stock::Stock},
};

/// What a request or a call of another module can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no stock record for {0}")]
    StockNotFound(String),
    #[error("only the seller may see or change this")]
    NotTheSeller,
    #[error("{given} serial numbers for a change of {change}")]
    SerialCountMismatch { given: usize, change: i64 },
    #[error("a change of more than 10000 units with serial numbers")]
    TooManySerials,
    #[error("the quantity would exceed what can be counted")]
    QuantityTooLarge,
    #[error("serial numbers that exist already: {}", .0.join(", "))]
    DuplicateSerial(Vec<String>),
    #[error("unknown serial numbers: {}", .0.join(", "))]
    SerialNotFound(Vec<String>),
    #[error("several of your products have the serial number {0}: say which by stock_id")]
    SerialAmbiguous(String),
    #[error("serial number {serial} cannot go from {} to {}", .from.name(), .to.name())]
    SerialTransition { serial: String, from: Status, to: Status },
    #[error("{available} units are free but {active} serial numbers are active")]
    SerialsIncomplete { available: i64, active: i64 },

    #[error("not a reservation id: {0}")]
    NotAnId(String),
    #[error("{0}")]
    InvalidQuantity(String),
    #[error("{}: {} requested, {} available", .0.label, .0.requested, .0.available)]
    OutOfStock(Shortage),
    #[error("{}: {} requested, {} to be had with a serial number", .0.label, .0.requested, .0.available)]
    SerialShortage(Shortage),
    #[error("the reservation was released")]
    AlreadyReleased,
    #[error("the reservation expired")]
    Expired,
    #[error("no such reservation")]
    ReservationNotFound,
    #[error("the operation id belongs to another release")]
    OperationMismatch,

    #[error("ask the account module: {0}")]
    Account(String),
    #[error(transparent)]
    Sql(#[from] sql::Error),
}

impl Error {
    pub(crate) fn no_stock(sku: SkuId) -> Self {
        Self::StockNotFound(sku.to_string())
    }
}

impl Stock {
    /// The stock, unless it is archived: then there is none as far as anybody is told.
    pub(crate) fn open(self) -> Result<Self, Error> {
        if self.is_archived {
            Err(Error::StockNotFound(self.ref_id.to_string()))
        } else {
            Ok(self)
        }
    }
}

impl From<Error> for http::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::StockNotFound(_) => Self::not_found("stock_not_found", text),
            Error::NotTheSeller => Self::forbidden(text),
            Error::SerialCountMismatch { .. } => Self::bad_request("serial_count_mismatch", text),
            Error::TooManySerials | Error::QuantityTooLarge => Self::invalid("change", text),
            Error::DuplicateSerial(_) => Self::conflict("duplicate_serial", text),
            Error::SerialNotFound(_) => Self::not_found("serial_not_found", text),
            Error::SerialAmbiguous(_) => Self::invalid("stock_id", text),
            Error::SerialTransition { .. } => Self::conflict("serial_transition_not_allowed", text),
            Error::SerialsIncomplete { .. } => Self::conflict("serials_incomplete", text),
            // Reservations are made by other modules, never over HTTP.
            Error::NotAnId(_)
            | Error::InvalidQuantity(_)
            | Error::OutOfStock(_)
            | Error::SerialShortage(_)
            | Error::AlreadyReleased
            | Error::Expired
            | Error::ReservationNotFound
            | Error::OperationMismatch
            | Error::Account(_)
            | Error::Sql(_) => Self::internal(text),
        }
    }
}

impl From<Error> for reservations::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::StockNotFound(owner) => Self::StockNotFound(owner),
            Error::InvalidQuantity(reason) => Self::InvalidQuantity(reason),
            Error::QuantityTooLarge | Error::TooManySerials => Self::InvalidQuantity(text),
            Error::OutOfStock(shortage) => Self::OutOfStock(shortage.into()),
            Error::SerialShortage(shortage) => Self::SerialShortage(shortage.into()),
            Error::AlreadyReleased => Self::AlreadyReleased,
            Error::Expired => Self::Expired,
            Error::ReservationNotFound => Self::NotFound,
            Error::NotTheSeller
            | Error::SerialCountMismatch { .. }
            | Error::DuplicateSerial(_)
            | Error::SerialNotFound(_)
            | Error::SerialAmbiguous(_)
            | Error::SerialTransition { .. }
            | Error::SerialsIncomplete { .. }
            | Error::NotAnId(_)
            | Error::OperationMismatch
            | Error::Account(_)
            | Error::Sql(_) => Self::Other(text),
        }
    }
}

impl From<Shortage> for reservations::Shortage {
    fn from(
        Shortage {
            sku,
            label,
            requested,
            available,
        }: Shortage,
    ) -> Self {
        Self {
            sku_id: sku.to_string(),
            label,
            requested,
            available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_status_and_code_clients_know() {
        let transition = Error::SerialTransition {
            serial: "a".into(),
            from: Status::Taken,
            to: Status::Active,
        };
        for (error, status, code) in [
            (Error::StockNotFound("x".into()), 404, "stock_not_found"),
            (Error::NotTheSeller, 403, "forbidden"),
            (
                Error::SerialCountMismatch { given: 1, change: 2 },
                400,
                "serial_count_mismatch",
            ),
            (Error::QuantityTooLarge, 400, "validation"),
            (Error::DuplicateSerial(vec!["a".into()]), 409, "duplicate_serial"),
            (Error::SerialNotFound(vec!["a".into()]), 404, "serial_not_found"),
            (transition, 409, "serial_transition_not_allowed"),
            (
                Error::SerialsIncomplete {
                    available: 2,
                    active: 1,
                },
                409,
                "serials_incomplete",
            ),
            (Error::Expired, 500, "internal"),
        ] {
            let answer = http::Error::from(error);
            assert_eq!((answer.status(), answer.code()), (status, code));
        }
    }

    #[test]
    fn offending_serials_are_listed() {
        let answer = http::Error::from(Error::DuplicateSerial(vec!["a".into(), "b".into()]));
        assert_eq!(
            answer.message(),
            "duplicate_serial: serial numbers that exist already: a, b"
        );
    }
}
