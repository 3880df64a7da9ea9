//! Values of every kind between two real components, and the three other ways through: ours into wasmtime's own conversion,
//! wasmtime's into ours, and garbage.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/values.rs"]
mod values;

use anyhow::Result;
use guests::{Guests, Import, VALUES, find};
use host_link::{
    Error, Schema, Signature, Value, call_export, decode_params, decode_result, encode_params, encode_result,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use values::{any_params, to_val};
use wasmtime::component::Val;

/// What the guests answer: the parameter, or all of them.
fn expected(params: &[Value]) -> Option<Value> {
    match params {
        [] => None,
        [value] => Some(value.clone()),
        values => Some(Value::Fields(values.to_vec())),
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// Runs a property on random parameters of every function.
fn for_every_function(
    cases: u32,
    mut property: impl FnMut(&Runtime, &Guests, &str, &Signature, &[Value]) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guests = Guests::load().unwrap();
    for (name, signature) in guests.functions().unwrap() {
        let property = std::cell::RefCell::new(&mut property);
        let outcome = runner(cases).run(&any_params(&signature), |params| {
            (property.borrow_mut())(&runtime, &guests, &name, &signature, &params)
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn any_value_crosses_unchanged() {
    let mut pair = None;
    for_every_function(64, |runtime, guests, name, signature, params| {
        let (store, instance) = pair.get_or_insert_with(|| runtime.block_on(guests.link(Import::Encoded)).unwrap());
        let function = find(&mut *store, instance, VALUES, name).unwrap();
        let encoded = encode_params(signature, params).unwrap();
        let result = runtime.block_on(call_export(&mut *store, &function, &encoded)).unwrap();
        prop_assert_eq!(&result, &encode_result(signature, expected(params).as_ref()).unwrap());
        // Between the components it had the one encoding that such a value has.
        prop_assert_eq!(&store.data().params, &encoded);
        // Compared as text, since a NaN does not equal itself.
        let decoded = decode_params(signature, &encoded).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{params:?}"));
        let decoded = decode_result(signature, &result).unwrap();
        prop_assert_eq!(format!("{decoded:?}"), format!("{:?}", expected(params)));
        Ok(())
    });
}

#[test]
fn what_we_lower_wasmtime_lifts_and_the_reverse() {
    let mut pair = None;
    for_every_function(64, |runtime, guests, name, signature, params| {
        let (store, instance) = pair.get_or_insert_with(|| runtime.block_on(guests.link(Import::Val)).unwrap());
        let function = find(&mut *store, instance, VALUES, name).unwrap();
        let encoded = encode_params(signature, params).unwrap();
        let result = runtime.block_on(call_export(&mut *store, &function, &encoded)).unwrap();
        let vals: Vec<_> = signature
            .params()
            .iter()
            .zip(params)
            .map(|((_, schema), value)| to_val(schema, value))
            .collect();
        prop_assert_eq!(&store.data().vals, &vals);
        prop_assert_eq!(&result, &encode_result(signature, expected(params).as_ref()).unwrap());
        Ok(())
    });
}

#[test]
fn what_wasmtime_lowers_we_lift_and_the_reverse() {
    let mut pair = None;
    for_every_function(64, |runtime, guests, name, signature, params| {
        let (store, instance) = pair.get_or_insert_with(|| runtime.block_on(guests.link(Import::Encoded)).unwrap());
        let function = find(&mut *store, instance, VALUES, name).unwrap();
        let vals: Vec<_> = signature
            .params()
            .iter()
            .zip(params)
            .map(|((_, schema), value)| to_val(schema, value))
            .collect();
        let mut results = vec![Val::Bool(false); signature.result().iter().len()];
        runtime
            .block_on(function.call_async(&mut *store, &vals, &mut results))
            .unwrap();
        prop_assert_eq!(&store.data().params, &encode_params(signature, params).unwrap());
        let expected = expected(params).map(|value| to_val(signature.result().unwrap(), &value));
        prop_assert_eq!(results, Vec::from_iter(expected));
        Ok(())
    });
}

/// Damages an encoding: a byte changed, cut off, or put in.
fn damaged(mut bytes: Vec<u8>, position: prop::sample::Index, byte: u8, how: u8) -> Vec<u8> {
    let position = position.index(bytes.len());
    match how % 3 {
        0 => bytes[position] = byte,
        1 => bytes.truncate(position),
        _ => bytes.insert(position, byte),
    }
    bytes
}

#[test]
fn garbage_is_an_error_or_another_value_of_the_type() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guests = Guests::load().unwrap();
    for (name, signature) in guests.functions().unwrap() {
        let strategy = (
            any_params(&signature),
            any::<prop::sample::Index>(),
            any::<u8>(),
            any::<u8>(),
        );
        let outcome = runner(32).run(&strategy, |(params, position, byte, how)| {
            let bytes = damaged(encode_params(&signature, &params).unwrap(), position, byte, how);
            let (mut store, instance) = runtime.block_on(guests.link(Import::Encoded)).unwrap();
            let function = find(&mut store, &instance, VALUES, &name).unwrap();
            let called = runtime.block_on(call_export(&mut store, &function, &bytes));
            // Both decoders agree on what is a value.
            let decoded = decode_params(&signature, &bytes);
            prop_assert_eq!(called.is_ok(), decoded.is_ok(), "{:?} {:?}", called, decoded);
            if let (Ok(result), Ok(params)) = (called, decoded) {
                prop_assert_eq!(result, encode_result(&signature, expected(&params).as_ref()).unwrap());
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_garbled_answer_ends_the_caller_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guests = Guests::load().unwrap();
    for (name, signature) in guests.functions().unwrap() {
        let strategy = (
            any_params(&signature),
            any::<prop::sample::Index>(),
            any::<u8>(),
            any::<u8>(),
        );
        let outcome = runner(16).run(&strategy, |(params, position, byte, how)| {
            let answer = encode_result(&signature, expected(&params).as_ref()).unwrap();
            let answer = damaged(answer, position, byte, how);
            let (mut store, instance) = runtime.block_on(guests.link(Import::Encoded)).unwrap();
            store.data_mut().answer = Some(answer.clone());
            let function = find(&mut store, &instance, VALUES, &name).unwrap();
            let encoded = encode_params(&signature, &params).unwrap();
            let called = runtime.block_on(call_export(&mut store, &function, &encoded));
            prop_assert_eq!(called.is_ok(), decode_result(&signature, &answer).is_ok());
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_bytes_panic_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let leaf = Schema::Variant(vec![("x".to_owned(), None), ("y".to_owned(), Some(Schema::Bytes))]);
        let schemas = [
            Schema::List(Box::new(Schema::List(Box::new(Schema::List(Box::new(leaf.clone())))))),
            Schema::Tuple(vec![Schema::S16, Schema::Option(Box::new(Schema::F32)), Schema::Flags(names())]),
            Schema::Result { ok: Some(Box::new(Schema::String)), err: None },
            Schema::Enum(names()),
            leaf,
        ];
        for schema in schemas {
            if let Ok(value) = host_link::decode(&schema, &bytes) {
                // What was accepted is a value, so that it can be encoded and shown.
                let again = host_link::encode(&schema, &value).unwrap();
                prop_assert_eq!(format!("{:?}", host_link::decode(&schema, &again).unwrap()), format!("{value:?}"));
                host_link::to_json(&schema, &bytes).unwrap();
            }
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let claims = [
        &[0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    for bytes in claims {
        let schema = Schema::List(Box::new(Schema::U64));
        assert!(matches!(host_link::decode(&schema, bytes), Err(Error::Shape(_))));
    }
}

#[test]
fn every_signature_is_its_own() {
    let functions = Guests::load().unwrap().functions().unwrap();
    let mut hashes: Vec<_> = functions.iter().map(|(_, signature)| signature.hash()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), functions.len());
    let targeted: Vec<_> = functions
        .iter()
        .filter(|(_, it)| it.has_target())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(targeted, ["targeted"]);
}
