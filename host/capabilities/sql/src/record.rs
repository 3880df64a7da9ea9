//! How statements and their results are recorded: positional CBOR, since it is stored for years and read back by newer hosts.
//! A case gets a new number; a number is never given another meaning.

use std::convert::Infallible;

use host_bindings::nexus::sql::sql::{DatabaseError, Error, Rows, Uuid, Value, Violation};
use host_journal::Payload;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};

/// What a statement came to.
pub(crate) type Answer = Result<Rows, Error>;

/// Version of a transaction's record.
const VERSION: u8 = 1;

type Encoding = Result<(), EncodeError<Infallible>>;
type Writer<'a> = Encoder<&'a mut Vec<u8>>;

/// One step of a recorded transaction.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Savepoint,
    Release,
    RollbackTo,
    /// A statement, by the keyed hash of its text and parameters.
    Statement {
        hash: [u8; 16],
        answer: Answer,
    },
}

/// How a recorded transaction ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Committed,
    RolledBack,
    /// COMMIT was asked for and refused.
    Refused(Error),
}

/// A transaction's record being written.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    steps: Vec<u8>,
    count: u64,
}

impl Recording {
    pub(crate) fn push(&mut self, step: &Step) {
        self.count += 1;
        write(&mut self.steps, |e| match step {
            Step::Savepoint => e.u8(0).map(drop),
            Step::Release => e.u8(1).map(drop),
            Step::RollbackTo => e.u8(2).map(drop),
            Step::Statement { hash, answer } => {
                e.array(2)?.bytes(hash)?;
                put_answer(e, answer)
            }
        });
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The record with this end. What was recorded stays, so that another end can be tried.
    pub(crate) fn finish(&self, end: &End) -> Payload {
        let mut bytes = Vec::with_capacity(self.steps.len() + 16);
        write(&mut bytes, |e| e.array(3)?.u8(VERSION)?.array(self.count).map(drop));
        bytes.extend_from_slice(&self.steps);
        write(&mut bytes, |e| match end {
            End::Committed => e.u8(0).map(drop),
            End::RolledBack => e.u8(1).map(drop),
            End::Refused(error) => {
                e.array(1)?;
                put_error(e, error)
            }
        });
        bytes.into()
    }
}

/// Reads a transaction's record.
pub(crate) fn transaction(record: &[u8]) -> Result<(Vec<Step>, End), DecodeError> {
    let mut d = Decoder::new(record);
    expect_array(&mut d, 3)?;
    match d.u8()? {
        VERSION => {}
        other => {
            return Err(DecodeError::message(format!(
                "a transaction's record of version {other}"
            )));
        }
    }
    let steps = list(&mut d, |d| {
        if d.datatype()? == minicbor::data::Type::Array {
            expect_array(d, 2)?;
            let hash = d
                .bytes()?
                .try_into()
                .map_err(|_| DecodeError::message("a hash of another length"))?;
            return Ok(Step::Statement {
                hash,
                answer: get_answer(d)?,
            });
        }
        match d.u8()? {
            0 => Ok(Step::Savepoint),
            1 => Ok(Step::Release),
            2 => Ok(Step::RollbackTo),
            other => Err(unknown("step", other)),
        }
    })?;
    let end = if d.datatype()? == minicbor::data::Type::Array {
        expect_array(&mut d, 1)?;
        End::Refused(get_error(&mut d)?)
    } else {
        match d.u8()? {
            0 => End::Committed,
            1 => End::RolledBack,
            other => return Err(unknown("end", other)),
        }
    };
    Ok((steps, end))
}

/// The bytes by which a statement with its parameters is recognised.
pub(crate) fn statement(text: &str, parameters: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 16 * parameters.len() + 8);
    write(&mut bytes, |e| {
        e.array(2)?.str(text)?.array(parameters.len() as u64)?;
        parameters.iter().try_for_each(|value| put_value(e, value))
    });
    bytes
}

/// A query's answer, to be recorded.
pub(crate) fn encode_answer(answer: &Answer) -> Payload {
    let mut bytes = Vec::new();
    write(&mut bytes, |e| put_answer(e, answer));
    bytes.into()
}

/// A query's recorded answer.
pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Answer, DecodeError> {
    get_answer(&mut Decoder::new(bytes))
}

fn write(bytes: &mut Vec<u8>, put: impl FnOnce(&mut Writer<'_>) -> Encoding) {
    // A vector takes everything, and nothing written here has a failure of its own.
    put(&mut Encoder::new(bytes)).expect("encoding into a vector does not fail");
}

fn unknown(what: &str, number: u8) -> DecodeError {
    DecodeError::message(format!("{what} {number} is not known to this host"))
}

fn expect_array(d: &mut Decoder<'_>, length: u64) -> Result<(), DecodeError> {
    match d.array()? {
        Some(found) if found == length => Ok(()),
        _ => Err(DecodeError::message(format!("expected an array of {length}"))),
    }
}

fn list<'b, T>(
    d: &mut Decoder<'b>,
    mut get: impl FnMut(&mut Decoder<'b>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let length = d
        .array()?
        .ok_or_else(|| DecodeError::message("an array of unknown length"))?;
    // The length is what the bytes claim; only what is there is allocated.
    let mut items = Vec::with_capacity(length.min(1024) as usize);
    for _ in 0..length {
        items.push(get(d)?);
    }
    Ok(items)
}

fn put_answer(e: &mut Writer<'_>, answer: &Answer) -> Encoding {
    match answer {
        Ok(rows) => {
            e.array(3)?.array(rows.columns.len() as u64)?;
            rows.columns.iter().try_for_each(|column| e.str(column).map(drop))?;
            e.array(rows.rows.len() as u64)?;
            for row in &rows.rows {
                e.array(row.len() as u64)?;
                row.iter().try_for_each(|value| put_value(e, value))?;
            }
            e.u64(rows.affected).map(drop)
        }
        Err(error) => {
            e.array(1)?;
            put_error(e, error)
        }
    }
}

fn get_answer(d: &mut Decoder<'_>) -> Result<Answer, DecodeError> {
    match d.array()? {
        Some(3) => {
            let columns = list(d, |d| Ok(d.str()?.to_owned()))?;
            let rows = list(d, |d| list(d, get_value))?;
            Ok(Ok(Rows {
                columns,
                rows,
                affected: d.u64()?,
            }))
        }
        Some(1) => get_error(d).map(Err),
        _ => Err(DecodeError::message("expected rows or an error")),
    }
}

fn put_error(e: &mut Writer<'_>, error: &Error) -> Encoding {
    let violation = |e: &mut Writer<'_>, tag: u8, it: &Violation| {
        e.array(4)?
            .u8(tag)?
            .str(&it.constraint)?
            .str(&it.table)?
            .str(&it.message)
            .map(drop)
    };
    match error {
        Error::UniqueViolation(it) => violation(e, 0, it),
        Error::ForeignKeyViolation(it) => violation(e, 1, it),
        Error::CheckViolation(it) => violation(e, 2, it),
        Error::NotNullViolation(it) => violation(e, 3, it),
        Error::InvalidParameter((position, reason)) => e.array(3)?.u8(4)?.u32(*position)?.str(reason).map(drop),
        Error::Poisoned => e.array(1)?.u8(5).map(drop),
        Error::Other(it) => e.array(3)?.u8(6)?.str(&it.code)?.str(&it.message).map(drop),
    }
}

fn get_error(d: &mut Decoder<'_>) -> Result<Error, DecodeError> {
    d.array()?;
    let tag = d.u8()?;
    let mut violation = || {
        let (constraint, table) = (d.str()?.to_owned(), d.str()?.to_owned());
        Ok::<_, DecodeError>(Violation {
            constraint,
            table,
            message: d.str()?.to_owned(),
        })
    };
    Ok(match tag {
        0 => Error::UniqueViolation(violation()?),
        1 => Error::ForeignKeyViolation(violation()?),
        2 => Error::CheckViolation(violation()?),
        3 => Error::NotNullViolation(violation()?),
        4 => Error::InvalidParameter((d.u32()?, d.str()?.to_owned())),
        5 => Error::Poisoned,
        6 => Error::Other(DatabaseError {
            code: d.str()?.to_owned(),
            message: d.str()?.to_owned(),
        }),
        other => return Err(unknown("error", other)),
    })
}

/// The commonest values are themselves; the others carry their case's number.
fn put_value(e: &mut Writer<'_>, value: &Value) -> Encoding {
    fn tagged<'a, 'w>(e: &'a mut Writer<'w>, tag: u8) -> Result<&'a mut Writer<'w>, EncodeError<Infallible>> {
        e.array(2)?.u8(tag)
    }
    fn array<T>(
        e: &mut Writer<'_>,
        tag: u8,
        items: &[T],
        mut put: impl FnMut(&mut Writer<'_>, &T) -> Encoding,
    ) -> Encoding {
        tagged(e, tag)?.array(items.len() as u64)?;
        items.iter().try_for_each(|item| put(e, item))
    }
    match value {
        Value::Null => e.null().map(drop),
        Value::Boolean(it) => e.bool(*it).map(drop),
        Value::Int64(it) => e.i64(*it).map(drop),
        Value::Text(it) => e.str(it).map(drop),
        Value::Bytes(it) => e.bytes(it).map(drop),
        Value::Int16(it) => tagged(e, 0)?.i16(*it).map(drop),
        Value::Int32(it) => tagged(e, 1)?.i32(*it).map(drop),
        // As bits, so that every NaN comes back as it was.
        Value::Float32(it) => tagged(e, 2)?.u32(it.to_bits()).map(drop),
        Value::Float64(it) => tagged(e, 3)?.u64(it.to_bits()).map(drop),
        Value::Numeric(it) => tagged(e, 4)?.str(it).map(drop),
        Value::Uuid(it) => {
            tagged(e, 5)?;
            put_uuid(e, it)
        }
        Value::Json(it) => tagged(e, 6)?.str(it).map(drop),
        Value::Timestamp(it) => tagged(e, 7)?.i64(*it).map(drop),
        Value::Date(it) => tagged(e, 8)?.i32(*it).map(drop),
        Value::BooleanArray(it) => array(e, 9, it, |e, it| e.bool(*it).map(drop)),
        Value::Int32Array(it) => array(e, 10, it, |e, it| e.i32(*it).map(drop)),
        Value::Int64Array(it) => array(e, 11, it, |e, it| e.i64(*it).map(drop)),
        Value::Float64Array(it) => array(e, 12, it, |e, it| e.u64(it.to_bits()).map(drop)),
        Value::TextArray(it) => array(e, 13, it, |e, it| e.str(it).map(drop)),
        Value::UuidArray(it) => array(e, 14, it, put_uuid),
    }
}

fn get_value(d: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    use minicbor::data::Type;
    match d.datatype()? {
        Type::Null => return d.null().map(|()| Value::Null),
        Type::Bool => return d.bool().map(Value::Boolean),
        Type::String => return Ok(Value::Text(d.str()?.to_owned())),
        Type::Bytes => return Ok(Value::Bytes(d.bytes()?.to_vec())),
        Type::Array => {}
        _ => return d.i64().map(Value::Int64),
    }
    expect_array(d, 2)?;
    Ok(match d.u8()? {
        0 => Value::Int16(d.i16()?),
        1 => Value::Int32(d.i32()?),
        2 => Value::Float32(f32::from_bits(d.u32()?)),
        3 => Value::Float64(f64::from_bits(d.u64()?)),
        4 => Value::Numeric(d.str()?.to_owned()),
        5 => Value::Uuid(get_uuid(d)?),
        6 => Value::Json(d.str()?.to_owned()),
        7 => Value::Timestamp(d.i64()?),
        8 => Value::Date(d.i32()?),
        9 => Value::BooleanArray(list(d, |d| d.bool())?),
        10 => Value::Int32Array(list(d, |d| d.i32())?),
        11 => Value::Int64Array(list(d, |d| d.i64())?),
        12 => Value::Float64Array(list(d, |d| d.u64().map(f64::from_bits))?),
        13 => Value::TextArray(list(d, |d| Ok(d.str()?.to_owned()))?),
        14 => Value::UuidArray(list(d, get_uuid)?),
        other => return Err(unknown("value", other)),
    })
}

fn put_uuid(e: &mut Writer<'_>, uuid: &Uuid) -> Encoding {
    let number = (u128::from(uuid.high) << 64) | u128::from(uuid.low);
    e.bytes(&number.to_be_bytes()).map(drop)
}

fn get_uuid(d: &mut Decoder<'_>) -> Result<Uuid, DecodeError> {
    let bytes = d
        .bytes()?
        .try_into()
        .map_err(|_| DecodeError::message("a UUID of another length"))?;
    let number = u128::from_be_bytes(bytes);
    Ok(Uuid {
        high: (number >> 64) as u64,
        low: number as u64,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn uuids() -> impl Strategy<Value = Uuid> {
        any::<(u64, u64)>().prop_map(|(high, low)| Uuid { high, low })
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i16>().prop_map(Value::Int16),
            any::<i32>().prop_map(Value::Int32),
            any::<i64>().prop_map(Value::Int64),
            any::<u32>().prop_map(|bits| Value::Float32(f32::from_bits(bits))),
            any::<u64>().prop_map(|bits| Value::Float64(f64::from_bits(bits))),
            any::<String>().prop_map(Value::Numeric),
            any::<String>().prop_map(Value::Text),
            vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            uuids().prop_map(Value::Uuid),
            any::<String>().prop_map(Value::Json),
            any::<i64>().prop_map(Value::Timestamp),
            any::<i32>().prop_map(Value::Date),
            vec(any::<bool>(), 0..4).prop_map(Value::BooleanArray),
            vec(any::<i32>(), 0..4).prop_map(Value::Int32Array),
            vec(any::<i64>(), 0..4).prop_map(Value::Int64Array),
            vec(any::<f64>(), 0..4).prop_map(Value::Float64Array),
            vec(any::<String>(), 0..4).prop_map(Value::TextArray),
            vec(uuids(), 0..4).prop_map(Value::UuidArray),
        ]
    }

    fn errors() -> impl Strategy<Value = Error> {
        let violation = || {
            any::<(String, String, String)>().prop_map(|(constraint, table, message)| Violation {
                constraint,
                table,
                message,
            })
        };
        prop_oneof![
            violation().prop_map(Error::UniqueViolation),
            violation().prop_map(Error::ForeignKeyViolation),
            violation().prop_map(Error::CheckViolation),
            violation().prop_map(Error::NotNullViolation),
            any::<(u32, String)>().prop_map(Error::InvalidParameter),
            Just(Error::Poisoned),
            any::<(String, String)>().prop_map(|(code, message)| Error::Other(DatabaseError { code, message })),
        ]
    }

    fn answers() -> impl Strategy<Value = Answer> {
        let rows = (vec(any::<String>(), 0..4), vec(vec(values(), 0..4), 0..4), any::<u64>()).prop_map(
            |(columns, rows, affected)| {
                Ok(Rows {
                    columns,
                    rows,
                    affected,
                })
            },
        );
        prop_oneof![rows, errors().prop_map(Err)]
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Savepoint),
            Just(Step::Release),
            Just(Step::RollbackTo),
            (any::<[u8; 16]>(), answers()).prop_map(|(hash, answer)| Step::Statement { hash, answer }),
        ]
    }

    fn ends() -> impl Strategy<Value = End> {
        prop_oneof![
            Just(End::Committed),
            Just(End::RolledBack),
            errors().prop_map(End::Refused)
        ]
    }

    proptest! {
        #[test]
        fn a_transaction_is_read_as_it_was_written(steps in vec(steps(), 0..6), end in ends()) {
            let mut recording = Recording::default();
            steps.iter().for_each(|step| recording.push(step));
            let record = recording.finish(&end);
            let read = transaction(&record).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{:?}", (steps, end)));
            // NaNs print alike; their bits show when it is written again.
            let mut again = Recording::default();
            read.0.iter().for_each(|step| again.push(step));
            prop_assert_eq!(again.finish(&read.1), record);
        }

        #[test]
        fn an_answer_is_read_as_it_was_written(answer in answers()) {
            let bytes = encode_answer(&answer);
            prop_assert_eq!(encode_answer(&decode_answer(&bytes).unwrap()), bytes);
        }

        #[test]
        fn damaged_bytes_are_an_error_and_not_a_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = transaction(&bytes);
            let _ = decode_answer(&bytes);
        }

        #[test]
        fn a_record_cut_short_is_an_error(steps in vec(steps(), 1..4), at in any::<proptest::sample::Index>()) {
            let mut recording = Recording::default();
            steps.iter().for_each(|step| recording.push(step));
            let record = recording.finish(&End::Committed);
            prop_assert!(transaction(&record[..at.index(record.len())]).is_err());
        }
    }

    #[test]
    fn statements_that_differ_anywhere_are_told_apart() {
        let one = statement("SELECT $1", &[Value::Int32(1)]);
        assert_eq!(one, statement("SELECT $1", &[Value::Int32(1)]));
        assert_ne!(one, statement("SELECT $1", &[Value::Int16(1)]));
        assert_ne!(one, statement("SELECT $1 ", &[Value::Int32(1)]));
        assert_ne!(one, statement("SELECT $1", &[]));
    }

    /// The stored format. If this fails, records of running invocations can no longer be read.
    #[test]
    fn the_stored_bytes_stay_as_they_are() {
        let mut recording = Recording::default();
        recording.push(&Step::Savepoint);
        let rows = vec![vec![
            Value::Int32(7),
            Value::Text("a".into()),
            Value::Uuid(Uuid { high: 0, low: 1 }),
        ]];
        let answer = Ok(Rows {
            columns: vec!["n".into()],
            rows,
            affected: 1,
        });
        recording.push(&Step::Statement { hash: [9; 16], answer });
        let record = recording.finish(&End::Committed);
        let text: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        let (hash, uuid) = ("09".repeat(16), "00".repeat(15));
        assert_eq!(
            text,
            format!("830182008250{hash}8381616e81838201076161820550{uuid}010100")
        );
    }
}
