//! A transfer that may yet happen: what it takes out of a wallet is held until it is captured, which makes it, or released.

use sdk::AccountId;

use super::ledger::{Refusal, Transfer};

/// What became of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    Held(Transfer),
    /// The transfer was made.
    Captured(Transfer),
    /// It will never be made. Maybe it was never held.
    Released,
}

/// Whose wallet is to hold what this transfer takes.
pub(crate) fn holder(transfer: &Transfer) -> Result<AccountId, Refusal> {
    transfer.check()?;
    let nobody = || {
        let (id, source) = (&transfer.id, transfer.source);
        Refusal::Invalid(format!("{id}: {source} holds nothing, wallets do"))
    };
    transfer.source.owner().ok_or_else(nobody)
}

impl Hold {
    /// Whether this is the hold that is asked for once more.
    pub(crate) fn check_same(&self, asked: &Transfer) -> Result<(), Refusal> {
        match self {
            Self::Held(known) | Self::Captured(known) if known.moves_the_same(asked) => Ok(()),
            Self::Held(_) | Self::Captured(_) | Self::Released => Err(Refusal::Conflict(asked.id.clone())),
        }
    }

    /// What is to be made now, when it was not made before.
    pub(crate) fn capture(self, id: &str) -> Result<Option<Transfer>, Refusal> {
        match self {
            Self::Held(transfer) => Ok(Some(transfer)),
            Self::Captured(_) => Ok(None),
            Self::Released => Err(Refusal::Conflict(id.to_owned())),
        }
    }

    /// What is to be let go of, when that was not done before.
    pub(crate) fn release(self, id: &str) -> Result<Option<Transfer>, Refusal> {
        match self {
            Self::Held(transfer) => Ok(Some(transfer)),
            Self::Captured(_) => Err(Refusal::Conflict(id.to_owned())),
            Self::Released => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk::Uuid;

    use super::*;
    use crate::domain::ledger::Book;

    fn share(amount: i64) -> Transfer {
        Transfer {
            id: "checkout:1".to_owned(),
            source: Book::Wallet(AccountId(Uuid::from_u128(7))),
            destination: Book::Escrow,
            currency: "VND".parse().unwrap(),
            amount,
            note: "Checkout".to_owned(),
            reverts_id: None,
        }
    }

    fn conflict<T>() -> Result<T, Refusal> {
        Err(Refusal::Conflict("checkout:1".to_owned()))
    }

    #[test]
    fn only_a_wallet_holds() {
        assert_eq!(holder(&share(1)), Ok(AccountId(Uuid::from_u128(7))));
        let (of_the_world, nothing) = (
            Transfer {
                source: Book::World,
                ..share(1)
            },
            share(0),
        );
        for broken in [of_the_world, nothing] {
            assert!(matches!(holder(&broken), Err(Refusal::Invalid(_))), "{broken:?}");
        }
    }

    #[test]
    fn one_that_is_known_is_the_same_or_another_one() {
        for known in [Hold::Held(share(40)), Hold::Captured(share(40))] {
            assert_eq!(known.check_same(&share(40)), Ok(()));
            assert_eq!(known.check_same(&share(41)), conflict());
            let elsewhere = Transfer {
                destination: Book::Revenue,
                ..share(40)
            };
            assert_eq!(known.check_same(&elsewhere), conflict());
        }
        assert_eq!(Hold::Released.check_same(&share(40)), conflict());
    }

    #[test]
    fn it_ends_once_and_in_one_way() {
        let id = "checkout:1";
        assert_eq!(Hold::Held(share(40)).capture(id), Ok(Some(share(40))));
        assert_eq!(Hold::Captured(share(40)).capture(id), Ok(None));
        assert_eq!(Hold::Released.capture(id), conflict());
        assert_eq!(Hold::Held(share(40)).release(id), Ok(Some(share(40))));
        assert_eq!(Hold::Released.release(id), Ok(None));
        assert_eq!(Hold::Captured(share(40)).release(id), conflict());
    }
}
