//! The pair of guests that exchange values: found, built when missing, linked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_engine::{Engine, EngineOptions, exported_functions};
use host_link::{Signature, call_export, define_import};
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{AsContextMut, Store};

pub(crate) const VALUES: &str = "test:values/values@1.0.0";

/// The bytes of a guest: from `NEXUS_COMPONENTS_DIR`, or from the workspace's target folder, where it is built if missing.
fn guest(name: &str) -> Result<Vec<u8>> {
    let file = format!("{}.wasm", name.replace('-', "_"));
    if let Some(folder) = std::env::var_os("NEXUS_COMPONENTS_DIR") {
        let path = Path::new(&folder).join(file);
        return std::fs::read(&path).with_context(|| format!("read {}", path.display()));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let path = target.join("wasm32-wasip2/guest").join(file);
    if !path.exists() {
        let arguments = [
            "build",
            "--package",
            name,
            "--profile",
            "guest",
            "--target",
            "wasm32-wasip2",
        ];
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&workspace)
            .status()?;
        ensure!(status.success(), "cargo could not build {name}");
    }
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// How the caller's imports are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// By this crate.
    Encoded,
    /// By wasmtime's own conversion.
    Val,
}

/// The caller's store: its callee, and what last crossed to it.
pub(crate) struct Caller {
    callee: Store<()>,
    pub(crate) params: Vec<u8>,
    pub(crate) vals: Vec<Val>,
    /// What to answer instead of calling the callee.
    pub(crate) answer: Option<Vec<u8>>,
}

pub(crate) struct Guests {
    pub(crate) engine: Engine,
    pub(crate) caller: Component,
    callee: Component,
}

impl Guests {
    pub(crate) fn load() -> Result<Self> {
        let engine = Engine::new(&EngineOptions {
            instances: 50,
            ..EngineOptions::default()
        })?;
        let caller = Component::from_binary(engine.wasmtime(), &guest("guest-call-values")?)?;
        let callee = Component::from_binary(engine.wasmtime(), &guest("guest-echo-values")?)?;
        Ok(Self { engine, caller, callee })
    }

    /// The functions, with the signatures the callee has; checked to be the caller's too.
    pub(crate) fn functions(&self) -> Result<Vec<(String, Signature)>> {
        let signatures = |component| {
            let functions = exported_functions(&self.engine, component, VALUES).into_iter();
            functions
                .map(|(name, ty)| Signature::new(&name, &ty).map(|it| (name, it)))
                .collect::<Result<Vec<_>, _>>()
        };
        let (caller, callee) = (signatures(&self.caller)?, signatures(&self.callee)?);
        ensure!(caller == callee, "both ends have the same signatures");
        Ok(callee)
    }

    /// A fresh pair of instances.
    pub(crate) async fn link(&self, import: Import) -> Result<(Store<Caller>, Instance)> {
        let engine = self.engine.wasmtime();
        let mut linker = Linker::<()>::new(engine);
        // These guests use nothing of WASI, which the standard library imports nevertheless.
        linker.define_unknown_imports_as_traps(&self.callee)?;
        let mut callee = Store::new(engine, ());
        callee.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate_async(&mut callee, &self.callee).await?;

        let mut linker = Linker::<Caller>::new(engine);
        let mut values = linker.instance(VALUES)?;
        for (name, signature) in self.functions()? {
            let function = find(&mut callee, &instance, VALUES, &name)?;
            match import {
                Import::Encoded => define_import(
                    &mut values,
                    &name,
                    &signature,
                    Arc::new(move |mut store, params| {
                        Box::pin(async move {
                            let caller = store.data_mut();
                            let result = match caller.answer.clone() {
                                Some(answer) => answer,
                                None => call_export(&mut caller.callee, &function, &params).await?,
                            };
                            caller.params = params;
                            Ok(result)
                        })
                    }),
                )?,
                Import::Val => values.func_new_async(&name, move |mut store, _, params, results| {
                    Box::new(async move {
                        let caller = store.data_mut();
                        caller.vals = params.to_vec();
                        function.call_async(&mut caller.callee, params, results).await
                    })
                })?,
            }
        }
        linker.define_unknown_imports_as_traps(&self.caller)?;
        let caller = Caller {
            callee,
            params: Vec::new(),
            vals: Vec::new(),
            answer: None,
        };
        let mut store = Store::new(engine, caller);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate_async(&mut store, &self.caller).await?;
        Ok((store, instance))
    }
}

/// An exported function.
pub(crate) fn find(mut store: impl AsContextMut, instance: &Instance, interface: &str, name: &str) -> Result<Func> {
    let interface = instance
        .get_export_index(&mut store, None, interface)
        .context("the interface")?;
    let function = instance
        .get_export_index(&mut store, Some(&interface), name)
        .context("the function")?;
    instance.get_func(&mut store, function).context("a function")
}
