//! What a component imports and exports: for checking it against its manifest, and for linking it.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use crate::Engine;

/// The interfaces of a component by full name (`shop:order/purchases@0.1.0`), in its order. Interfaces that hold only types are among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interfaces {
    /// What it needs.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
}

/// Names what a component imports and exports.
pub fn interfaces(engine: &Engine, component: &Component) -> Interfaces {
    let ty = component.component_type();
    let engine = engine.wasmtime();
    Interfaces {
        imports: ty.imports(engine).map(|(name, _)| name.to_owned()).collect(),
        exports: ty.exports(engine).map(|(name, _)| name.to_owned()).collect(),
    }
}

/// The functions of one imported interface, with their types; empty when it is not imported or holds only types.
pub fn imported_functions(engine: &Engine, component: &Component, interface: &str) -> Vec<(String, ComponentFunc)> {
    let ty = component.component_type();
    let found = ty.imports(engine.wasmtime()).find(|(name, _)| *name == interface);
    found.map_or_else(Vec::new, |(_, item)| functions(engine, &item.ty))
}

/// The functions of one exported interface, with their types; empty when it is not exported or holds only types.
pub fn exported_functions(engine: &Engine, component: &Component, interface: &str) -> Vec<(String, ComponentFunc)> {
    let ty = component.component_type();
    let found = ty.exports(engine.wasmtime()).find(|(name, _)| *name == interface);
    found.map_or_else(Vec::new, |(_, item)| functions(engine, &item.ty))
}

fn functions(engine: &Engine, item: &ComponentItem) -> Vec<(String, ComponentFunc)> {
    let ComponentItem::ComponentInstance(instance) = item else {
        return Vec::new();
    };
    let functions = instance
        .exports(engine.wasmtime())
        .filter_map(|(name, item)| match item.ty {
            ComponentItem::ComponentFunc(ty) => Some((name.to_owned(), ty)),
            _ => None,
        });
    functions.collect()
}
