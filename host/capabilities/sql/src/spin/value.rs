//! Values of `spin:postgres` as those of `nexus:sql`, and back. What has no case of its own there travels as text, which the server
//! reads by the type it expects.

use host_bindings::nexus::sql::sql::{Uuid, Value};
use host_bindings::stock::spin::postgres::postgres::{DbDataType, DbValue, Interval, ParameterValue, RangeBoundKind};
use postgres_types::{Kind, Type};
use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A day, a moment: year first.
type Day = (i32, u8, u8);
type Moment = (i32, u8, u8, u8, u8, u8, u32);

/// A parameter, or why it is none.
pub(super) fn to_sql(parameter: ParameterValue) -> Result<Value, String> {
    Ok(match parameter {
        ParameterValue::Boolean(it) => Value::Boolean(it),
        ParameterValue::Int8(it) => Value::Int16(it.into()),
        ParameterValue::Int16(it) => Value::Int16(it),
        ParameterValue::Int32(it) => Value::Int32(it),
        ParameterValue::Int64(it) => Value::Int64(it),
        ParameterValue::Floating32(it) => Value::Float32(it),
        ParameterValue::Floating64(it) => Value::Float64(it),
        ParameterValue::Str(it) => Value::Text(it),
        ParameterValue::Binary(it) => Value::Bytes(it),
        ParameterValue::Date(it) => {
            let days = (day(it)? - epoch().date()).whole_days();
            Value::Date(i32::try_from(days).map_err(|_| "a date out of range")?)
        }
        ParameterValue::Time((hour, minute, second, nanosecond)) => {
            Value::Text(format!("{hour:02}:{minute:02}:{second:02}.{:06}", nanosecond / 1_000))
        }
        ParameterValue::Datetime(it) => timestamp(moment(it)?)?,
        // Seconds as a number, as Spin gives them to the server.
        ParameterValue::Timestamp(seconds) => Value::Int64(seconds),
        ParameterValue::Uuid(it) => {
            let number = uuid::Uuid::parse_str(&it).map_err(|error| error.to_string())?.as_u128();
            Value::Uuid(Uuid {
                high: (number >> 64) as u64,
                low: number as u64,
            })
        }
        ParameterValue::Jsonb(it) => Value::Json(String::from_utf8(it).map_err(|_| "JSON that is not UTF-8")?),
        ParameterValue::Decimal(it) => Value::Numeric(it),
        ParameterValue::RangeInt32((from, to)) => Value::Text(range(from, to)),
        ParameterValue::RangeInt64((from, to)) => Value::Text(range(from, to)),
        ParameterValue::RangeDecimal((from, to)) => Value::Text(range(from, to)),
        ParameterValue::ArrayInt32(it) => Value::Int32Array(whole(it)?),
        ParameterValue::ArrayInt64(it) => Value::Int64Array(whole(it)?),
        ParameterValue::ArrayStr(it) => Value::TextArray(whole(it)?),
        ParameterValue::ArrayDecimal(_) => {
            return Err(
                "an array of decimals has no form here: give it as text, and cast it, $1::text::numeric[]".into(),
            );
        }
        ParameterValue::Interval(Interval { micros, days, months }) => {
            Value::Text(format!("{months} months {days} days {micros} microseconds"))
        }
        ParameterValue::DbNull => Value::Null,
    })
}

/// A column's value, or why it has none.
pub(super) fn from_sql(value: Value) -> Result<DbValue, String> {
    let unsupported = |what: &str| format!("{what} has no case in spin:postgres: cast the column to text");
    Ok(match value {
        Value::Null => DbValue::DbNull,
        Value::Boolean(it) => DbValue::Boolean(it),
        Value::Int16(it) => DbValue::Int16(it),
        Value::Int32(it) => DbValue::Int32(it),
        Value::Int64(it) => DbValue::Int64(it),
        Value::Float32(it) => DbValue::Floating32(it),
        Value::Float64(it) => DbValue::Floating64(it),
        Value::Numeric(it) => DbValue::Decimal(it),
        Value::Text(it) => DbValue::Str(it),
        Value::Bytes(it) => DbValue::Binary(it),
        Value::Uuid(Uuid { high, low }) => {
            let number = (u128::from(high) << 64) | u128::from(low);
            DbValue::Uuid(uuid::Uuid::from_u128(number).to_string())
        }
        Value::Json(it) => DbValue::Jsonb(it.into_bytes()),
        Value::Timestamp(micros) => {
            let at = epoch().checked_add(Duration::microseconds(micros));
            let at = at.ok_or_else(|| unsupported("a timestamp after the year 9999"))?;
            let (day, time) = (at.date(), at.time());
            DbValue::Datetime((
                day.year(),
                day.month().into(),
                day.day(),
                time.hour(),
                time.minute(),
                time.second(),
                time.nanosecond(),
            ))
        }
        Value::Date(days) => {
            let day = epoch().date().checked_add(Duration::days(days.into()));
            let day = day.ok_or_else(|| unsupported("a date after the year 9999"))?;
            DbValue::Date((day.year(), day.month().into(), day.day()))
        }
        Value::Int32Array(it) => DbValue::ArrayInt32(it.into_iter().map(Some).collect()),
        Value::Int64Array(it) => DbValue::ArrayInt64(it.into_iter().map(Some).collect()),
        Value::TextArray(it) => DbValue::ArrayStr(it.into_iter().map(Some).collect()),
        Value::BooleanArray(_) => return Err(unsupported("an array of booleans")),
        Value::Float64Array(_) => return Err(unsupported("an array of floats")),
        Value::UuidArray(_) => return Err(unsupported("an array of UUIDs")),
    })
}

/// What a column of this type is called.
pub(super) fn data_type(ty: &Type) -> DbDataType {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    match *ty {
        Type::BOOL => DbDataType::Boolean,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 | Type::OID => DbDataType::Int64,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DbDataType::Str,
        Type::BYTEA => DbDataType::Binary,
        Type::DATE => DbDataType::Date,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::UUID => DbDataType::Uuid,
        Type::JSON | Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => DbDataType::ArrayStr,
        _ => DbDataType::Other(ty.name().to_owned()),
    }
}

fn epoch() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH
}

fn day((year, month, day): Day) -> Result<Date, String> {
    let month = Month::try_from(month).map_err(|error| error.to_string())?;
    Date::from_calendar_date(year, month, day).map_err(|error| error.to_string())
}

fn moment((year, month, of_month, hour, minute, second, nanosecond): Moment) -> Result<OffsetDateTime, String> {
    let time = Time::from_hms_nano(hour, minute, second, nanosecond).map_err(|error| error.to_string())?;
    Ok(PrimitiveDateTime::new(day((year, month, of_month))?, time).assume_utc())
}

fn timestamp(at: OffsetDateTime) -> Result<Value, String> {
    let micros = (at - epoch()).whole_microseconds();
    Ok(Value::Timestamp(
        i64::try_from(micros).map_err(|_| "a timestamp out of range")?,
    ))
}

fn whole<T>(members: Vec<Option<T>>) -> Result<Vec<T>, String> {
    let members: Option<Vec<T>> = members.into_iter().collect();
    members.ok_or_else(|| "an array with a null in it has no form here: give it as text, and cast it".to_owned())
}

fn range<T: std::fmt::Display>(from: Option<(T, RangeBoundKind)>, to: Option<(T, RangeBoundKind)>) -> String {
    let (open, low) = match from {
        None => ('(', String::new()),
        Some((low, RangeBoundKind::Inclusive)) => ('[', low.to_string()),
        Some((low, RangeBoundKind::Exclusive)) => ('(', low.to_string()),
    };
    let (close, high) = match to {
        None => (')', String::new()),
        Some((high, RangeBoundKind::Inclusive)) => (']', high.to_string()),
        Some((high, RangeBoundKind::Exclusive)) => (')', high.to_string()),
    };
    format!("{open}{low},{high}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_what_they_were() {
        for moment in [
            (1970, 1, 1, 0, 0, 0, 0),
            (2026, 11, 27, 23, 59, 59, 123_456_000),
            (1969, 12, 31, 23, 59, 59, 0),
        ] {
            let value = to_sql(ParameterValue::Datetime(moment)).expect("a moment");
            assert!(
                matches!(from_sql(value), Ok(DbValue::Datetime(back)) if back == moment),
                "{moment:?}"
            );
        }
        for day in [(1970, 1, 1), (2024, 2, 29), (1600, 3, 1)] {
            let value = to_sql(ParameterValue::Date(day)).expect("a day");
            assert!(
                matches!(from_sql(value), Ok(DbValue::Date(back)) if back == day),
                "{day:?}"
            );
        }
        for none in [(2023, 2, 29), (2023, 13, 1), (2023, 0, 1)] {
            assert!(to_sql(ParameterValue::Date(none)).is_err(), "{none:?}");
        }
    }

    #[test]
    fn what_has_no_case_is_text_the_server_reads() {
        let text = |parameter| match to_sql(parameter) {
            Ok(Value::Text(text)) => text,
            other => panic!("{other:?}"),
        };
        let range = (
            Some((1, RangeBoundKind::Inclusive)),
            Some((5, RangeBoundKind::Exclusive)),
        );
        assert_eq!(text(ParameterValue::RangeInt32(range)), "[1,5)");
        assert_eq!(text(ParameterValue::RangeInt64((None, None))), "(,)");
        assert_eq!(text(ParameterValue::Time((1, 2, 3, 4_000))), "01:02:03.000004");
        assert!(to_sql(ParameterValue::ArrayInt32(vec![Some(1), None])).is_err());
        assert!(to_sql(ParameterValue::Uuid("no uuid".into())).is_err());
    }
}
