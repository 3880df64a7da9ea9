//! Guests that return what is no value, and hosts that link what does not fit.

use std::sync::Arc;

use host_engine::{Engine, EngineOptions};
use host_link::{Error, Schema, Signature, Value, call_export, define_import, encode_params};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

/// Each function returns what its parameters say, whatever that means.
const LIAR: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func $pair (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "pair") (param i32 i32) (result i32) (call $pair (local.get 0) (local.get 1)))
        (func (export "same") (param i32) (result i32) (local.get 0))
        (func (export "amplify") (param $outer i32) (param $inner i32) (result i32)
            (local $at i32)
            (local.set $at (i32.const 1024))
            (loop $again
                (i32.store (local.get $at) (i32.const 0))
                (i32.store offset=4 (local.get $at) (local.get $inner))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $again (i32.lt_u (local.get $at) (i32.add (i32.const 1024) (i32.mul (local.get $outer) (i32.const 8))))))
            (call $pair (i32.const 1024) (local.get $outer))))
    (core instance $i (instantiate $m))
    (type $choice (enum "a" "b"))
    (export $exported "choice-type" (type $choice))
    (func (export "text") (param "pointer" u32) (param "length" u32) (result string)
        (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
    (func (export "numbers") (param "pointer" u32) (param "length" u32) (result (list u32))
        (canon lift (core func $i "pair") (memory (core memory $i "memory"))))
    (func (export "elsewhere") (param "pointer" u32) (result string)
        (canon lift (core func $i "same") (memory (core memory $i "memory"))))
    (func (export "letter") (param "code" u32) (result char) (canon lift (core func $i "same")))
    (func (export "choice") (param "number" u32) (result $exported) (canon lift (core func $i "same")))
    (func (export "amplify") (param "outer" u32) (param "inner" u32) (result (list (list u8)))
        (canon lift (core func $i "amplify") (memory (core memory $i "memory")))))"#;

fn engine() -> Engine {
    Engine::new(&EngineOptions {
        instances: 10,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::from_binary(engine.wasmtime(), &wat::parse_str(text).unwrap()).unwrap()
}

async fn ask(function: &str, arguments: &[u32]) -> wasmtime::Result<Vec<u8>> {
    let engine = engine();
    let mut store = Store::new(engine.wasmtime(), ());
    store.set_epoch_deadline(u64::MAX / 2);
    store.set_hostcall_fuel(1 << 20);
    let linker = Linker::<()>::new(engine.wasmtime());
    let instance = linker
        .instantiate_async(&mut store, &component(&engine, LIAR))
        .await
        .unwrap();
    let function = instance.get_func(&mut store, function).unwrap();
    let signature = Signature::new("asked", &function.ty(&store)).unwrap();
    let values: Vec<_> = arguments.iter().map(|value| Value::Unsigned((*value).into())).collect();
    call_export(&mut store, &function, &encode_params(&signature, &values).unwrap()).await
}

#[tokio::test]
async fn a_guest_that_tells_the_truth_is_believed() {
    assert_eq!(ask("text", &[100, 3]).await.unwrap(), [0x63, 0, 0, 0]);
    assert_eq!(ask("text", &[65536, 0]).await.unwrap(), [0x60]);
    assert_eq!(ask("numbers", &[16, 2]).await.unwrap(), [0x82, 16, 2]);
    assert_eq!(ask("letter", &['é' as u32]).await.unwrap(), [0x18, 0xe9]);
    assert_eq!(ask("choice", &[1]).await.unwrap(), [1]);
    assert_eq!(ask("amplify", &[2, 1]).await.unwrap(), [0x82, 0x41, 0, 0x41, 0]);
}

#[tokio::test]
async fn a_guest_that_lies_is_stopped() {
    let lies: [(&str, &[u32]); 11] = [
        ("text", &[65536, 1]),
        ("text", &[u32::MAX, u32::MAX]),
        ("text", &[0, u32::MAX]),
        ("numbers", &[0, 16385]),
        ("numbers", &[2, 1]),
        ("numbers", &[0, u32::MAX]),
        ("elsewhere", &[65532]),
        ("elsewhere", &[6]),
        ("elsewhere", &[u32::MAX - 3]),
        ("letter", &[0xd800]),
        ("choice", &[2]),
    ];
    for (function, arguments) in lies {
        let error = ask(function, arguments).await.unwrap_err();
        let error = error.downcast_ref::<Error>();
        assert!(
            matches!(error, Some(Error::GuestValue(_))),
            "{function} {arguments:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_guest_cannot_multiply_its_memory_in_the_host() {
    // Sixty-four kilobytes of guest memory that claim to be half a gigabyte.
    let error = ask("amplify", &[8000, 65535]).await.unwrap_err();
    assert!(format!("{error:#}").contains("hostcalls"), "{error:#}");
}

const IMPORTER: &str = r#"(component
    (import "host" (instance $host (export "f" (func (param "a" u64) (param "b" string) (result u32)))))
    (alias export $host "f" (func $f))
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

/// What instantiating says when the import is defined with another signature than the component has.
async fn instantiated(signature: &Signature) -> wasmtime::Result<()> {
    let engine = engine();
    let component = component(&engine, IMPORTER);
    let mut linker = Linker::<()>::new(engine.wasmtime());
    let mut host = linker.instance("host").unwrap();
    define_import(
        &mut host,
        "f",
        signature,
        Arc::new(|_, _| Box::pin(async { Ok(vec![0]) })),
    )
    .unwrap();
    linker.instantiate_pre(&component).map(drop)
}

#[tokio::test]
async fn an_import_defined_with_other_slots_is_refused() {
    let signature = |params: Vec<Schema>, result| {
        Signature::from_schemas(
            params.into_iter().map(|schema| ("p".to_owned(), schema)).collect(),
            result,
        )
    };
    instantiated(&signature(vec![Schema::U64, Schema::String], Some(Schema::U32)))
        .await
        .unwrap();
    let misfits = [
        signature(vec![], Some(Schema::U32)),
        signature(vec![Schema::U64], Some(Schema::U32)),
        signature(vec![Schema::U64, Schema::String, Schema::U8], Some(Schema::U32)),
        signature(vec![Schema::String; 9], Some(Schema::U32)),
        signature(vec![Schema::U64, Schema::String], None),
        signature(vec![Schema::U64, Schema::String], Some(Schema::String)),
    ];
    for signature in misfits {
        assert!(instantiated(&signature).await.is_err(), "{signature:?}");
    }
}

#[test]
fn what_cannot_cross_is_named_when_linking() {
    let text = r#"(component
        (import "host" (instance $host
            (export "r" (type $r (sub resource)))
            (export "f" (func (param "a" (list (own $r))))))))"#;
    let engine = engine();
    let component = component(&engine, text);
    let functions = host_engine::imported_functions(&engine, &component, "host");
    let [(name, ty)] = &functions[..] else {
        panic!("one function")
    };
    let error = Signature::new(name, ty).unwrap_err();
    assert_eq!(error.to_string(), "function f: resources cannot cross components");
}

#[test]
fn a_type_that_unfolds_without_end_is_refused() {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))");
    for depth in 1..15 {
        text.push_str(&format!("(type $t{depth} (tuple $t{0} $t{0}))", depth - 1));
    }
    text.push_str("(import \"f\" (func (param \"a\" (list $t14)))))");
    let engine = engine();
    let component = component(&engine, &text);
    let ty = component.component_type();
    let Some((_, item)) = ty.imports(engine.wasmtime()).next() else {
        panic!("one import")
    };
    let ComponentItem::ComponentFunc(function) = item.ty else {
        panic!("a function")
    };
    assert!(matches!(
        Signature::new("f", &function),
        Err(Error::TypeTooLarge { .. })
    ));
}
