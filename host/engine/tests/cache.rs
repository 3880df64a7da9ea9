//! The compile cache on a real disk.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use host_engine::{CacheOutcome, CompileCache, Engine, EngineOptions, Error, Kind, interfaces};
use host_types::{Clock, Digest, SystemClock};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn wasm() -> Arc<[u8]> {
    let text = r#"(component
        (core module $m (func (export "answer") (result i32) i32.const 42))
        (core instance $i (instantiate $m))
        (func $answer (result u32) (canon lift (core func $i "answer")))
        (instance $deep (export "answer" (func $answer)))
        (export "test:deep/thought@1.0.0" (instance $deep)))"#;
    wat::parse_str(text).unwrap().into()
}

fn engine() -> Engine {
    Engine::new(&EngineOptions {
        instances: 10,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn open(engine: &Engine, folder: &Path) -> Result<CompileCache, Error> {
    CompileCache::open(engine, folder, Arc::new(SystemClock))
}

async fn load(folder: &Path) -> (Engine, Result<host_engine::Loaded, Error>) {
    let engine = engine();
    let wasm = wasm();
    let digest = Digest::of(&wasm);
    let loaded = open(&engine, folder).unwrap().load(wasm, digest).await;
    (engine, loaded)
}

/// The one compiled file below the cache's folder, and nothing else.
fn compiled_file(folder: &Path) -> PathBuf {
    let settings: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [settings] = &settings[..] else {
        panic!("one folder per settings, not {settings:?}")
    };
    let files: Vec<_> = fs::read_dir(settings)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [file] = &files[..] else {
        panic!("one file, not {files:?}")
    };
    file.clone()
}

#[tokio::test]
async fn a_second_start_does_not_compile() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("new/cache");
    let (engine, first) = load(&cache).await;
    let first = first.unwrap();
    assert!(matches!(first.outcome, CacheOutcome::Compiled(_)));
    assert_eq!(
        interfaces(&engine, &first.component).exports,
        ["test:deep/thought@1.0.0"]
    );
    let (engine, second) = load(&cache).await;
    let second = second.unwrap();
    assert_eq!(second.outcome, CacheOutcome::Hit);
    assert_eq!(
        interfaces(&engine, &second.component),
        interfaces(&engine, &first.component)
    );
}

#[tokio::test]
async fn code_for_other_settings_is_neither_taken_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    let other = Engine::new(&EngineOptions {
        kind: Kind::Stock,
        instances: 10,
        ..EngineOptions::default()
    })
    .unwrap();
    let engine = engine();
    let outcome = async |engine: &Engine| {
        let cache = open(engine, &folder).unwrap();
        cache.load(wasm(), Digest::of(&wasm())).await.unwrap().outcome
    };
    assert!(matches!(outcome(&engine).await, CacheOutcome::Compiled(_)));
    assert!(matches!(outcome(&other).await, CacheOutcome::Compiled(_)));
    assert_eq!(outcome(&engine).await, CacheOutcome::Hit);
    assert_eq!(outcome(&other).await, CacheOutcome::Hit);
}

#[tokio::test]
async fn unusable_code_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    load(&cache).await.1.unwrap();
    let file = compiled_file(&cache);
    let good = fs::read(&file).unwrap();
    for bad in [&b""[..], b"not machine code", &good[..good.len() / 2]] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bad).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let loaded = load(&cache).await.1.unwrap();
        assert!(matches!(loaded.outcome, CacheOutcome::Compiled(_)));
        assert_eq!(fs::read(compiled_file(&cache)).unwrap().len(), good.len());
    }
}

#[tokio::test]
async fn code_others_could_have_written_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    load(&cache).await.1.unwrap();
    fs::set_permissions(compiled_file(&cache), Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(
        load(&cache).await.1.unwrap().outcome,
        CacheOutcome::Compiled(_)
    ));
    assert_eq!(load(&cache).await.1.unwrap().outcome, CacheOutcome::Hit);
}

#[test]
fn a_folder_others_can_enter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(
        open(&engine(), folder.path()),
        Err(Error::InsecureCache { .. })
    ));
}

#[tokio::test]
async fn bytes_must_be_those_the_digest_names() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&engine(), &folder.path().join("cache")).unwrap();
    let result = cache.load(wasm(), Digest::of(b"something else")).await;
    assert!(matches!(result, Err(Error::DigestMismatch { .. })));
}

#[tokio::test]
async fn bytes_that_are_no_component_are_the_deployers_fault() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&engine(), &folder.path().join("cache")).unwrap();
    let result = cache
        .load(Arc::from(&b"\0asm junk"[..]), Digest::of(b"\0asm junk"))
        .await;
    assert!(matches!(result, Err(Error::Compile { .. })));
}

#[tokio::test]
async fn one_component_asked_for_many_times_is_compiled_by_at_most_two() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&engine(), &folder.path().join("cache")).unwrap();
    let wasm = wasm();
    let digest = Digest::of(&wasm);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (cache, wasm) = (cache.clone(), Arc::clone(&wasm));
        tasks.spawn(async move { cache.load(wasm, digest).await.unwrap().outcome });
    }
    let outcomes = tasks.join_all().await;
    let compiled = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, CacheOutcome::Compiled(_)))
        .count();
    assert!((1..=2).contains(&compiled), "{outcomes:?}");
}

/// It was last loaded so many days ago.
fn age(file: &Path, days: u32) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock.unix_ms()) - DAY * days;
    File::open(file).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn code_that_was_not_loaded_for_long_is_removed_and_whoever_runs_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    let engine = engine();
    let cache = open(&engine, &folder).unwrap();
    let (wasm, digest) = (wasm(), Digest::of(&wasm()));
    let remove = async |in_use: &[Digest]| {
        let in_use: HashSet<_> = in_use.iter().copied().collect();
        cache.remove_unused(DAY * 90, in_use).await.unwrap()
    };
    cache.load(Arc::clone(&wasm), digest).await.unwrap();
    let file = compiled_file(&folder);

    age(&file, 91);
    assert_eq!(remove(&[digest]).await, 0, "new invocations run on it");
    let running = cache.load(Arc::clone(&wasm), digest).await.unwrap();
    assert_eq!(running.outcome, CacheOutcome::Hit);
    assert_eq!(remove(&[]).await, 0, "it was loaded just now");

    // Of an earlier version of the host: its code, and what it left half written.
    let earlier = folder.join("earlier");
    fs::create_dir(&earlier).unwrap();
    for name in ["code.cwasm", "code.7-0.tmp", "young.cwasm"] {
        File::create(earlier.join(name)).unwrap();
    }
    for old in [&file, &earlier.join("code.cwasm"), &earlier.join("code.7-0.tmp")] {
        age(old, 91);
    }
    assert_eq!(remove(&[]).await, 3);
    assert!(!file.exists() && earlier.join("young.cwasm").exists());
    assert_eq!(
        interfaces(&engine, &running.component).exports,
        ["test:deep/thought@1.0.0"]
    );
    let again = cache.load(wasm, digest).await.unwrap();
    assert!(matches!(again.outcome, CacheOutcome::Compiled(_)));
}
