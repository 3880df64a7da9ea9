//! Which engine a component needs. What it imports and exports says so; nobody configures it.

use wasmparser::{Chunk, Parser, Payload};

/// Which components an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Modules and providers: plain functions that are journaled and replayed.
    #[default]
    Plain,
    /// Components that bring WASI 0.3, or answer `wasi:http` themselves: one attempt, no replay.
    Stock,
}

impl Kind {
    /// Of these bytes, without compiling them. Bytes that are no component are plain: compiling them says what is wrong.
    pub fn of(wasm: &[u8]) -> Self {
        match is_stock(wasm) {
            Some(true) => Self::Stock,
            Some(false) | None => Self::Plain,
        }
    }
}

/// None: the bytes cannot be read to their end.
fn is_stock(wasm: &[u8]) -> Option<bool> {
    let mut parser = Parser::new(0);
    let mut rest = wasm;
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else {
            return None;
        };
        rest = rest.get(consumed..)?;
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if imports_stock(import.ok()?.name.name) {
                        return Some(true);
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    if exports_stock(export.ok()?.name.name) {
                        return Some(true);
                    }
                }
            }
            // What is nested has imports and exports of its own, which are nobody's here.
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                rest = rest.get(unchecked_range.len()..)?;
            }
            Payload::End(_) => return Some(false),
            _ => {}
        }
    }
}

/// Interfaces whose functions are asynchronous.
fn imports_stock(name: &str) -> bool {
    name.starts_with("spin:") || (name.starts_with("wasi:") && name.contains("@0.3."))
}

fn exports_stock(name: &str) -> bool {
    name.starts_with("wasi:http/handler@0.3.") || name.starts_with("wasi:http/incoming-handler@0.2.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(wat: &str) -> Kind {
        Kind::of(&wat::parse_str(wat).expect("valid text"))
    }

    #[test]
    fn imports_and_exports_say_which_engine() {
        assert_eq!(kind("(component)"), Kind::Plain);
        let import = |name: &str| kind(&format!("(component (import \"{name}\" (instance)))"));
        assert_eq!(import("nexus:sql/sql@0.1.0"), Kind::Plain);
        assert_eq!(import("wasi:http/types@0.2.12"), Kind::Plain);
        assert_eq!(import("wasi:http/types@0.3.0"), Kind::Stock);
        assert_eq!(import("spin:key-value/key-value@3.0.0"), Kind::Stock);
        let export = |name: &str| kind(&format!("(component (instance $i) (export \"{name}\" (instance $i)))"));
        assert_eq!(export("nexus:http/handler@0.1.0"), Kind::Plain);
        assert_eq!(export("wasi:http/incoming-handler@0.2.3"), Kind::Stock);
        assert_eq!(export("wasi:http/handler@0.3.0"), Kind::Stock);
    }

    #[test]
    fn what_is_nested_does_not_count() {
        let nested = "(component
            (core module (func (export \"wasi:http/handler@0.3.0\")))
            (component (import \"wasi:http/types@0.3.0\" (instance))))";
        assert_eq!(kind(nested), Kind::Plain);
    }

    #[test]
    fn bytes_that_are_no_component_are_left_to_the_compiler() {
        assert_eq!(Kind::of(b""), Kind::Plain);
        assert_eq!(Kind::of(b"\0asm\x0d\0\x01\0\x0b\xff"), Kind::Plain);
        let whole = wat::parse_str("(component (core module))").expect("valid text");
        for end in 0..whole.len() {
            assert_eq!(Kind::of(&whole[..end]), Kind::Plain);
        }
    }
}
