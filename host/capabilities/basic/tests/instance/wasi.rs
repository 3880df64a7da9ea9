//! Guests that import WASI get recorded time and derived randomness, whatever 0.2 they were built against.

use host_basic::{BasicContext, BasicView, add_to_linker, shadow_wasi};
use host_types::Fault;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::support::{Node, fault};

/// Imports under different versions, as they come from std and from crates.
const GUEST: &str = r#"(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "now" (func (result u64)))
    (export "resolution" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (import "wasi:clocks/wall-clock@0.2.6" (instance $wall
    (type $record (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $record)))
    (export "now" (func (result $datetime)))))
  (import "wasi:random/random@0.2.12" (instance $random
    (export "get-random-u64" (func (result u64)))
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:random/insecure-seed@0.2.3" (instance $seed
    (export "insecure-seed" (func (result (tuple u64 u64))))))

  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $m (instantiate $memory))
  (alias core export $m "memory" (core memory $mem))
  (core func $monotonic-now (canon lower (func $monotonic "now")))
  (core func $sleep (canon lower (func $monotonic "subscribe-duration")))
  (core func $wall-now (canon lower (func $wall "now") (memory $mem)))
  (core func $u64 (canon lower (func $random "get-random-u64")))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory $mem) (realloc (core func $m "realloc"))))
  (core func $insecure-seed (canon lower (func $seed "insecure-seed") (memory $mem)))
  (core module $code
    (import "host" "memory" (memory 2))
    (import "host" "monotonic-now" (func $monotonic (result i64)))
    (import "host" "sleep" (func $sleep (param i64) (result i32)))
    (import "host" "wall-now" (func $wall-now (param i32)))
    (import "host" "u64" (func $number (result i64)))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (import "host" "insecure-seed" (func $insecure-seed (param i32)))
    (export "monotonic-ns" (func $monotonic))
    (export "number" (func $number))
    (func (export "wall-ns") (result i64)
      (call $wall-now (i32.const 0))
      (i64.add (i64.mul (i64.load (i32.const 0)) (i64.const 1000000000)) (i64.load32_u (i32.const 8))))
    (func (export "seed") (result i64)
      (call $insecure-seed (i32.const 0))
      (i64.xor (i64.load (i32.const 0)) (i64.load (i32.const 8))))
    (func (export "bytes") (param i64) (result i64)
      (call $bytes (local.get 0) (i32.const 0))
      (i64.load (i32.load (i32.const 0))))
    (func (export "sleep") (result i64) (i64.extend_i32_u (call $sleep (i64.const 1)))))
  (core instance $c (instantiate $code (with "host" (instance
    (export "memory" (memory $mem))
    (export "monotonic-now" (func $monotonic-now))
    (export "sleep" (func $sleep))
    (export "wall-now" (func $wall-now))
    (export "u64" (func $u64))
    (export "bytes" (func $bytes))
    (export "insecure-seed" (func $insecure-seed))))))
  (func (export "wall-ns") (result u64) (canon lift (core func $c "wall-ns")))
  (func (export "monotonic-ns") (result u64) (canon lift (core func $c "monotonic-ns")))
  (func (export "number") (result u64) (canon lift (core func $c "number")))
  (func (export "seed") (result u64) (canon lift (core func $c "seed")))
  (func (export "bytes") (param "length" u64) (result u64) (canon lift (core func $c "bytes")))
  (func (export "sleep") (result u64) (canon lift (core func $c "sleep"))))"#;

struct State {
    basic: BasicContext,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

struct Guest {
    store: Store<State>,
    instance: wasmtime::component::Instance,
}

impl Guest {
    async fn new(basic: BasicContext) -> Self {
        let engine = Engine::default();
        let get: fn(&mut State) -> BasicView<'_> = |state| BasicView(&mut state.basic);
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        add_to_linker(&mut linker, get).unwrap();
        shadow_wasi(&mut linker, get).unwrap();
        let component = Component::new(&engine, wat::parse_str(GUEST).unwrap()).unwrap();
        let state = State {
            basic,
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&engine, state);
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        Self { store, instance }
    }

    async fn call(&mut self, name: &str) -> wasmtime::Result<u64> {
        let function = self.instance.get_typed_func::<(), (u64,)>(&mut self.store, name)?;
        Ok(function.call_async(&mut self.store, ()).await?.0)
    }

    async fn bytes(&mut self, length: u64) -> wasmtime::Result<u64> {
        let function = self
            .instance
            .get_typed_func::<(u64,), (u64,)>(&mut self.store, "bytes")?;
        Ok(function.call_async(&mut self.store, (length,)).await?.0)
    }
}

#[tokio::test]
async fn time_and_randomness_are_those_of_the_invocation() {
    let node = Node::new();
    node.clock.set(5_123);
    let look = async |guest: &mut Guest| {
        let mut seen = Vec::new();
        for name in ["wall-ns", "monotonic-ns", "number", "number", "seed"] {
            seen.push(guest.call(name).await.unwrap());
        }
        seen.push(guest.bytes(8).await.unwrap());
        seen
    };
    let mut first = Guest::new(node.attempt()).await;
    let seen = look(&mut first).await;
    assert_eq!(seen[..2], [5_123_000_000, 5_123_000_000]);
    assert_ne!(seen[2], seen[3], "each draw has a position of its own");
    node.flush(&first.store.data().basic).await;

    node.clock.set(99_000);
    let mut second = Guest::new(node.attempt()).await;
    assert_eq!(look(&mut second).await, seen);
}

#[tokio::test]
async fn a_guest_that_sleeps_is_told_what_to_do_instead() {
    let mut guest = Guest::new(Node::new().attempt()).await;
    let error = guest.call("sleep").await.unwrap_err();
    assert!(
        matches!(fault(&error), Fault::Guest(text) if text.contains("nexus:durable/timer")),
        "{error:?}"
    );
}

#[tokio::test]
async fn random_bytes_are_bounded() {
    let mut guest = Guest::new(Node::new().attempt()).await;
    let error = guest.bytes(1 << 40).await.unwrap_err();
    assert!(matches!(fault(&error), Fault::Guest(_)), "{error:?}");
}
