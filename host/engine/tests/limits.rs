//! Limits against guests that run into them.

use host_engine::{Engine, EngineOptions, LimitExceeded, Limits, MAX_MEMORY_BYTES, StoreLimits, TICK_MS, apply_limits};
use wasmtime::Store;
use wasmtime::component::{Component, Instance, Linker};

/// Spins forever; grows its memory by pages; spins between waits in the host.
const GUEST: &str = r#"(component
    (import "wait" (func $wait))
    (core func $wait (canon lower (func $wait)))
    (core module $m
        (import "host" "wait" (func $wait))
        (memory 1)
        (func (export "spin") (loop $again (br $again)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "must-grow") (param i32)
            (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable)))
        (func (export "wait-often") (param $times i32)
            (loop $again
                (call $wait)
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $again (local.get $times)))))
    (core instance $i (instantiate $m (with "host" (instance (export "wait" (func $wait))))))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
    (func (export "must-grow") (param "pages" u32) (canon lift (core func $i "must-grow")))
    (func (export "wait-often") (param "times" u32) (canon lift (core func $i "wait-often"))))"#;

async fn instantiate(limits: Limits, wait_ms: u64) -> wasmtime::Result<(Store<StoreLimits>, Instance)> {
    instantiate_replaying(limits, wait_ms, || false).await
}

async fn instantiate_replaying(
    limits: Limits,
    wait_ms: u64,
    replays: impl Fn() -> bool + Send + Sync + 'static,
) -> wasmtime::Result<(Store<StoreLimits>, Instance)> {
    let engine = Engine::new(&EngineOptions {
        instances: 10,
        ..EngineOptions::default()
    })
    .unwrap();
    let component = Component::new(engine.wasmtime(), wat::parse_str(GUEST).unwrap()).unwrap();
    let mut linker = Linker::<StoreLimits>::new(engine.wasmtime());
    linker
        .root()
        .func_wrap_async("wait", move |_, (): ()| {
            Box::new(async move {
                tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
                Ok(())
            })
        })
        .unwrap();
    let mut store = Store::new(engine.wasmtime(), StoreLimits::new(limits));
    apply_limits(&mut store, |limits| limits, move |_| replays());
    let instance = linker.instantiate_async(&mut store, &component).await?;
    Ok((store, instance))
}

#[tokio::test]
async fn a_guest_that_does_not_end_is_stopped() {
    let (mut store, instance) = instantiate(
        Limits {
            time_ms: 50,
            ..Limits::default()
        },
        0,
    )
    .await
    .unwrap();
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let error = spin.call_async(&mut store, ()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LimitExceeded::Time { limit_ms: 50 }));
    assert_eq!(store.data().exceeded(), Some(LimitExceeded::Time { limit_ms: 50 }));
    assert!(store.data().guest_ms() >= 50);
}

#[tokio::test]
async fn what_was_done_before_takes_nothing_from_the_time_for_what_is_new() {
    let limits = Limits {
        time_ms: 50,
        replay_ms: 200,
        ..Limits::default()
    };
    let (mut store, instance) = instantiate_replaying(limits, 0, || true).await.unwrap();
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let error = spin.call_async(&mut store, ()).await.unwrap_err();
    // It has an end of its own.
    assert_eq!(error.downcast_ref(), Some(&LimitExceeded::Replay { limit_ms: 200 }));
    assert_eq!(store.data().guest_ms(), 0);

    // Replay for longer than the limit, and then what is new, which has all of its time.
    let asked = std::sync::atomic::AtomicU64::new(0);
    let replays = move || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) * TICK_MS < 100;
    let (mut store, instance) = instantiate_replaying(limits, 0, replays).await.unwrap();
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let error = spin.call_async(&mut store, ()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LimitExceeded::Time { limit_ms: 50 }));
    assert!(store.data().guest_ms() >= 50);
}

#[tokio::test]
async fn a_running_guest_lets_others_run() {
    let (mut store, instance) = instantiate(
        Limits {
            time_ms: 200,
            ..Limits::default()
        },
        0,
    )
    .await
    .unwrap();
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let other = tokio::spawn(async {});
    // The test's executor has one thread, so the other task runs only because the guest yields.
    tokio::select! {
        biased;
        result = spin.call_async(&mut store, ()) => panic!("the guest kept the thread to its end: {result:?}"),
        result = other => result.unwrap(),
    }
}

#[tokio::test]
async fn waiting_is_not_guest_time() {
    // Five waits of five ticks each: twenty-five ticks by the clock, at most six of them the guest's.
    let (mut store, instance) = instantiate(
        Limits {
            time_ms: 100,
            ..Limits::default()
        },
        50,
    )
    .await
    .unwrap();
    let wait = instance.get_typed_func::<(u32,), ()>(&mut store, "wait-often").unwrap();
    wait.call_async(&mut store, (5,)).await.unwrap();
    assert_eq!(store.data().exceeded(), None);
    assert!(store.data().guest_ms() <= 100, "{} ms", store.data().guest_ms());
}

#[tokio::test]
async fn memory_beyond_the_limit_is_refused_and_remembered() {
    let limit_bytes = 4 << 16;
    let (mut store, instance) = instantiate(
        Limits {
            memory_bytes: limit_bytes,
            ..Limits::default()
        },
        0,
    )
    .await
    .unwrap();
    let grow = instance.get_typed_func::<(u32,), (i32,)>(&mut store, "grow").unwrap();
    assert_eq!(grow.call_async(&mut store, (2,)).await.unwrap(), (1,));
    assert_eq!(store.data().exceeded(), None);
    assert_eq!(grow.call_async(&mut store, (2,)).await.unwrap(), (-1,));
    assert_eq!(store.data().exceeded(), Some(LimitExceeded::Memory { limit_bytes }));
    assert_eq!(grow.call_async(&mut store, (1,)).await.unwrap(), (3,));
    assert_eq!(store.data().memory_bytes(), limit_bytes);

    let must_grow = instance.get_typed_func::<(u32,), ()>(&mut store, "must-grow").unwrap();
    assert!(must_grow.call_async(&mut store, (1,)).await.is_err());
    assert_eq!(store.data().exceeded(), Some(LimitExceeded::Memory { limit_bytes }));
}

#[tokio::test]
async fn a_memory_may_be_as_large_as_a_slot() {
    let limits = Limits {
        memory_bytes: MAX_MEMORY_BYTES,
        ..Limits::default()
    };
    let (mut store, instance) = instantiate(limits, 0).await.unwrap();
    let grow = instance.get_typed_func::<(u32,), (i32,)>(&mut store, "grow").unwrap();
    let pages = (MAX_MEMORY_BYTES >> 16) as u32 - 1;
    assert_eq!(grow.call_async(&mut store, (pages,)).await.unwrap(), (1,));
    assert_eq!(store.data().exceeded(), None);
    assert_eq!(grow.call_async(&mut store, (1,)).await.unwrap(), (-1,));
}

#[tokio::test]
async fn a_memory_larger_than_its_slot_is_the_memory_limit() {
    let limits = Limits {
        memory_bytes: 1 << 30,
        ..Limits::default()
    };
    let (mut store, instance) = instantiate(limits, 0).await.unwrap();
    let grow = instance.get_typed_func::<(u32,), (i32,)>(&mut store, "grow").unwrap();
    assert_eq!(grow.call_async(&mut store, (3000,)).await.unwrap(), (-1,));
    assert_eq!(
        store.data().exceeded(),
        Some(LimitExceeded::Memory { limit_bytes: 1 << 30 })
    );
}

#[tokio::test]
async fn a_component_that_starts_beyond_its_memory_is_not_instantiated() {
    let result = instantiate(
        Limits {
            memory_bytes: 1 << 15,
            ..Limits::default()
        },
        0,
    )
    .await;
    assert!(result.is_err());
}
