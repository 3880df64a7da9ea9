//! The compile cache on a real disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host_engine::{CacheOutcome, CompileCache, Engine, EngineOptions, Error, interfaces};
use host_types::{Digest, SystemClock};

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
