//! Amounts: integers in a currency's smallest unit, never floats.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// ISO 4217, three upper-case ASCII letters (shape only).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The text is not three upper-case ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a currency code")]
pub struct ParseCurrencyError;

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, ParseCurrencyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err(ParseCurrencyError),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::custom("expected a currency code of three upper-case letters"))
    }
}

/// An amount and what it is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Money {
    /// In the currency's smallest unit.
    pub amount_minor: i64,
    /// What it is counted in.
    pub currency: Currency,
}

/// Two amounts that cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// They are counted in different things.
    #[error("cannot combine {left} and {right}")]
    Currencies {
        /// Of the amount asked.
        left: Currency,
        /// Of the amount given.
        right: Currency,
    },
    /// The result does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
}

impl Money {
    /// An amount in the smallest unit of a currency.
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Nothing of a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The sum; fails across currencies and on overflow.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference; fails across currencies and on overflow.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// So many times the amount; fails on overflow.
    pub fn times(self, count: i64) -> Result<Self, MoneyError> {
        let amount_minor = self.amount_minor.checked_mul(count).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    fn combine(self, other: Self, with: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currencies {
                left: self.currency,
                right: other.currency,
            });
        }
        let amount_minor = with(self.amount_minor, other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vnd(amount_minor: i64) -> Money {
        Money::new(amount_minor, "VND".parse().unwrap())
    }

    #[test]
    fn amounts_of_different_currencies_do_not_mix() {
        let usd = Money::new(1, "USD".parse().unwrap());
        assert_eq!(
            vnd(1).plus(usd),
            Err(MoneyError::Currencies {
                left: vnd(1).currency,
                right: usd.currency
            })
        );
        assert_eq!(vnd(3).minus(vnd(5)), Ok(vnd(-2)));
    }

    #[test]
    fn an_amount_never_wraps() {
        assert_eq!(vnd(i64::MAX).plus(vnd(1)), Err(MoneyError::Overflow));
        assert_eq!(vnd(i64::MAX).times(2), Err(MoneyError::Overflow));
        assert_eq!(vnd(7).times(3), Ok(vnd(21)));
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        for text in ["vnd", "VN", "VNDX", "VÑ", "V1D", ""] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
        assert_eq!(
            serde_json::to_string(&vnd(5)).unwrap(),
            r#"{"amount_minor":5,"currency":"VND"}"#
        );
    }
}
