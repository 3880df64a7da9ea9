//! The five states that sessions, legs and parcels share.

use std::str::FromStr;

use sdk::sql::{FromValue, ToValue, Value};
use serde::Serialize;

/// Written as its name, in JSON and in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Status {
    Pending,
    Processing,
    Success,
    Cancelled,
    Failed,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Pending,
        Self::Processing,
        Self::Success,
        Self::Cancelled,
        Self::Failed,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Processing => "Processing",
            Self::Success => "Success",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
        }
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

impl ToValue for Status {
    fn to_value(&self) -> Value {
        self.as_str().to_value()
    }
}

impl FromValue for Status {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_database_write_the_same_name() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(Status::from_value(&status.to_value()), Some(status));
        }
        assert_eq!(Status::from_value(&Value::Text("success".to_owned())), None);
    }
}
