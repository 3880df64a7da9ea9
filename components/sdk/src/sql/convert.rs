//! Rust values as parameters and columns.

use serde::{Serialize, de::DeserializeOwned};

use super::Value;
use crate::{Currency, Timestamp, Uuid, saga::trap};

/// A Rust value as a statement's parameter.
pub trait ToValue {
    /// `None` becomes null.
    fn to_value(&self) -> Value;
}

/// A column as a Rust value.
pub trait FromValue: Sized {
    /// None when the column is of another type, or null where `Self` is no `Option`.
    fn from_value(value: &Value) -> Option<Self>;
}

/// A type that arrays are made of.
pub trait Element: Sized {
    /// The array as a parameter.
    fn to_array(items: &[Self]) -> Value;

    /// None when the column is no such array.
    fn from_array(value: &Value) -> Option<Vec<Self>>;
}

/// A json or jsonb column as a typed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

macro_rules! scalars {
    ($($type:ty: $to:expr, $($from:pat => $value:expr),+;)*) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                let to: fn(&Self) -> Value = $to;
                to(self)
            }
        }

        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $($from => $value,)+
                    _ => None,
                }
            }
        }
    )*};
}

scalars! {
    bool: |v| Value::Boolean(*v), Value::Boolean(v) => Some(*v);
    i16: |v| Value::Int16(*v), Value::Int16(v) => Some(*v);
    i32: |v| Value::Int32(*v), Value::Int32(v) => Some(*v), Value::Int16(v) => Some((*v).into());
    // A sum of bigints is numeric; it is read as long as it fits.
    i64: |v| Value::Int64(*v), Value::Int64(v) => Some(*v), Value::Int32(v) => Some((*v).into()),
        Value::Int16(v) => Some((*v).into()), Value::Numeric(v) => v.parse().ok();
    f32: |v| Value::Float32(*v), Value::Float32(v) => Some(*v);
    f64: |v| Value::Float64(*v), Value::Float64(v) => Some(*v), Value::Float32(v) => Some((*v).into()),
        Value::Numeric(v) => v.parse().ok();
    String: |v| Value::Text(v.clone()), Value::Text(v) => Some(v.clone()), Value::Numeric(v) => Some(v.clone());
    Uuid: |v| Value::Uuid((*v).into()), Value::Uuid(v) => Some((*v).into());
    Timestamp: |v| Value::Timestamp(v.as_micros()), Value::Timestamp(v) => Some(Timestamp::from_micros(*v));
    Currency: |v| Value::Text(v.to_string()), Value::Text(v) => v.parse().ok();
    serde_json::Value: |v| Value::Json(v.to_string()), Value::Json(v) => serde_json::from_str(v).ok();
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        if matches!(value, Value::Null) {
            Some(None)
        } else {
            T::from_value(value).map(Some)
        }
    }
}

impl<T: Element> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        T::to_array(self)
    }
}

impl<T: Element> ToValue for [T] {
    fn to_value(&self) -> Value {
        T::to_array(self)
    }
}

impl<T: Element> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Option<Self> {
        T::from_array(value)
    }
}

impl<T: Serialize> ToValue for Json<T> {
    fn to_value(&self) -> Value {
        let text = serde_json::to_string(&self.0)
            .unwrap_or_else(|error| trap(&format!("a json parameter has no JSON form: {error}")));
        Value::Json(text)
    }
}

impl<T: DeserializeOwned> FromValue for Json<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Json(text) => serde_json::from_str(text).ok().map(Json),
            _ => None,
        }
    }
}

macro_rules! elements {
    ($($type:ty: $variant:ident, $to:expr, $from:expr;)*) => {$(
        impl Element for $type {
            fn to_array(items: &[Self]) -> Value {
                Value::$variant(items.iter().map($to).collect())
            }

            fn from_array(value: &Value) -> Option<Vec<Self>> {
                match value {
                    Value::$variant(items) => Some(items.iter().map($from).collect()),
                    _ => None,
                }
            }
        }
    )*};
}

elements! {
    u8: Bytes, |item| *item, |item| *item;
    bool: BooleanArray, |item| *item, |item| *item;
    i32: Int32Array, |item| *item, |item| *item;
    i64: Int64Array, |item| *item, |item| *item;
    f64: Float64Array, |item| *item, |item| *item;
    String: TextArray, Clone::clone, Clone::clone;
    Uuid: UuidArray, |item| (*item).into(), |item| (*item).into();
}

impl Element for &str {
    fn to_array(items: &[Self]) -> Value {
        Value::TextArray(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn from_array(_: &Value) -> Option<Vec<Self>> {
        // A column is never borrowed: ask for `Vec<String>`.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, params};

    fn round_trip<T: ToValue + FromValue + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(T::from_value(&value.to_value()), Some(value));
    }

    #[test]
    fn values_survive_the_way_there_and_back() {
        round_trip(true);
        round_trip(7i16);
        round_trip(7i32);
        round_trip(7i64);
        round_trip(0.5f64);
        round_trip("text".to_owned());
        round_trip(Uuid::from_u128(7));
        round_trip(AccountId(Uuid::from_u128(7)));
        round_trip(Timestamp::from_ms(-1));
        round_trip(serde_json::json!({ "a": [1, null] }));
        round_trip(Json(vec![1, 2]));
        round_trip(Some(7i64));
        round_trip(None::<i64>);
        round_trip(vec![Uuid::NIL]);
        round_trip(vec![AccountId(Uuid::NIL)]);
        round_trip(vec!["a".to_owned()]);
        round_trip(vec![1u8, 2]);
    }

    #[test]
    fn integers_widen_and_never_narrow() {
        assert_eq!(i64::from_value(&Value::Int16(3)), Some(3));
        assert_eq!(i64::from_value(&Value::Numeric("12".to_owned())), Some(12));
        assert_eq!(i64::from_value(&Value::Numeric("1.5".to_owned())), None);
        assert_eq!(i32::from_value(&Value::Int64(3)), None);
    }

    #[test]
    fn null_is_no_value() {
        assert_eq!(String::from_value(&Value::Null), None);
        assert_eq!(Vec::<i64>::from_value(&Value::Null), None);
    }

    #[test]
    fn parameters_are_borrowed() {
        let name = "x".to_owned();
        assert_eq!(params![name, &name, name.as_str()], vec![Value::Text(name.clone()); 3]);
    }
}
