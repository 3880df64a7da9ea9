//! The maps in the READMEs match the tree: each folder listed exists, and each folder that exists is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Folders of `folder` that git would keep.
fn folders(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries
        .map(|entry| entry.expect("an entry can be read"))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect()
}

/// Names in backticks at the start of table rows, of folders: `host/` or [`host/`](…).
fn listed(readme: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(readme).expect("the README can be read");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|name| name.strip_suffix('/'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_map_matches_its_folder() {
    for folder in ["", "host", "components", "migrations", "host/capabilities"] {
        let folder = root().join(folder);
        let (found, listed) = (folders(&folder), listed(&folder.join("README.md")));
        assert_eq!(listed, found, "the map in {}", folder.join("README.md").display());
    }
}
