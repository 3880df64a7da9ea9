//! What a reader relies on and no compiler looks at: files that can be read in one sitting, guests that something is made with.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file. A concept that needs more has parts with names of their own.
const LONGEST: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of ours under `folder`, of these kinds.
fn files(folder: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("names are UTF-8");
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(files(&path, kinds));
        } else if path
            .extension()
            .is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted))
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_is_read_in_one_sitting() {
    let folders = ["host", "components", "wit", "migrations"].map(|folder| root().join(folder));
    let files: Vec<_> = folders
        .iter()
        .flat_map(|folder| files(folder, &["rs", "sql", "wit", "md"]))
        .collect();
    assert!(files.len() > 500, "only {} files were found", files.len());
    let too_long: Vec<_> = files
        .iter()
        .map(|file| {
            (
                fs::read_to_string(file).expect("the file is UTF-8").lines().count(),
                file,
            )
        })
        .filter(|(lines, _)| *lines > LONGEST)
        .collect();
    assert!(too_long.is_empty(), "longer than {LONGEST} lines: {too_long:?}");
}

#[test]
fn every_guest_is_used_by_a_test_or_a_benchmark() {
    let guests = root().join("host/guests");
    let users: String = ["host", "components"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), &["rs", "toml"]))
        .filter(|file| !file.starts_with(&guests))
        .map(|file| fs::read_to_string(file).expect("the file is UTF-8"))
        .collect();
    // As a package, or as the file that is built of it.
    let is_used = |guest: &String| users.contains(guest) || users.contains(&guest.replace('-', "_"));
    let made = fs::read_dir(&guests).expect("the folder can be read");
    let unused: Vec<String> = made
        .map(|entry| entry.expect("an entry can be read"))
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| format!("guest-{}", entry.file_name().into_string().expect("names are UTF-8")))
        .filter(|guest| !is_used(guest))
        .collect();
    assert!(unused.is_empty(), "no test and no benchmark names {unused:?}");
}
