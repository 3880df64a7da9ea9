//! What a guest computes is the same on every machine, to the bit, since a replay may come to another one than the first run.

use host_engine::{Engine, EngineOptions, Kind, Limits, StoreLimits, apply_limits};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};

/// Floats come and go as their bits: what passes an interface as a float need not keep them.
const GUEST: &str = r#"(component
    (core module $m
        (func (export "plus-one") (param i32) (result i32)
            (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get 0)) (f32.const 1))))
        (func (export "root") (param i32) (result i32)
            (i32.reinterpret_f32 (f32.sqrt (f32.reinterpret_i32 (local.get 0)))))
        (func (export "truncated") (param i32) (result i32)
            (i32x4.extract_lane 0
                (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.reinterpret_i32 (local.get 0))))))
        (func (export "lane") (param i32) (result i32)
            (i8x16.extract_lane_u 0
                (i8x16.relaxed_swizzle
                    (v128.const i8x16 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7)
                    (i8x16.splat (local.get 0))))))
    (core instance $i (instantiate $m))
    (func (export "plus-one") (param "bits" u32) (result u32) (canon lift (core func $i "plus-one")))
    (func (export "root") (param "bits" u32) (result u32) (canon lift (core func $i "root")))
    (func (export "truncated") (param "bits" u32) (result u32) (canon lift (core func $i "truncated")))
    (func (export "lane") (param "index" u32) (result u32) (canon lift (core func $i "lane"))))"#;

/// What each function of the guest makes of what it is given, on the engine of this kind.
async fn computes(kind: Kind, cases: &[(&str, u32, u32)]) {
    let engine = Engine::new(&EngineOptions {
        kind,
        instances: 10,
        ..EngineOptions::default()
    })
    .unwrap();
    let component = Component::new(engine.wasmtime(), wat::parse_str(GUEST).unwrap()).unwrap();
    let linker = Linker::<StoreLimits>::new(engine.wasmtime());
    let mut store = Store::new(engine.wasmtime(), StoreLimits::new(Limits::default()));
    apply_limits(&mut store, |limits| limits, |_| false);
    let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
    for &(function, given, expected) in cases {
        let called = instance.get_typed_func::<(u32,), (u32,)>(&mut store, function).unwrap();
        let (found,) = called.call_async(&mut store, (given,)).await.unwrap();
        assert_eq!(
            found, expected,
            "{kind:?}: {function} of {given:#x} is {found:#x} instead of {expected:#x}"
        );
    }
}

#[tokio::test]
async fn what_is_not_a_number_has_the_same_bits_wherever_it_comes_from() {
    const CANONICAL: u32 = 0x7fc0_0000;
    let cases = [
        // One that carries something, and a negative one: processors hand both on.
        ("plus-one", 0x7fc1_2345, CANONICAL),
        ("plus-one", 0xffc0_0001, CANONICAL),
        // One that comes to be here: x86 makes it negative.
        ("root", (-1_f32).to_bits(), CANONICAL),
        ("plus-one", 1_f32.to_bits(), 2_f32.to_bits()),
    ];
    for kind in [Kind::Plain, Kind::Stock] {
        computes(kind, &cases).await;
    }
}

/// The instructions that may differ do so on x86, where the fast form of each gives something else here.
#[tokio::test]
async fn relaxed_instructions_have_the_one_result_that_every_processor_can_give() {
    let cases = [
        ("truncated", f32::NAN.to_bits(), 0),
        ("truncated", 3e9_f32.to_bits(), i32::MAX as u32),
        ("truncated", 41.5_f32.to_bits(), 41),
        ("lane", 15, 7),
        ("lane", 16, 0),
    ];
    for kind in [Kind::Plain, Kind::Stock] {
        computes(kind, &cases).await;
    }
}
