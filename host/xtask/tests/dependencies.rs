//! What we depend upon is what `.deny.toml` lets in, read as cargo-deny reads it: licences, crates that are not wanted, where crates come from.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None: it is ours.
    source: Option<String>,
    license: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(root().join(".deny.toml")).expect("the file is there");
    toml::from_str(&text).expect("the file is as expected")
}

/// Whatever the lock file brings in for one of the targets: somewhat more than is compiled, so that cargo may have to fetch some of it.
fn packages(rules: &Rules) -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root())
        .args(["metadata", "--locked", "--format-version", "1"]);
    for target in &rules.graph.targets {
        cargo.args(["--filter-platform", target]);
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    assert!(
        metadata.packages.len() > 300,
        "only {} packages",
        metadata.packages.len()
    );
    metadata.packages
}

/// Where the crates come from that everybody has: the one registry that is known.
fn registry(packages: &[Package]) -> &str {
    let serde = packages.iter().find(|package| package.name == "serde");
    serde
        .and_then(|serde| serde.source.as_deref())
        .expect("serde comes from a registry")
}

/// What is wrong with a package.
fn objections(package: &Package, registry: &str, rules: &Rules, allowed: &[Licensee]) -> Vec<String> {
    let Package { name, version, .. } = package;
    let mut objections = Vec::new();
    let Some(source) = &package.source else {
        return objections;
    };
    if source != registry {
        objections.push(format!("{name} {version} comes from {source}"));
    }
    let license = package.license.as_deref().unwrap_or_default();
    let is_allowed = Expression::parse_mode(license, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|requirement| allowed.iter().any(|licensee| licensee.satisfies(requirement)))
    });
    if !is_allowed {
        objections.push(format!("{name} {version} has the licence `{license}`"));
    }
    let bans = rules.bans.deny.iter().filter(|ban| ban.name == *name);
    objections.extend(bans.map(|ban| format!("{name} {version}: {}", ban.reason)));
    objections
}

fn allowed(rules: &Rules) -> Vec<Licensee> {
    let names = rules.licenses.allow.iter();
    let licensee = |name: &String| Licensee::parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    names.map(licensee).collect()
}

#[test]
fn what_we_depend_upon_is_let_in() {
    let rules = rules();
    assert_eq!(
        (&*rules.sources.unknown_registry, &*rules.sources.unknown_git),
        ("deny", "deny")
    );
    let allowed = allowed(&rules);
    let packages = packages(&rules);
    let registry = registry(&packages);
    assert!(registry.starts_with("registry+"), "{registry}");
    let objections: Vec<String> = packages
        .iter()
        .flat_map(|package| objections(package, registry, &rules, &allowed))
        .collect();
    assert!(objections.is_empty(), "{objections:#?}");
}

#[test]
fn what_is_not_let_in_is_named() {
    let rules = rules();
    let allowed = allowed(&rules);
    let package = |name: &str, source: &str, license: &str| Package {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        source: Some(source.to_owned()),
        license: Some(license.to_owned()),
    };
    for (package, objection) in [
        (package("good", "registry+here", "MIT OR GPL-3.0"), None),
        (
            package("closed", "registry+here", "GPL-3.0"),
            Some("closed 1.0.0 has the licence `GPL-3.0`"),
        ),
        (
            package("both", "registry+here", "MIT AND GPL-3.0"),
            Some("both 1.0.0 has the licence `MIT AND GPL-3.0`"),
        ),
        (
            package("near", "git+there", "MIT"),
            Some("near 1.0.0 comes from git+there"),
        ),
        (
            package("far", "registry+there", "MIT"),
            Some("far 1.0.0 comes from registry+there"),
        ),
        (
            package("native-tls", "registry+here", "MIT"),
            Some("native-tls 1.0.0: TLS is rustls with ring, everywhere"),
        ),
    ] {
        let objections = objections(&package, "registry+here", &rules, &allowed);
        assert_eq!(objections, Vec::from_iter(objection), "{}", package.name);
    }
}
