//! The encoding of what crosses and of what the journal keeps: CBOR without names, its meaning given by the [`Schema`].
//!
//! | WIT | CBOR |
//! |---|---|
//! | `bool`, integers, floats | bool, integer, float of its own width |
//! | `char` | integer |
//! | `string`, `list<u8>` | text, byte string |
//! | other lists, records, tuples | array |
//! | variants, enums, options (none, some), results (ok, error) | number of the case; with a payload, array of number and payload |
//! | flags | integer, the first flag its lowest bit |
//!
//! Parameters are an array; a function without a result has the empty array for one. Lengths are always definite.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::{Error, Schema, Signature};

/// A value of some type: for tests and tools. What crosses between components never takes this form.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `u8` to `u64`.
    Unsigned(u64),
    /// `s8` to `s64`.
    Signed(i64),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `char`.
    Char(char),
    /// `string`.
    String(String),
    /// `list<u8>`.
    Bytes(Vec<u8>),
    /// Any other list.
    List(Vec<Self>),
    /// A record's or a tuple's fields.
    Fields(Vec<Self>),
    /// The number of a case of a variant, enum, option (none, some) or result (ok, error), and its payload.
    Case(u32, Option<Box<Self>>),
    /// The first flag is the lowest bit.
    Flags(u32),
}

/// Encodes a value.
pub fn encode(schema: &Schema, value: &Value) -> Result<Vec<u8>, Error> {
    let mut output = Encoder::new(Vec::new());
    write(&mut output, schema, value)?;
    Ok(output.into_writer())
}

/// Decodes a value; bytes after it are an error.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Value, Error> {
    let mut input = Decoder::new(bytes);
    let value = read(&mut input, schema)?;
    end(&input)?;
    Ok(value)
}

/// Encodes the parameters of a call.
pub fn encode_params(signature: &Signature, values: &[Value]) -> Result<Vec<u8>, Error> {
    let mut output = Encoder::new(Vec::new());
    if values.len() != signature.params().len() {
        return Err(Error::Value {
            expected: "parameters of the function",
        });
    }
    let _ = output.array(values.len() as u64);
    for ((_, schema), value) in signature.params().iter().zip(values) {
        write(&mut output, schema, value)?;
    }
    Ok(output.into_writer())
}

/// Decodes the parameters of a call.
pub fn decode_params(signature: &Signature, bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut input = Decoder::new(bytes);
    array_of(&mut input, signature.params().len())?;
    let values = signature
        .params()
        .iter()
        .map(|(_, schema)| read(&mut input, schema))
        .collect::<Result<_, _>>()?;
    end(&input)?;
    Ok(values)
}

/// Encodes the result of a call.
pub fn encode_result(signature: &Signature, value: Option<&Value>) -> Result<Vec<u8>, Error> {
    match (signature.result(), value) {
        (Some(schema), Some(value)) => encode(schema, value),
        (None, None) => Ok(vec![0x80]),
        _ => Err(Error::Value {
            expected: "the function's result",
        }),
    }
}

/// Decodes the result of a call; none if the function has no result.
pub fn decode_result(signature: &Signature, bytes: &[u8]) -> Result<Option<Value>, Error> {
    match signature.result() {
        Some(schema) => decode(schema, bytes).map(Some),
        None => {
            let mut input = Decoder::new(bytes);
            array_of(&mut input, 0)?;
            end(&input)?;
            Ok(None)
        }
    }
}

/// Writing into a vector cannot fail, so what the encoder returns is of no interest.
fn write(output: &mut Encoder<Vec<u8>>, schema: &Schema, value: &Value) -> Result<(), Error> {
    let mismatch = || Error::Value {
        expected: schema.kind(),
    };
    match (schema, value) {
        (Schema::Bool, Value::Bool(value)) => drop(output.bool(*value)),
        (Schema::U8, Value::Unsigned(value)) if *value <= u8::MAX.into() => drop(output.u64(*value)),
        (Schema::U16, Value::Unsigned(value)) if *value <= u16::MAX.into() => drop(output.u64(*value)),
        (Schema::U32, Value::Unsigned(value)) if *value <= u32::MAX.into() => drop(output.u64(*value)),
        (Schema::U64, Value::Unsigned(value)) => drop(output.u64(*value)),
        (Schema::S8, Value::Signed(value)) if i8::try_from(*value).is_ok() => drop(output.i64(*value)),
        (Schema::S16, Value::Signed(value)) if i16::try_from(*value).is_ok() => drop(output.i64(*value)),
        (Schema::S32, Value::Signed(value)) if i32::try_from(*value).is_ok() => drop(output.i64(*value)),
        (Schema::S64, Value::Signed(value)) => drop(output.i64(*value)),
        (Schema::F32, Value::F32(value)) => drop(output.f32(*value)),
        (Schema::F64, Value::F64(value)) => drop(output.f64(*value)),
        (Schema::Char, Value::Char(value)) => drop(output.char(*value)),
        (Schema::String, Value::String(value)) => drop(output.str(value)),
        (Schema::Bytes, Value::Bytes(value)) => drop(output.bytes(value)),
        (Schema::List(item), Value::List(values)) => {
            let _ = output.array(values.len() as u64);
            values.iter().try_for_each(|value| write(output, item, value))?;
        }
        (Schema::Record(fields), Value::Fields(values)) if fields.len() == values.len() => {
            let _ = output.array(values.len() as u64);
            fields
                .iter()
                .zip(values)
                .try_for_each(|((_, schema), value)| write(output, schema, value))?;
        }
        (Schema::Tuple(types), Value::Fields(values)) if types.len() == values.len() => {
            let _ = output.array(values.len() as u64);
            types
                .iter()
                .zip(values)
                .try_for_each(|(schema, value)| write(output, schema, value))?;
        }
        (Schema::Flags(names), Value::Flags(bits)) if bits & !flags_mask(names.len()) == 0 => drop(output.u32(*bits)),
        (_, Value::Case(index, payload)) => match (schema.case(*index).ok_or_else(mismatch)?, payload) {
            (None, None) => drop(output.u32(*index)),
            (Some(schema), Some(payload)) => {
                let _ = output.array(2);
                let _ = output.u32(*index);
                write(output, schema, payload)?;
            }
            _ => return Err(mismatch()),
        },
        _ => return Err(mismatch()),
    }
    Ok(())
}

/// Recursion is bounded by the schema's depth. A list grows with the bytes read, never with a length claimed.
fn read(input: &mut Decoder<'_>, schema: &Schema) -> Result<Value, Error> {
    Ok(match schema {
        Schema::Bool => Value::Bool(input.bool()?),
        Schema::U8 => Value::Unsigned(input.u8()?.into()),
        Schema::U16 => Value::Unsigned(input.u16()?.into()),
        Schema::U32 => Value::Unsigned(input.u32()?.into()),
        Schema::U64 => Value::Unsigned(input.u64()?),
        Schema::S8 => Value::Signed(input.i8()?.into()),
        Schema::S16 => Value::Signed(input.i16()?.into()),
        Schema::S32 => Value::Signed(input.i32()?.into()),
        Schema::S64 => Value::Signed(input.i64()?),
        Schema::F32 => Value::F32(input.f32()?),
        Schema::F64 => Value::F64(input.f64()?),
        Schema::Char => Value::Char(input.char()?),
        Schema::String => Value::String(input.str()?.to_owned()),
        Schema::Bytes => Value::Bytes(input.bytes()?.to_owned()),
        Schema::List(item) => {
            let mut values = Vec::new();
            for _ in 0..array(input)? {
                values.push(read(input, item)?);
            }
            Value::List(values)
        }
        Schema::Record(fields) => {
            array_of(input, fields.len())?;
            Value::Fields(
                fields
                    .iter()
                    .map(|(_, schema)| read(input, schema))
                    .collect::<Result<_, _>>()?,
            )
        }
        Schema::Tuple(types) => {
            array_of(input, types.len())?;
            Value::Fields(
                types
                    .iter()
                    .map(|schema| read(input, schema))
                    .collect::<Result<_, _>>()?,
            )
        }
        Schema::Variant(_) | Schema::Enum(_) | Schema::Option(_) | Schema::Result { .. } => {
            let (index, has_payload) = case(input)?;
            match (schema.case(index).ok_or(Error::Shape("no such case"))?, has_payload) {
                (Some(schema), true) => Value::Case(index, Some(Box::new(read(input, schema)?))),
                (None, false) => Value::Case(index, None),
                _ => return Err(Error::Shape("a payload too many or too few")),
            }
        }
        Schema::Flags(names) => Value::Flags(flags(input, names.len())?),
    })
}

/// The length of an array, each of whose items takes a byte at least.
pub(crate) fn array(input: &mut Decoder<'_>) -> Result<usize, Error> {
    let length = input.array()?.ok_or(Error::Shape("a length left open"))?;
    let left = input.input().len() - input.position();
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= left)
        .ok_or(Error::Shape("an array longer than its bytes"))
}

/// An array that must have this length.
pub(crate) fn array_of(input: &mut Decoder<'_>, length: usize) -> Result<(), Error> {
    if array(input)? == length {
        Ok(())
    } else {
        Err(Error::Shape("an array of another length"))
    }
}

/// The number of a case, and whether its payload follows.
pub(crate) fn case(input: &mut Decoder<'_>) -> Result<(u32, bool), Error> {
    let has_payload = matches!(input.datatype()?, Type::Array | Type::ArrayIndef);
    if has_payload {
        array_of(input, 2)?;
    }
    Ok((input.u32()?, has_payload))
}

/// The bits of `count` flags.
pub(crate) fn flags(input: &mut Decoder<'_>, count: usize) -> Result<u32, Error> {
    let bits = input.u32()?;
    if bits & !flags_mask(count) == 0 {
        Ok(bits)
    } else {
        Err(Error::Shape("a flag the type does not have"))
    }
}

/// The bits that `count` flags take.
pub(crate) fn flags_mask(count: usize) -> u32 {
    if count < 32 { (1 << count) - 1 } else { u32::MAX }
}

/// Nothing may follow.
pub(crate) fn end(input: &Decoder<'_>) -> Result<(), Error> {
    if input.position() == input.input().len() {
        Ok(())
    } else {
        Err(Error::Shape("bytes after the value"))
    }
}
