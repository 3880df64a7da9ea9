//! The module's failures, and the only place that gives them codes.

use sdk::{Money, config, http, sql};

use crate::domain::{cart, id::SkuId, refusal::Refusal};

/// What a request can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("one of quantity and delta_quantity is required")]
    QuantityRequired,
    #[error("the cart has {} lines, the most there can be: take one out first", cart::MAX_LINES)]
    CartFull,
    #[error("buy_now takes exactly one item")]
    BuyNowSingleSku,
    #[error("address is empty")]
    EmptyAddress,
    #[error("address could not be located")]
    AddressNotFound,
    #[error("could not verify address country (no country in geocode result)")]
    AddressCountryUnresolved,
    // A client reads both countries out of this sentence.
    #[error("address resolves to {address}, buyer country is {buyer}")]
    AddressCountryMismatch { address: String, buyer: String },
    #[error("addresses cannot be looked up at the moment: {0}")]
    GeocoderUnavailable(String),
    #[error("item not found")]
    ItemNotFound,
    #[error("order not found")]
    OrderNotFound,
    #[error("{0} not found")]
    EntityNotFound(&'static str),
    #[error("the items are priced in more than one currency")]
    MixedCurrencyCart,
    #[error("no exchange rate from {from} to {to}")]
    FxRateUnavailable { from: String, to: String },
    #[error("{0} is your own product")]
    OwnProduct(String),
    #[error("{0} is not for sale")]
    ProductDisabled(String),
    #[error("the seller of {0} is suspended")]
    SellerSuspended(String),
    #[error("the account is suspended")]
    AccountSuspended,
    #[error("no default contact: {0}")]
    NoDefaultContact(String),
    #[error("{0}")]
    UnknownTransportOption(String),
    #[error("{0}")]
    TransportNotServed(String),
    #[error("{0}")]
    TransportUnavailable(String),
    #[error("{0}")]
    UnknownPaymentOption(String),
    #[error("{option} cannot be paid in {currency}")]
    PaymentCurrencyUnsupported { option: String, currency: String },
    #[error("{option} takes at most {} {}", most.amount_minor, most.currency)]
    PaymentTooLarge { option: String, most: Money },
    #[error("{option} collects at most {} {} for one parcel: confirm the items in parts", most.amount_minor, most.currency)]
    CollectTooLarge { option: String, most: Money },
    #[error("{0}")]
    PaymentFailed(String),
    #[error("{0}")]
    PaymentUnavailable(String),
    #[error("{0}")]
    PaymentNotTaken(String),
    #[error("the wallet does not cover the amount: name a payment_option for the rest")]
    WalletInsufficient,
    #[error("the amount is too large")]
    AmountTooLarge,
    #[error("no stock record for SKU {0}")]
    StockNotFound(SkuId),
    #[error("{label}: requested {requested}, available {available}")]
    OutOfStock {
        label: String,
        requested: i64,
        available: i64,
    },
    #[error("{label}: requested {requested}, free serials {available}")]
    SerialShortage {
        label: String,
        requested: i64,
        available: i64,
    },
    #[error("the items have different buyers")]
    ItemsNotSameBuyer,
    #[error("the items have different addresses")]
    ItemsNotSameAddress,
    #[error("the items have different transport options")]
    ItemsTransportMismatch,
    #[error("the items are not paid")]
    PaymentNotSuccess,
    #[error("item {0} belongs to another seller")]
    ItemNotOwnedBySeller(i64),
    #[error("item {0} is confirmed or being confirmed")]
    ItemAlreadyConfirmed(i64),
    #[error("item {0} is cancelled")]
    ItemAlreadyCancelled(i64),
    #[error("the checkout expired")]
    CheckoutExpired,
    #[error("the time to confirm this is over, and its money goes back to the buyer")]
    SellerConfirmTimeout,
    #[error("the checkout was cancelled")]
    CheckoutCancelled,
    #[error("the confirmation expired: its fee was not paid in time")]
    ConfirmExpired,
    #[error("the confirmation was cancelled")]
    ConfirmCancelled,
    #[error("the payment is no longer open")]
    SessionClosed,
    #[error("the payment is being worked on: ask again")]
    PaymentInProgress,
    /// What was noticed elsewhere, to be told here.
    #[error("{}", .0.message)]
    Refused(Refusal),
    #[error("the payment is settled; it is given back by a refund of the order")]
    PaymentSettled,
    #[error(
        "the items bring less than the {} {} of their carriage: confirm all items of the checkout, pay from the wallet, or reject them",
        .0.amount_minor, .0.currency
    )]
    CarriageNotCovered(Money),
    #[error("the fee needs a payment that settles at once")]
    FeeNotSettled,
    #[error("ask {module}: {reason}")]
    Peer { module: &'static str, reason: String },
    #[error("the claim of confirmation was lost: {claimed} items claimed, {placed} placed")]
    ClaimLost { claimed: u64, placed: u64 },
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Sql(#[from] sql::Error),
}

impl Error {
    /// Status and code of what a client may be told; none for what only an operator understands.
    fn told(&self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::QuantityRequired => (400, "quantity_param_required"),
            Self::BuyNowSingleSku => (400, "buy_now_single_sku_only"),
            Self::EmptyAddress => (400, "empty_address"),
            Self::AddressNotFound => (400, "address_not_found"),
            Self::AddressCountryUnresolved => (400, "address_country_unresolved"),
            Self::AddressCountryMismatch { .. } => (400, "address_country_mismatch"),
            Self::GeocoderUnavailable(_) => (502, "geocoding_provider_unavailable"),
            Self::ItemNotFound => (404, "order_item_not_found"),
            Self::OrderNotFound => (404, "order_not_found"),
            Self::EntityNotFound(_) => (404, "entity_not_found"),
            Self::MixedCurrencyCart => (400, "mixed_currency_cart"),
            Self::FxRateUnavailable { .. } => (503, "fx_rate_unavailable"),
            Self::OwnProduct(_) => (409, "own_product"),
            Self::ProductDisabled(_) => (409, "product_disabled"),
            Self::SellerSuspended(_) => (409, "seller_suspended"),
            Self::AccountSuspended => (403, "account_suspended"),
            Self::NoDefaultContact(_) => (404, "no_default_contact"),
            Self::UnknownTransportOption(_) => (400, "unknown_transport_option"),
            Self::TransportNotServed(_) => (400, "transport_not_served"),
            Self::TransportUnavailable(_) => (502, "transport_provider_unavailable"),
            Self::UnknownPaymentOption(_) => (400, "unknown_payment_option"),
            Self::PaymentCurrencyUnsupported { .. } => (400, "payment_currency_unsupported"),
            Self::PaymentTooLarge { .. } | Self::CollectTooLarge { .. } => (400, "payment_amount_too_large"),
            Self::PaymentFailed(_) => (402, "payment_failed"),
            Self::PaymentUnavailable(_) | Self::PaymentNotTaken(_) => (502, "payment_provider_unavailable"),
            Self::WalletInsufficient => (402, "ORDER_WALLET_INSUFFICIENT"),
            Self::AmountTooLarge => (400, "amount_too_large"),
            Self::CartFull => (409, "cart_full"),
            Self::StockNotFound(_) => (404, "stock_not_found"),
            Self::OutOfStock { .. } => (409, "out_of_stock"),
            Self::SerialShortage { .. } => (409, "serial_shortage"),
            Self::ItemsNotSameBuyer => (400, "items_not_same_buyer"),
            Self::ItemsNotSameAddress => (400, "items_not_same_address"),
            Self::ItemsTransportMismatch => (400, "items_transport_mismatch"),
            Self::PaymentNotSuccess => (400, "payment_not_success"),
            Self::ItemNotOwnedBySeller(_) => (403, "item_not_owned_by_seller"),
            Self::ItemAlreadyConfirmed(_) => (409, "item_already_confirmed"),
            Self::ItemAlreadyCancelled(_) => (409, "item_already_cancelled"),
            Self::CheckoutExpired => (409, "checkout_expired"),
            Self::SellerConfirmTimeout => (409, "seller_confirm_timeout"),
            Self::CheckoutCancelled => (409, "checkout_cancelled"),
            Self::ConfirmExpired => (409, "confirm_expired"),
            Self::ConfirmCancelled => (409, "confirm_cancelled"),
            Self::PaymentInProgress => (503, "payment_in_progress"),
            Self::SessionClosed => (410, "payment_session_closed"),
            Self::PaymentSettled => (409, "payment_cannot_cancel"),
            Self::CarriageNotCovered(_) => (409, "carriage_not_covered"),
            Self::FeeNotSettled => (409, "fee_not_settled"),
            Self::Refused(_) | Self::Peer { .. } | Self::ClaimLost { .. } | Self::Config(_) | Self::Sql(_) => {
                return None;
            }
        })
    }
}

impl From<Error> for http::Error {
    fn from(error: Error) -> Self {
        match (error.told(), error) {
            (_, Error::Refused(refusal)) if refusal.status == 500 => Self::internal(refusal.message),
            (_, Error::Refused(refusal)) => {
                let error = Self::new(refusal.status, refusal.code, refusal.message);
                match refusal.kept_checkout {
                    // Where the buyer pays for it after all.
                    Some(id) => error.with_header(
                        "link",
                        format!("</api/v1/order/buyer/checkout/{id}/payment-url>; rel=\"payment\""),
                    ),
                    None => error,
                }
            }
            (Some((status @ 503, code)), error @ Error::PaymentInProgress) => {
                Self::new(status, code, error.to_string()).with_header("retry-after", "1")
            }
            (Some((status, code)), error) => Self::new(status, code, error.to_string()),
            (None, error) => Self::internal(error),
        }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        match (error, error.told()) {
            (Error::Refused(refusal), _) => refusal.clone(),
            (_, Some((status, code))) => Self {
                status,
                code: code.to_owned(),
                message: error.to_string(),
                kept_checkout: None,
            },
            // Only whoever noticed it logs what an operator understands.
            (_, None) => Self {
                status: 500,
                code: "internal".to_owned(),
                message: "a flow of this module failed".to_owned(),
                kept_checkout: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_the_countries_of_a_mismatch() {
        let error = Error::AddressCountryMismatch {
            address: "US".into(),
            buyer: "VN".into(),
        };
        let answer = http::Error::from(error);
        assert_eq!((answer.status(), answer.code()), (400, "address_country_mismatch"));
        assert_eq!(
            answer.message(),
            "address_country_mismatch: address resolves to US, buyer country is VN"
        );
    }

    #[test]
    fn each_failure_has_the_status_and_code_clients_know() {
        let text = || "x".to_owned();
        let most = Money {
            amount_minor: 1,
            currency: "VND".parse().unwrap(),
        };
        let sku = SkuId("0190f5e3-0000-7000-8000-000000000001".parse().unwrap());
        let mismatch = Error::AddressCountryMismatch {
            address: text(),
            buyer: text(),
        };
        let no_rate = Error::FxRateUnavailable {
            from: text(),
            to: text(),
        };
        let (label, requested, available) = (text(), 2, 1);
        let out_of_stock = Error::OutOfStock {
            label,
            requested,
            available,
        };
        let label = text();
        let serial_shortage = Error::SerialShortage {
            label,
            requested,
            available,
        };
        let (option, currency) = (text(), text());
        let unsupported = Error::PaymentCurrencyUnsupported { option, currency };
        for (error, status, code) in [
            // What clients of the contract know.
            (Error::QuantityRequired, 400, "quantity_param_required"),
            (Error::BuyNowSingleSku, 400, "buy_now_single_sku_only"),
            (Error::EmptyAddress, 400, "empty_address"),
            (Error::AddressNotFound, 400, "address_not_found"),
            (Error::AddressCountryUnresolved, 400, "address_country_unresolved"),
            (mismatch, 400, "address_country_mismatch"),
            (Error::ItemNotFound, 404, "order_item_not_found"),
            (Error::OrderNotFound, 404, "order_not_found"),
            (Error::MixedCurrencyCart, 400, "mixed_currency_cart"),
            (no_rate, 503, "fx_rate_unavailable"),
            (out_of_stock, 409, "out_of_stock"),
            (serial_shortage, 409, "serial_shortage"),
            (Error::NoDefaultContact(text()), 404, "no_default_contact"),
            (Error::UnknownTransportOption(text()), 400, "unknown_transport_option"),
            (Error::UnknownPaymentOption(text()), 400, "unknown_payment_option"),
            (Error::WalletInsufficient, 402, "ORDER_WALLET_INSUFFICIENT"),
            (Error::PaymentFailed(text()), 402, "payment_failed"),
            (Error::ItemsNotSameBuyer, 400, "items_not_same_buyer"),
            (Error::ItemsNotSameAddress, 400, "items_not_same_address"),
            (Error::ItemsTransportMismatch, 400, "items_transport_mismatch"),
            (Error::PaymentNotSuccess, 400, "payment_not_success"),
            (Error::ItemNotOwnedBySeller(1), 403, "item_not_owned_by_seller"),
            (Error::ItemAlreadyConfirmed(1), 409, "item_already_confirmed"),
            (Error::ItemAlreadyCancelled(1), 409, "item_already_cancelled"),
            (Error::CheckoutExpired, 409, "checkout_expired"),
            (Error::SellerConfirmTimeout, 409, "seller_confirm_timeout"),
            (Error::CheckoutCancelled, 409, "checkout_cancelled"),
            (Error::ConfirmExpired, 409, "confirm_expired"),
            (Error::ConfirmCancelled, 409, "confirm_cancelled"),
            (Error::PaymentSettled, 409, "payment_cannot_cancel"),
            // What is ours besides.
            (Error::CartFull, 409, "cart_full"),
            (Error::EntityNotFound("payment"), 404, "entity_not_found"),
            (Error::StockNotFound(sku), 404, "stock_not_found"),
            (Error::OwnProduct(text()), 409, "own_product"),
            (Error::ProductDisabled(text()), 409, "product_disabled"),
            (Error::SellerSuspended(text()), 409, "seller_suspended"),
            (Error::AccountSuspended, 403, "account_suspended"),
            (Error::AmountTooLarge, 400, "amount_too_large"),
            (unsupported, 400, "payment_currency_unsupported"),
            (
                Error::PaymentTooLarge { option: text(), most },
                400,
                "payment_amount_too_large",
            ),
            (
                Error::CollectTooLarge { option: text(), most },
                400,
                "payment_amount_too_large",
            ),
            (Error::TransportNotServed(text()), 400, "transport_not_served"),
            (Error::CarriageNotCovered(most), 409, "carriage_not_covered"),
            (Error::FeeNotSettled, 409, "fee_not_settled"),
            (Error::SessionClosed, 410, "payment_session_closed"),
            (Error::PaymentInProgress, 503, "payment_in_progress"),
            (
                Error::GeocoderUnavailable(text()),
                502,
                "geocoding_provider_unavailable",
            ),
            (
                Error::TransportUnavailable(text()),
                502,
                "transport_provider_unavailable",
            ),
            (Error::PaymentUnavailable(text()), 502, "payment_provider_unavailable"),
            (Error::PaymentNotTaken(text()), 502, "payment_provider_unavailable"),
            // What only an operator understands.
            (Error::ClaimLost { claimed: 2, placed: 1 }, 500, "internal"),
        ] {
            let told = http::Error::from(Error::Refused(Refusal::from(&error)));
            assert_eq!((told.status(), told.code()), (status, code), "told by a flow");
            let answer = http::Error::from(error);
            assert_eq!((answer.status(), answer.code()), (status, code));
        }
    }

    #[test]
    fn a_failure_told_by_somebody_else_is_told_the_same() {
        for error in [
            Error::OutOfStock {
                label: "Shirt".into(),
                requested: 2,
                available: 1,
            },
            Error::CheckoutExpired,
            Error::WalletInsufficient,
        ] {
            let refusal = Refusal::from(&error);
            assert_eq!(http::Error::from(Error::Refused(refusal)), http::Error::from(error));
        }
        let inside = Refusal::from(&Error::Peer {
            module: "inventory",
            reason: "secret".into(),
        });
        let answer = http::Error::from(Error::Refused(inside));
        assert_eq!((answer.status(), answer.code()), (500, "internal"));
    }

    #[test]
    fn what_another_module_said_stays_inside() {
        let answer = http::Error::from(Error::Peer {
            module: "inventory",
            reason: "secret".into(),
        });
        assert_eq!((answer.status(), answer.code()), (500, "internal"));
        assert!(!answer.message().contains("secret"));
    }
}
