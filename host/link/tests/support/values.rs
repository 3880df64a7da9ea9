//! Random values of a type, and wasmtime's form of them.

use host_link::{Schema, Signature, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use wasmtime::component::Val;

/// Parameters of a function.
pub(crate) fn any_params(signature: &Signature) -> BoxedStrategy<Vec<Value>> {
    signature
        .params()
        .iter()
        .map(|(_, schema)| any_value(schema))
        .collect::<Vec<_>>()
        .boxed()
}

fn any_value(schema: &Schema) -> BoxedStrategy<Value> {
    fn fields<'s>(schemas: impl Iterator<Item = &'s Schema>) -> BoxedStrategy<Value> {
        schemas
            .map(any_value)
            .collect::<Vec<_>>()
            .prop_map(Value::Fields)
            .boxed()
    }
    fn cases<'s>(payloads: impl Iterator<Item = Option<&'s Schema>>) -> BoxedStrategy<Value> {
        let case = |(index, payload): (usize, Option<&Schema>)| match payload {
            Some(schema) => any_value(schema)
                .prop_map(move |value| Value::Case(index as u32, Some(Box::new(value))))
                .boxed(),
            None => Just(Value::Case(index as u32, None)).boxed(),
        };
        proptest::strategy::Union::new(payloads.enumerate().map(case)).boxed()
    }
    match schema {
        Schema::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Schema::U8 => any::<u8>().prop_map(|value| Value::Unsigned(value.into())).boxed(),
        Schema::U16 => any::<u16>().prop_map(|value| Value::Unsigned(value.into())).boxed(),
        Schema::U32 => any::<u32>().prop_map(|value| Value::Unsigned(value.into())).boxed(),
        Schema::U64 => any::<u64>().prop_map(Value::Unsigned).boxed(),
        Schema::S8 => any::<i8>().prop_map(|value| Value::Signed(value.into())).boxed(),
        Schema::S16 => any::<i16>().prop_map(|value| Value::Signed(value.into())).boxed(),
        Schema::S32 => any::<i32>().prop_map(|value| Value::Signed(value.into())).boxed(),
        Schema::S64 => any::<i64>().prop_map(Value::Signed).boxed(),
        // Every bit pattern, also NaNs with payloads: the bits cross.
        Schema::F32 => any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))).boxed(),
        Schema::F64 => any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))).boxed(),
        Schema::Char => any::<char>().prop_map(Value::Char).boxed(),
        Schema::String => any::<String>().prop_map(Value::String).boxed(),
        Schema::Bytes => vec(any::<u8>(), 0..300).prop_map(Value::Bytes).boxed(),
        Schema::List(item) => vec(any_value(item), 0..6).prop_map(Value::List).boxed(),
        Schema::Record(of) => fields(of.iter().map(|(_, schema)| schema)),
        Schema::Tuple(of) => fields(of.iter()),
        Schema::Variant(of) => cases(of.iter().map(|(_, payload)| payload.as_ref())),
        Schema::Enum(names) => cases(names.iter().map(|_| None)),
        Schema::Option(some) => cases([None, Some(&**some)].into_iter()),
        Schema::Result { ok, err } => cases([ok.as_deref(), err.as_deref()].into_iter()),
        Schema::Flags(names) => (0..1_u64 << names.len())
            .prop_map(|bits| Value::Flags(bits as u32))
            .boxed(),
    }
}

/// The value as wasmtime's own dynamic form.
pub(crate) fn to_val(schema: &Schema, value: &Value) -> Val {
    match (schema, value) {
        (_, Value::Bool(value)) => Val::Bool(*value),
        (Schema::U8, Value::Unsigned(value)) => Val::U8(*value as u8),
        (Schema::U16, Value::Unsigned(value)) => Val::U16(*value as u16),
        (Schema::U32, Value::Unsigned(value)) => Val::U32(*value as u32),
        (_, Value::Unsigned(value)) => Val::U64(*value),
        (Schema::S8, Value::Signed(value)) => Val::S8(*value as i8),
        (Schema::S16, Value::Signed(value)) => Val::S16(*value as i16),
        (Schema::S32, Value::Signed(value)) => Val::S32(*value as i32),
        (_, Value::Signed(value)) => Val::S64(*value),
        (_, Value::F32(value)) => Val::Float32(*value),
        (_, Value::F64(value)) => Val::Float64(*value),
        (_, Value::Char(value)) => Val::Char(*value),
        (_, Value::String(value)) => Val::String(value.clone()),
        (_, Value::Bytes(value)) => Val::List(value.iter().map(|byte| Val::U8(*byte)).collect()),
        (Schema::List(item), Value::List(values)) => {
            Val::List(values.iter().map(|value| to_val(item, value)).collect())
        }
        (Schema::Record(fields), Value::Fields(values)) => {
            let fields = fields.iter().zip(values);
            Val::Record(
                fields
                    .map(|((name, schema), value)| (name.clone(), to_val(schema, value)))
                    .collect(),
            )
        }
        (Schema::Tuple(types), Value::Fields(values)) => Val::Tuple(
            types
                .iter()
                .zip(values)
                .map(|(schema, value)| to_val(schema, value))
                .collect(),
        ),
        (Schema::Variant(cases), Value::Case(index, value)) => {
            let (name, schema) = &cases[*index as usize];
            Val::Variant(name.clone(), payload(schema.as_ref(), value))
        }
        (Schema::Enum(names), Value::Case(index, _)) => Val::Enum(names[*index as usize].clone()),
        (Schema::Option(some), Value::Case(_, value)) => Val::Option(payload(Some(some), value)),
        (Schema::Result { ok, .. }, Value::Case(0, value)) => Val::Result(Ok(payload(ok.as_deref(), value))),
        (Schema::Result { err, .. }, Value::Case(_, value)) => Val::Result(Err(payload(err.as_deref(), value))),
        (Schema::Flags(names), Value::Flags(bits)) => {
            let set = names.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
            Val::Flags(set.map(|(_, name)| name.clone()).collect())
        }
        (schema, value) => panic!("{value:?} is not of type {schema:?}"),
    }
}

fn payload(schema: Option<&Schema>, value: &Option<Box<Value>>) -> Option<Box<Val>> {
    schema
        .zip(value.as_deref())
        .map(|(schema, value)| Box::new(to_val(schema, value)))
}
