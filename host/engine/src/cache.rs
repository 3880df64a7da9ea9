//! From a component's bytes to code that can be instantiated, compiled once per content and engine settings.
//!
//! `<folder>/<settings>/<digest>.cwasm` is machine code the host will run unchecked. Hence the folder's owner and mode are
//! checked, and a file appears under its name complete and durable, and never changes afterwards. Its time is when it was last loaded.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use host_types::{Clock, Digest};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::Component;

use crate::{Engine, EngineOptions, Error, Kind};

/// Components compiled at once. Cranelift itself uses every core; two overlap the serial ends of one another.
const PARALLEL_COMPILATIONS: usize = 2;

/// How a component became available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Its code was there and is now mapped.
    Hit,
    /// It was compiled, which took this long.
    Compiled(Duration),
}

/// A component ready to be linked.
#[derive(Clone)]
pub struct Loaded {
    /// The code.
    pub component: Component,
    /// The engine it was compiled for and runs on.
    pub engine: Engine,
    /// Where it came from.
    pub outcome: CacheOutcome,
}

/// The compile cache of a plain engine, and of the stock engine that is made when a component needs it. Cheap to clone.
#[derive(Clone)]
pub struct CompileCache {
    shared: Arc<Shared>,
    root: PathBuf,
    stock: Arc<OnceCell<Arc<Shared>>>,
}

struct Shared {
    engine: Engine,
    clock: Arc<dyn Clock>,
    /// `<folder>/<settings>`.
    folder: PathBuf,
    compilations: Arc<Semaphore>,
    next_temporary: AtomicU64,
}

impl CompileCache {
    /// Opens the cache, creating the folder if need be. An existing one must belong to this user and be closed to others.
    pub fn open(engine: &Engine, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::new(Shared::open(engine.clone(), folder, clock)?),
            root: folder.to_owned(),
            stock: Arc::default(),
        })
    }

    /// The component with this digest. `wasm` is what to compile when it is not in the cache.
    ///
    /// A cached file that cannot be used is replaced; one that cannot be written is only logged, since the component works.
    pub async fn load(&self, wasm: Arc<[u8]>, digest: Digest) -> Result<Loaded, Error> {
        let shared = match Kind::of(&wasm) {
            Kind::Plain => &self.shared,
            Kind::Stock => self.stock.get_or_try_init(|| self.open_stock()).await?,
        };
        let looking = Arc::clone(shared);
        let cached = tokio::task::spawn_blocking(move || looking.cached(digest))
            .await
            .map_err(|_| Error::Abandoned)?;
        if let Some(component) = cached {
            return Ok(shared.loaded(component, CacheOutcome::Hit));
        }
        let turn = Arc::clone(&shared.compilations).acquire_owned().await;
        let turn = turn.map_err(|_| Error::Abandoned)?;
        let compiling = Arc::clone(shared);
        let compiled = tokio::task::spawn_blocking(move || {
            // A caller that goes away does not stop the thread: the turn ends with the work.
            let _turn = turn;
            compiling.compile(&wasm, digest)
        });
        compiled.await.map_err(|_| Error::Abandoned)?
    }

    /// Removes the code that was not loaded for so long, of any settings, but for these digests. Whoever has such a file mapped keeps it; whoever needs
    /// it again compiles it anew. Returns how many files there were.
    pub async fn remove_unused(&self, unused: Duration, in_use: HashSet<Digest>) -> Result<u64, Error> {
        let (root, clock) = (self.root.clone(), Arc::clone(&self.shared.clock));
        let removed = tokio::task::spawn_blocking(move || {
            let before = at(clock.unix_ms()).checked_sub(unused);
            before.map_or(Ok(0), |before| remove_before(&root, before, &in_use))
        });
        let removed = removed.await.map_err(|_| Error::Abandoned)?;
        removed.map_err(|source| Error::Cache {
            path: self.root.clone(),
            source,
        })
    }

    async fn open_stock(&self) -> Result<Arc<Shared>, Error> {
        let (root, clock) = (self.root.clone(), Arc::clone(&self.shared.clock));
        let opened = tokio::task::spawn_blocking(move || {
            let engine = Engine::new(&EngineOptions::stock())?;
            Shared::open(engine, &root, clock).map(Arc::new)
        });
        opened.await.map_err(|_| Error::Abandoned)?
    }
}

impl Shared {
    fn open(engine: Engine, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        private_folder(folder)?;
        let folder = folder.join(settings(&engine));
        private_folder(&folder)?;
        Ok(Self {
            engine,
            clock,
            folder,
            compilations: Arc::new(Semaphore::new(PARALLEL_COMPILATIONS)),
            next_temporary: AtomicU64::new(0),
        })
    }

    fn loaded(&self, component: Component, outcome: CacheOutcome) -> Loaded {
        Loaded {
            component,
            engine: self.engine.clone(),
            outcome,
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(file_name(&digest))
    }

    fn cached(&self, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        if !is_private(&fs::symlink_metadata(&path).ok()?, FileKind::File) {
            tracing::warn!(path = %path.display(), "compiled code is open to other users, compiling anew");
            return None;
        }
        // SAFETY: the file was written by `store` from `serialize`d code of an engine with these settings (its folder is
        // named after them), into a folder only this user can write to, and is never modified under its name.
        #[expect(unsafe_code, reason = "mapping compiled code is what makes a warm start fast")]
        let loaded = unsafe { Component::deserialize_file(self.engine.wasmtime(), &path) };
        loaded
            .inspect(|_| self.note_use(&path))
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "unusable compiled code, compiling anew");
            })
            .ok()
    }

    fn note_use(&self, path: &Path) {
        let noted = File::open(path).and_then(|file| file.set_modified(at(self.clock.unix_ms())));
        // Removed just now, or on a disk that is read only: the worst that follows is a compilation.
        if let Err(error) = noted {
            tracing::debug!(path = %path.display(), %error, "the use of compiled code could not be noted");
        }
    }

    fn compile(&self, wasm: &[u8], digest: Digest) -> Result<Loaded, Error> {
        // Somebody else may have compiled it while this call waited for its turn.
        if let Some(component) = self.cached(digest) {
            return Ok(self.loaded(component, CacheOutcome::Hit));
        }
        let actual = Digest::of(wasm);
        if actual != digest {
            return Err(Error::DigestMismatch {
                expected: digest,
                actual,
            });
        }
        let started = self.clock.boot_ns();
        let component =
            Component::from_binary(self.engine.wasmtime(), wasm).map_err(|source| Error::Compile { digest, source })?;
        let elapsed = Duration::from_nanos(self.clock.boot_ns().saturating_sub(started));
        let path = self.path(digest);
        match component.serialize() {
            Ok(code) => {
                if let Err(error) = self.store(&path, &code) {
                    tracing::warn!(path = %path.display(), %error, "compiled code could not be kept");
                }
            }
            Err(error) => {
                tracing::warn!(%digest, error = format!("{error:#}"), "compiled code could not be serialized")
            }
        }
        Ok(self.loaded(component, CacheOutcome::Compiled(elapsed)))
    }

    /// A new file, made durable, then renamed: a crash leaves the old state or the new one, and a process that has the old
    /// file mapped keeps it (writing into a mapped file would kill it with SIGBUS).
    fn store(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        // Left over from a process of the same id that crashed here.
        let _ = fs::remove_file(&temporary);
        let written = write_new(&temporary, code).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(&self.folder)?.sync_all()
    }
}

fn file_name(digest: &Digest) -> PathBuf {
    format!("{digest}.cwasm").into()
}

fn at(unix_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}

/// Files of all settings, those of earlier versions of the host and what was left half written among them.
fn remove_before(root: &Path, before: SystemTime, in_use: &HashSet<Digest>) -> io::Result<u64> {
    let in_use: HashSet<PathBuf> = in_use.iter().map(file_name).collect();
    let mut removed = 0;
    for settings in fs::read_dir(root)? {
        for file in fs::read_dir(settings?.path())? {
            let file = file?;
            if in_use.contains(Path::new(&file.file_name())) {
                continue;
            }
            let was_removed = file
                .metadata()
                .and_then(|metadata| match metadata.modified()? < before {
                    true => fs::remove_file(file.path()).map(|()| 1),
                    false => Ok(0),
                });
            removed += match was_removed {
                // Another process was faster, or has just given a new file its name.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                outcome => outcome?,
            };
        }
    }
    Ok(removed)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn private_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Cache {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    if is_private(&metadata, FileKind::Folder) {
        Ok(())
    } else {
        Err(Error::InsecureCache { path: path.to_owned() })
    }
}

#[derive(Clone, Copy)]
enum FileKind {
    File,
    Folder,
}

/// Only this user can change it. A folder must not even be readable, as it says which revisions run here.
fn is_private(metadata: &fs::Metadata, kind: FileKind) -> bool {
    let (right_kind, closed) = match kind {
        FileKind::File => (metadata.is_file(), metadata.mode() & 0o022 == 0),
        FileKind::Folder => (metadata.is_dir(), metadata.mode() & 0o077 == 0),
    };
    right_kind && closed && metadata.uid() == rustix::process::geteuid().as_raw()
}

/// A name for everything compiled code depends on: wasmtime's version, its settings, the processor's features.
fn settings(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("the hash is taken from the digest, which has room for all of it")
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.wasmtime().precompile_compatibility_hash().hash(&mut sha);
    hex::encode(&sha.0.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::*;

    /// Asked when a compilation begins, it says so and does not answer before the gate is open.
    struct Gate {
        begun: mpsc::UnboundedSender<()>,
        opened: Mutex<Receiver<()>>,
    }

    impl Clock for Gate {
        fn unix_ms(&self) -> u64 {
            0
        }

        fn boot_ns(&self) -> u64 {
            // Closed by a test that is over, both are as good as open.
            let _ = self.begun.send(());
            let _ = self.opened.lock().recv();
            0
        }
    }

    #[tokio::test]
    async fn callers_who_leave_take_no_turn_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(&EngineOptions {
            instances: 10,
            ..EngineOptions::default()
        });
        let (begun, mut begins) = mpsc::unbounded_channel();
        let (gate, opened): (Sender<()>, _) = channel();
        let clock = Gate {
            begun,
            opened: Mutex::new(opened),
        };
        let cache = CompileCache::open(&engine.unwrap(), &folder.path().join("cache"), Arc::new(clock)).unwrap();
        let turns = Arc::clone(&cache.shared.compilations);

        let wasm: Arc<[u8]> = wat::parse_str("(component)").unwrap().into();
        let digest = Digest::of(&wasm);
        let caller = tokio::spawn(async move { cache.load(wasm, digest).await.map(drop) });
        begins.recv().await.unwrap();
        assert_eq!(turns.available_permits(), PARALLEL_COMPILATIONS - 1);
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(
            turns.available_permits(),
            PARALLEL_COMPILATIONS - 1,
            "it is still compiled"
        );

        drop(gate);
        turns.acquire_many(PARALLEL_COMPILATIONS as u32).await.unwrap().forget();
    }
}
