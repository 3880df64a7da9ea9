//! Which transfers may happen: each once, and none that its source cannot pay.

use std::{collections::BTreeMap, fmt, str::FromStr};

use sdk::{
    AccountId, Currency,
    sql::{FromValue, Value},
};

/// The most bytes of an id.
const MAX_ID_BYTES: usize = 200;

/// Where money is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Book {
    /// Outside of the shop.
    World,
    /// Paid, and neither paid out nor given back.
    Escrow,
    /// The platform's own.
    Revenue,
    /// An account's.
    Wallet(AccountId),
}

impl Book {
    pub(crate) fn owner(self) -> Option<AccountId> {
        match self {
            Self::Wallet(owner) => Some(owner),
            Self::World | Self::Escrow | Self::Revenue => None,
        }
    }

    /// Whether it may be below zero.
    fn may_owe(self) -> bool {
        self == Self::World
    }
}

/// The name of its row.
impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.write_str("world"),
            Self::Escrow => f.write_str("escrow"),
            Self::Revenue => f.write_str("revenue"),
            Self::Wallet(owner) => write!(f, "wallet:{owner}"),
        }
    }
}

/// The text names no book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseBookError;

impl FromStr for Book {
    type Err = ParseBookError;

    fn from_str(name: &str) -> Result<Self, ParseBookError> {
        match name {
            "world" => Ok(Self::World),
            "escrow" => Ok(Self::Escrow),
            "revenue" => Ok(Self::Revenue),
            _ => {
                let owner = name.strip_prefix("wallet:").ok_or(ParseBookError)?;
                owner.parse().map(Self::Wallet).map_err(|_| ParseBookError)
            }
        }
    }
}

impl FromValue for Book {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(name) => name.parse().ok(),
            _ => None,
        }
    }
}

/// Money from one book to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: String,
    pub(crate) source: Book,
    pub(crate) destination: Book,
    pub(crate) currency: Currency,
    /// Above 0.
    pub(crate) amount: i64,
    pub(crate) note: String,
    /// The transfer that this one moves back.
    pub(crate) reverts_id: Option<String>,
}

/// What is in a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Filling {
    /// What it can pay.
    pub(crate) balance: i64,
    /// What it is to pay besides, and has not paid yet.
    pub(crate) held: i64,
}

/// What is known of a transfer that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) id: String,
    /// The names of both books.
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) currency: Currency,
    pub(crate) amount: i64,
}

/// Why transfers do not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoAccount(AccountId),
    /// The source of this transfer has too little.
    Insufficient(String),
    /// Another transfer has this id.
    Conflict(String),
    Invalid(String),
}

/// The row of a book.
pub(crate) type BookKey = (String, Currency);

impl Posted {
    /// The transfer that moves this one's money back.
    pub(crate) fn reversal(&self, id: &str, note: &str) -> Result<Transfer, ParseBookError> {
        Ok(Transfer {
            id: id.to_owned(),
            source: self.destination.parse()?,
            destination: self.source.parse()?,
            currency: self.currency,
            amount: self.amount,
            note: note.to_owned(),
            reverts_id: Some(self.id.clone()),
        })
    }
}

impl Transfer {
    /// What can be refused without looking at any book.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        check_id(&self.id)?;
        if self.amount <= 0 {
            return Err(Refusal::Invalid(format!("{}: an amount of {}", self.id, self.amount)));
        }
        if self.source == self.destination {
            return Err(Refusal::Invalid(format!("{}: from {} to itself", self.id, self.source)));
        }
        Ok(())
    }

    pub(crate) fn source_key(&self) -> BookKey {
        (self.source.to_string(), self.currency)
    }

    pub(crate) fn destination_key(&self) -> BookKey {
        (self.destination.to_string(), self.currency)
    }

    fn says_the_same(&self, posted: &Posted) -> bool {
        (posted.source == self.source.to_string() && posted.destination == self.destination.to_string())
            && (posted.currency, posted.amount) == (self.currency, self.amount)
    }

    /// Whether both move as much between the same books.
    pub(super) fn moves_the_same(&self, other: &Self) -> bool {
        (self.source, self.destination, self.currency, self.amount)
            == (other.source, other.destination, other.currency, other.amount)
    }
}

/// What an id looks like.
pub(crate) fn check_id(id: &str) -> Result<(), Refusal> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(Refusal::Invalid(format!(
            "an id of {} bytes: it has 1 to {MAX_ID_BYTES}",
            id.len()
        )));
    }
    Ok(())
}

/// Applies the transfers to the balances, in their order, and returns those that did not happen before.
pub(crate) fn apply<'t>(
    transfers: &'t [Transfer],
    posted: &[Posted],
    balances: &mut BTreeMap<BookKey, i64>,
) -> Result<Vec<&'t Transfer>, Refusal> {
    let mut new: Vec<&Transfer> = Vec::new();
    for transfer in transfers {
        let conflict = || Refusal::Conflict(transfer.id.clone());
        if let Some(posted) = posted.iter().find(|posted| posted.id == transfer.id) {
            if transfer.says_the_same(posted) {
                continue;
            }
            return Err(conflict());
        }
        if new.iter().any(|other| other.id == transfer.id) {
            return Err(conflict());
        }
        let too_large = || Refusal::Invalid(format!("{}: the amount is too large", transfer.id));
        let source = balances.entry(transfer.source_key()).or_default();
        *source = source.checked_sub(transfer.amount).ok_or_else(too_large)?;
        if *source < 0 && !transfer.source.may_owe() {
            return Err(Refusal::Insufficient(transfer.id.clone()));
        }
        let destination = balances.entry(transfer.destination_key()).or_default();
        *destination = destination.checked_add(transfer.amount).ok_or_else(too_large)?;
        new.push(transfer);
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;

    fn dong() -> Currency {
        "VND".parse().unwrap()
    }

    fn transfer(id: &str, source: Book, destination: Book, amount: i64) -> Transfer {
        Transfer {
            id: id.to_owned(),
            source,
            destination,
            currency: dong(),
            amount,
            note: String::new(),
            reverts_id: None,
        }
    }

    fn seller() -> Book {
        Book::Wallet(AccountId(Uuid::from_u128(7)))
    }

    #[test]
    fn what_comes_in_can_be_paid_out_in_the_same_request_and_no_more() {
        let mut balances = BTreeMap::new();
        let transfers = [
            transfer("capture", Book::World, Book::Escrow, 100),
            transfer("payout", Book::Escrow, seller(), 80),
            transfer("fee", Book::Escrow, Book::Revenue, 20),
        ];
        assert_eq!(apply(&transfers, &[], &mut balances).unwrap().len(), 3);
        assert_eq!(balances.values().sum::<i64>(), 0);
        assert_eq!(balances[&("escrow".to_owned(), dong())], 0);

        let more = [transfer("more", Book::Escrow, seller(), 1)];
        assert_eq!(
            apply(&more, &[], &mut balances),
            Err(Refusal::Insufficient("more".to_owned()))
        );
    }

    #[test]
    fn one_that_happened_does_not_happen_again_and_cannot_become_another() {
        let payout = transfer("payout", Book::World, seller(), 80);
        let posted = Posted {
            id: "payout".to_owned(),
            source: "world".to_owned(),
            destination: seller().to_string(),
            currency: dong(),
            amount: 80,
        };
        let mut balances = BTreeMap::new();
        assert_eq!(
            apply(
                std::slice::from_ref(&payout),
                std::slice::from_ref(&posted),
                &mut balances
            ),
            Ok(vec![])
        );
        assert!(balances.is_empty());
        for other in [
            Posted {
                amount: 81,
                ..posted.clone()
            },
            Posted {
                source: "escrow".to_owned(),
                ..posted.clone()
            },
            Posted {
                currency: "USD".parse().unwrap(),
                ..posted
            },
        ] {
            let outcome = apply(std::slice::from_ref(&payout), &[other], &mut balances);
            assert_eq!(outcome, Err(Refusal::Conflict("payout".to_owned())));
        }
        let twice = [payout.clone(), payout];
        assert_eq!(
            apply(&twice, &[], &mut BTreeMap::new()),
            Err(Refusal::Conflict("payout".to_owned()))
        );
    }

    #[test]
    fn a_reversal_goes_the_way_back_between_the_same_books() {
        let paid = Posted {
            id: "checkout".to_owned(),
            source: seller().to_string(),
            destination: "escrow".to_owned(),
            currency: dong(),
            amount: 80,
        };
        let back = Transfer {
            reverts_id: Some("checkout".to_owned()),
            ..transfer("undo", Book::Escrow, seller(), 80)
        };
        assert_eq!(paid.reversal("undo", ""), Ok(back));
        for book in [Book::World, Book::Escrow, Book::Revenue, seller()] {
            assert_eq!(book.to_string().parse(), Ok(book));
        }
        for name in ["", "wallet", "wallet:nobody", "Escrow"] {
            assert_eq!(name.parse::<Book>(), Err(ParseBookError), "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for broken in [
            transfer("", Book::World, Book::Escrow, 1),
            transfer(&"x".repeat(201), Book::World, Book::Escrow, 1),
            transfer("a", Book::World, Book::Escrow, 0),
            transfer("a", Book::World, Book::Escrow, -1),
            transfer("a", Book::Escrow, Book::Escrow, 1),
        ] {
            assert!(matches!(broken.check(), Err(Refusal::Invalid(_))), "{broken:?}");
        }
        let mut balances = BTreeMap::from([(("escrow".to_owned(), dong()), i64::MAX)]);
        let above = [transfer("a", Book::World, Book::Escrow, 1)];
        let outcome = apply(&above, &[], &mut balances);
        assert!(matches!(outcome, Err(Refusal::Invalid(_))));
    }
}
