//! WIT values to parameters of the type the server expects, and columns to WIT values.

use std::error::Error as StdError;

use bytes::BytesMut;
use host_bindings::nexus::sql::sql::{Uuid, Value};
use postgres_types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

mod numeric;

/// PostgreSQL counts times from 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// The types that have a case of their own in the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytes,
    Uuid,
    Json,
    Jsonb,
    Timestamp,
    Date,
    Void,
}

/// What a type is for the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Scalar(Scalar),
    Array(Scalar),
    /// Without a case of its own. Text can become one, and it can be cast to text.
    Other,
    OtherArray,
}

/// A domain is what it restricts.
fn base(mut ty: &Type) -> &Type {
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

fn scalar(ty: &Type) -> Option<Scalar> {
    let ty = base(ty);
    if matches!(ty.kind(), Kind::Enum(_)) || ty.name() == "citext" {
        return Some(Scalar::Text);
    }
    Some(match *ty {
        Type::BOOL => Scalar::Bool,
        Type::INT2 => Scalar::Int2,
        Type::INT4 => Scalar::Int4,
        Type::INT8 => Scalar::Int8,
        Type::OID => Scalar::Oid,
        Type::FLOAT4 => Scalar::Float4,
        Type::FLOAT8 => Scalar::Float8,
        Type::NUMERIC => Scalar::Numeric,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => Scalar::Text,
        Type::BYTEA => Scalar::Bytes,
        Type::UUID => Scalar::Uuid,
        Type::JSON => Scalar::Json,
        Type::JSONB => Scalar::Jsonb,
        Type::TIMESTAMPTZ | Type::TIMESTAMP => Scalar::Timestamp,
        Type::DATE => Scalar::Date,
        Type::VOID => Scalar::Void,
        _ => return None,
    })
}

fn shape(ty: &Type) -> Shape {
    match base(ty).kind() {
        Kind::Array(member) => scalar(member).map_or(Shape::OtherArray, Shape::Array),
        _ => scalar(ty).map_or(Shape::Other, Shape::Scalar),
    }
}

/// Why a column of this type cannot be given to a guest, if so.
pub(crate) fn unsupported(column: &str, ty: &Type) -> Option<String> {
    use Scalar::{Bool, Float4, Float8, Int2, Int4, Int8, Text, Uuid};
    let cast = match shape(ty) {
        Shape::Scalar(_) | Shape::Array(Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Text | Uuid) => return None,
        Shape::Other => "text",
        Shape::Array(_) | Shape::OtherArray => "text[]",
    };
    Some(format!(
        "column {column:?} has type {}, which has no case in nexus:sql: cast it, {column}::{cast}",
        ty.name()
    ))
}

/// A column of a row. Its type was checked with [`unsupported`].
pub(crate) struct Column(pub(crate) Result<Value, String>);

impl<'a> FromSql<'a> for Column {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(decode(base(ty), raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Ok(Value::Null)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn read<'a, T: FromSql<'a>>(ty: &Type, raw: &'a [u8]) -> Result<T, String> {
    T::from_sql(ty, raw).map_err(|error| format!("a value of type {}: {error}", ty.name()))
}

fn decode(ty: &Type, raw: &[u8]) -> Result<Value, String> {
    Ok(match shape(ty) {
        Shape::Scalar(scalar) => match scalar {
            Scalar::Bool => Value::Boolean(read(ty, raw)?),
            Scalar::Int2 => Value::Int16(read(ty, raw)?),
            Scalar::Int4 => Value::Int32(read(ty, raw)?),
            Scalar::Int8 => Value::Int64(read(ty, raw)?),
            Scalar::Oid => Value::Int64(read::<u32>(ty, raw)?.into()),
            Scalar::Float4 => Value::Float32(read(ty, raw)?),
            Scalar::Float8 => Value::Float64(read(ty, raw)?),
            Scalar::Numeric => Value::Numeric(numeric::to_text(raw)?),
            Scalar::Text => Value::Text(text(raw)?),
            Scalar::Bytes => Value::Bytes(raw.to_vec()),
            Scalar::Uuid => Value::Uuid(uuid(u128::from_be_bytes(fixed(raw)?))),
            Scalar::Json => Value::Json(text(raw)?),
            // One byte of version, then text.
            Scalar::Jsonb => Value::Json(text(raw.get(1..).unwrap_or_default())?),
            Scalar::Timestamp => match i64::from_be_bytes(fixed(raw)?) {
                i64::MIN | i64::MAX => return Err("an infinite timestamp has no value in nexus:sql".into()),
                since => Value::Timestamp(since.checked_add(EPOCH_US).ok_or("a timestamp out of range")?),
            },
            Scalar::Date => match i32::from_be_bytes(fixed(raw)?) {
                i32::MIN | i32::MAX => return Err("an infinite date has no value in nexus:sql".into()),
                since => Value::Date(since.checked_add(EPOCH_DAYS).ok_or("a date out of range")?),
            },
            Scalar::Void => Value::Null,
        },
        Shape::Array(member) => match member {
            Scalar::Bool => Value::BooleanArray(read(ty, raw)?),
            Scalar::Int2 => Value::Int32Array(read::<Vec<i16>>(ty, raw)?.into_iter().map(i32::from).collect()),
            Scalar::Int4 => Value::Int32Array(read(ty, raw)?),
            Scalar::Int8 => Value::Int64Array(read(ty, raw)?),
            Scalar::Float4 => Value::Float64Array(read::<Vec<f32>>(ty, raw)?.into_iter().map(f64::from).collect()),
            Scalar::Float8 => Value::Float64Array(read(ty, raw)?),
            Scalar::Text => Value::TextArray(read::<Vec<Label>>(ty, raw)?.into_iter().map(|label| label.0).collect()),
            Scalar::Uuid => Value::UuidArray(read::<Vec<RawUuid>>(ty, raw)?.into_iter().map(|it| it.0).collect()),
            _ => return Err(format!("type {} has no case in nexus:sql", ty.name())),
        },
        Shape::Other | Shape::OtherArray => return Err(format!("type {} has no case in nexus:sql", ty.name())),
    })
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], String> {
    raw.try_into()
        .map_err(|_| format!("{} bytes where {N} were expected", raw.len()))
}

fn text(raw: &[u8]) -> Result<String, String> {
    String::from_utf8(raw.to_vec()).map_err(|_| "text that is not UTF-8".to_owned())
}

fn uuid(number: u128) -> Uuid {
    Uuid {
        high: (number >> 64) as u64,
        low: number as u64,
    }
}

fn number(uuid: &Uuid) -> u128 {
    (u128::from(uuid.high) << 64) | u128::from(uuid.low)
}

/// A member of an array of text, or of an enum.
struct Label(String);

impl<'a> FromSql<'a> for Label {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(text(raw)?))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A member of an array of UUIDs.
#[derive(Debug)]
struct RawUuid(Uuid);

impl<'a> FromSql<'a> for RawUuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(uuid(u128::from_be_bytes(fixed(raw)?))))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for RawUuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&number(&self.0).to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A parameter, converted to what the statement expects at its place.
#[derive(Debug)]
pub(crate) enum Parameter {
    Null,
    Binary(BytesMut),
    /// The server parses it: its own rules for numerics, JSON and the types without a case of their own.
    Text(String),
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Binary(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Text(_) => Format::Text,
            Self::Null | Self::Binary(_) => Format::Binary,
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Converts a guest's value to a parameter of this type, or says why it does not fit.
pub(crate) fn parameter(value: &Value, ty: &Type) -> Result<Parameter, String> {
    let base = base(ty);
    let misfit = || format!("{} does not fit type {}", describe(value), ty.name());
    let shape = shape(base);
    match (value, shape) {
        (Value::Null, _) => Ok(Parameter::Null),
        (Value::Boolean(it), Shape::Scalar(Scalar::Bool)) => binary(it, base),
        (Value::Int16(it), Shape::Scalar(to)) => integer(i64::from(*it), to, base).unwrap_or_else(|| Err(misfit())),
        (Value::Int32(it), Shape::Scalar(to)) => integer(i64::from(*it), to, base).unwrap_or_else(|| Err(misfit())),
        (Value::Int64(it), Shape::Scalar(to)) => integer(*it, to, base).unwrap_or_else(|| Err(misfit())),
        (Value::Float32(it), Shape::Scalar(Scalar::Float4)) => binary(it, base),
        (Value::Float32(it), Shape::Scalar(Scalar::Float8)) => binary(&f64::from(*it), base),
        (Value::Float64(it), Shape::Scalar(Scalar::Float8)) => binary(it, base),
        (Value::Numeric(it), Shape::Scalar(Scalar::Numeric)) => {
            if numeric::is_decimal(it) {
                Ok(Parameter::Text(it.clone()))
            } else {
                Err("not a decimal number".into())
            }
        }
        (Value::Text(it), Shape::Scalar(Scalar::Text) | Shape::Other) => {
            if it.contains('\0') {
                Err("text with a zero byte".into())
            } else {
                Ok(Parameter::Text(it.clone()))
            }
        }
        (Value::Bytes(it), Shape::Scalar(Scalar::Bytes)) => Ok(Parameter::Binary(it.as_slice().into())),
        (Value::Uuid(it), Shape::Scalar(Scalar::Uuid)) => binary(&RawUuid(*it), base),
        (Value::Json(it), Shape::Scalar(Scalar::Json | Scalar::Jsonb)) => {
            match serde_json::from_str::<serde::de::IgnoredAny>(it) {
                Ok(_) => Ok(Parameter::Text(it.clone())),
                Err(error) => Err(format!("not JSON: {error}")),
            }
        }
        (Value::Timestamp(it), Shape::Scalar(Scalar::Timestamp)) => match it.checked_sub(EPOCH_US) {
            Some(since) if since != i64::MIN => Ok(Parameter::Binary(since.to_be_bytes().as_slice().into())),
            _ => Err("a timestamp out of range".into()),
        },
        (Value::Date(it), Shape::Scalar(Scalar::Date)) => match it.checked_sub(EPOCH_DAYS) {
            Some(since) if since != i32::MIN => Ok(Parameter::Binary(since.to_be_bytes().as_slice().into())),
            _ => Err("a date out of range".into()),
        },
        (Value::BooleanArray(it), Shape::Array(Scalar::Bool)) => binary(it, base),
        (Value::Int32Array(it), Shape::Array(Scalar::Int2)) => {
            let narrow = it.iter().map(|&it| i16::try_from(it)).collect::<Result<Vec<_>, _>>();
            binary(&narrow.map_err(|_| "a number out of range for smallint")?, base)
        }
        (Value::Int32Array(it), Shape::Array(Scalar::Int4)) => binary(it, base),
        (Value::Int32Array(it), Shape::Array(Scalar::Int8)) => {
            binary(&it.iter().map(|&it| i64::from(it)).collect::<Vec<_>>(), base)
        }
        (Value::Int64Array(it), Shape::Array(Scalar::Int8)) => binary(it, base),
        (Value::Int64Array(it), Shape::Array(Scalar::Int4)) => {
            let narrow = it.iter().map(|&it| i32::try_from(it)).collect::<Result<Vec<_>, _>>();
            binary(&narrow.map_err(|_| "a number out of range for integer")?, base)
        }
        (Value::Float64Array(it), Shape::Array(Scalar::Float8)) => binary(it, base),
        (Value::TextArray(it), Shape::Array(Scalar::Text)) => {
            if it.iter().any(|it| it.contains('\0')) {
                Err("text with a zero byte".into())
            } else {
                binary(it, base)
            }
        }
        (Value::UuidArray(it), Shape::Array(Scalar::Uuid)) => {
            binary(&it.iter().map(|&it| RawUuid(it)).collect::<Vec<_>>(), base)
        }
        _ => Err(misfit()),
    }
}

/// `None` when the type is not one of integers.
fn integer(value: i64, to: Scalar, ty: &Type) -> Option<Result<Parameter, String>> {
    let narrow = |name: &str| format!("{value} is out of range for {name}");
    Some(match to {
        Scalar::Int2 => i16::try_from(value)
            .map_err(|_| narrow("smallint"))
            .and_then(|it| binary(&it, ty)),
        Scalar::Int4 => i32::try_from(value)
            .map_err(|_| narrow("integer"))
            .and_then(|it| binary(&it, ty)),
        Scalar::Int8 => binary(&value, ty),
        Scalar::Oid => u32::try_from(value)
            .map_err(|_| narrow("oid"))
            .and_then(|it| binary(&it, ty)),
        Scalar::Numeric => Ok(Parameter::Text(value.to_string())),
        // Exact up to 2^53.
        Scalar::Float8 if value.unsigned_abs() <= 1 << 53 => binary(&(value as f64), ty),
        Scalar::Float8 => Err(narrow("an exact double precision")),
        _ => return None,
    })
}

fn binary<T: ToSql>(value: &T, ty: &Type) -> Result<Parameter, String> {
    let mut bytes = BytesMut::new();
    value.to_sql(ty, &mut bytes).map_err(|error| error.to_string())?;
    Ok(Parameter::Binary(bytes))
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "a boolean",
        Value::Int16(_) => "an int16",
        Value::Int32(_) => "an int32",
        Value::Int64(_) => "an int64",
        Value::Float32(_) => "a float32",
        Value::Float64(_) => "a float64",
        Value::Numeric(_) => "a numeric",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(_) => "a uuid",
        Value::Json(_) => "json",
        Value::Timestamp(_) => "a timestamp",
        Value::Date(_) => "a date",
        Value::BooleanArray(_) => "a boolean-array",
        Value::Int32Array(_) => "an int32-array",
        Value::Int64Array(_) => "an int64-array",
        Value::Float64Array(_) => "a float64-array",
        Value::TextArray(_) => "a text-array",
        Value::UuidArray(_) => "a uuid-array",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(value: Value, ty: &Type) -> String {
        parameter(&value, ty).expect_err("it does not fit")
    }

    #[test]
    fn a_value_goes_only_where_it_fits() {
        assert!(matches!(parameter(&Value::Null, &Type::INET), Ok(Parameter::Null)));
        assert_eq!(
            reason(Value::Int64(40_000), &Type::INT2),
            "40000 is out of range for smallint"
        );
        assert_eq!(
            reason(Value::Text("5".into()), &Type::INT4),
            "a text does not fit type int4"
        );
        assert_eq!(reason(Value::Int32(1), &Type::TEXT), "an int32 does not fit type text");
        assert_eq!(
            reason(Value::Numeric("1,5".into()), &Type::NUMERIC),
            "not a decimal number"
        );
        assert!(reason(Value::Json("{".into()), &Type::JSONB).starts_with("not JSON"));
        assert_eq!(reason(Value::Text("a\0b".into()), &Type::TEXT), "text with a zero byte");
        assert_eq!(
            reason(Value::Timestamp(i64::MIN), &Type::TIMESTAMPTZ),
            "a timestamp out of range"
        );
        assert_eq!(
            reason(Value::Int64Array(vec![1 << 40]), &Type::INT4_ARRAY),
            "a number out of range for integer"
        );
    }

    #[test]
    fn text_becomes_a_type_without_a_case_of_its_own() {
        assert!(matches!(
            parameter(&Value::Text("1 day".into()), &Type::INTERVAL),
            Ok(Parameter::Text(_))
        ));
    }

    #[test]
    fn infinite_times_are_refused_and_not_wrapped() {
        assert!(decode(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()).is_err());
        assert!(decode(&Type::DATE, &i32::MIN.to_be_bytes()).is_err());
    }

    #[test]
    fn an_unsupported_column_names_the_cast() {
        let text = unsupported("span", &Type::INTERVAL).expect("intervals have no case");
        assert!(text.contains("interval") && text.contains("span::text"), "{text}");
        assert!(unsupported("spans", &Type::INTERVAL_ARRAY).is_some_and(|text| text.contains("spans::text[]")));
        assert_eq!(unsupported("id", &Type::UUID_ARRAY), None);
    }
}
