//! Examples in documentation that are tests: nextest does not run them, and few packages have any.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// What may stand behind the ticks that begin one. With anything else it is another language, or is said to be no test.
const COMPILED: [&str; 5] = ["", "rust", "no_run", "should_panic", "compile_fail"];

/// Whether a file of Rust under `folder` has one.
pub(crate) fn are_in(folder: &Path) -> anyhow::Result<bool> {
    let read = || format!("read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        let found = if path.is_dir() {
            are_in(&path)?
        } else {
            path.extension().is_some_and(|kind| kind == "rs")
                && stand_in(&fs::read_to_string(&path).with_context(read)?)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn stand_in(source: &str) -> bool {
    let documentation = source.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
    });
    let ticks = documentation.filter_map(|line| line.trim().strip_prefix("```"));
    // Every second line of ticks ends what the one before it began.
    ticks
        .step_by(2)
        .any(|kinds| kinds.split(',').all(|kind| COMPILED.contains(&kind.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_a_test_unless_it_says_otherwise() {
        let documented = |kind: &str| format!("/// Adds.\n///\n/// ```{kind}\n/// add(1);\n/// ```\nfn add() {{}}\n");
        for kind in ["", "rust", "no_run", "compile_fail", "rust,should_panic"] {
            assert!(stand_in(&documented(kind)), "{kind}");
        }
        for kind in ["ignore", "text", "sh", "rust,ignore"] {
            assert!(!stand_in(&documented(kind)), "{kind}");
        }
        assert!(stand_in("//! ```text\n//! a\n//! ```\n//! ```\n//! b();\n//! ```\n"));
        assert!(!stand_in("// ```\n// a();\n// ```\n"), "no documentation");
    }
}
