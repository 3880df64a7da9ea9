//! The repository's own `spin.toml`: it loads, it agrees with the worlds of `wit/worlds.wit`, and it is a manifest Spin's own parser accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use host_manifest::{App, ComponentId, Interfaces, LimitedBy, Offered};
use serde::Deserialize;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn app() -> App {
    App::load("spin.toml", &read("spin.toml"), &BTreeMap::new()).unwrap_or_else(|errors| panic!("\n{errors}"))
}

/// The worlds of `wit/worlds.wit`, `include` followed. The file is plain: one item a line, each ended by a semicolon.
fn worlds() -> BTreeMap<String, Interfaces> {
    let text = read("wit/worlds.wit");
    let mut worlds: BTreeMap<String, Interfaces> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(name) = line.strip_prefix("world ") {
            current = name.trim_end_matches('{').trim().to_owned();
            worlds.insert(current.clone(), Interfaces::default());
        }
        let Some((word, name)) = line.strip_suffix(';').and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let included = worlds.get(name).cloned();
        let Some(world) = worlds.get_mut(&current) else {
            continue;
        };
        match word {
            "include" => *world = included.unwrap_or_else(|| panic!("{name} is included before it is defined")),
            "import" => world.imports.push(name.to_owned()),
            "export" => world.exports.push(name.to_owned()),
            other => panic!("`{other}` is not understood"),
        }
    }
    worlds
}

/// A provider's component is named kind first; all of a kind share a world.
fn world_of(component: &str) -> &str {
    match component.split_once('-') {
        // Its payments are made elsewhere.
        Some(("payment", "sandbox")) => "payment-gateway",
        Some(("payment", _)) => "payment-provider",
        Some(("transport", _)) => "transport-tracker",
        Some(("geocode", _)) => "geocoding-provider",
        _ => component,
    }
}

fn compiled(app: &App) -> BTreeMap<ComponentId, Interfaces> {
    let worlds = worlds();
    let world = |id: &ComponentId| {
        worlds
            .get(world_of(id.as_str()))
            .unwrap_or_else(|| panic!("{id} has no world"))
            .clone()
    };
    app.components.keys().map(|id| (id.clone(), world(id))).collect()
}

#[test]
fn it_describes_every_component_of_the_workspace() {
    let app = app();
    let folders = fs::read_dir(root().join("components"))
        .expect("there are components")
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .into_string()
                .expect("it is text")
        });
    let folders: BTreeSet<String> = folders
        .filter(|name| root().join("components").join(name).is_dir() && !["sdk", "tests"].contains(&name.as_str()))
        .collect();
    let ids: BTreeSet<String> = app.components.keys().map(ToString::to_string).collect();
    assert_eq!(ids, folders);
    for (id, component) in &app.components {
        let build = component.build.as_ref().unwrap_or_else(|| panic!("{id} is built here"));
        assert_eq!(
            build.commands,
            [format!(
                "cargo build --profile guest --target wasm32-wasip2 -p component-{id}"
            )]
        );
        let file = format!(
            "target/wasm32-wasip2/guest/component_{}.wasm",
            id.as_str().replace('-', "_")
        );
        assert_eq!(component.source.to_str(), Some(file.as_str()));
    }
}

#[test]
fn its_routes_lead_to_the_modules() {
    let app = app();
    let routes: Vec<String> = app
        .routes
        .iter()
        .map(|route| format!("{} {}", route.pattern, route.component))
        .collect();
    assert_eq!(
        routes,
        [
            "/api/v1/account/... account",
            "/api/v1/catalog/... catalog",
            "/api/v1/inventory/... inventory",
            "/api/v1/order/... order",
            "/api/v1/payment/webhook/... order",
            "/api/v1/transport/webhook/... order",
            "/api/v1/common/... common",
        ]
    );
    for route in &app.routes {
        let component = &app.components[&route.component];
        assert_eq!(
            component.identity.as_ref().map(|identity| identity.key.as_str()),
            Some("access"),
            "{}",
            component.id
        );
    }
}

#[test]
fn its_grants_are_these() {
    let granted = |component: &host_manifest::Component| {
        let mut grants: Vec<String> = component
            .schema
            .iter()
            .map(|schema| format!("schema {schema}"))
            .collect();
        grants.extend(component.keys.iter().map(|key| format!("key {key}")));
        grants.extend(
            component
                .allowed_outbound_hosts
                .iter()
                .map(|host| format!("host {host}")),
        );
        grants.extend(component.key_value_stores.iter().map(|store| format!("store {store}")));
        grants.extend(component.variables.keys().map(|name| format!("variable {name}")));
        grants.extend(
            component
                .providers
                .iter()
                .flat_map(|line| &line.components)
                .map(|id| format!("provider {id}")),
        );
        format!("{}: {}", component.id, grants.join(", "))
    };
    assert_eq!(
        app().components.values().map(granted).collect::<Vec<_>>(),
        [
            "account: schema account, key access, key refresh, variable access_token_seconds, variable refresh_grace_seconds, \
             variable refresh_token_seconds, variable session_seconds",
            "catalog: schema catalog",
            "common: schema common, provider geocode-local, provider payment-cod, provider payment-sandbox, provider transport-flat",
            "geocode-local: ",
            "inventory: schema inventory",
            "order: schema order, variable attempt_seconds, variable delivery_days, variable escrow_days, variable escrow_seconds, \
             variable platform_fee_bps, variable platform_fee_minor, variable seller_confirm_days, variable seller_confirm_seconds, \
             variable session_hours, variable session_seconds, \
             provider payment-sandbox, provider payment-cod, provider payment-sandbox, provider transport-flat, provider transport-flat",
            "payment-cod: variable cod_currencies, variable cod_enabled, variable cod_max_minor",
            "payment-sandbox: host http://sandbox.invalid, variable sandbox_currencies, variable sandbox_enabled, \
             variable sandbox_secret, variable sandbox_url",
            "transport-flat: variable base_minor, variable currency, variable step_minor, variable webhook_secret",
        ]
    );
}

#[test]
fn passwords_and_tokens_are_erased() {
    let app = app();
    let account = &app.components["account"];
    for path in ["login/basic", "register/basic", "refresh"] {
        assert!(
            account.is_sensitive("POST", &format!("/api/v1/account/auth/{path}")),
            "{path}"
        );
    }
    assert!(!account.is_sensitive("GET", "/api/v1/account/me"));
}

#[test]
fn its_limits_are_these() {
    let app = app();
    let mut limits = Vec::new();
    for component in app.components.values() {
        for limit in &component.rate_limits {
            let by = match &limit.by {
                LimitedBy::Account => "account".to_owned(),
                LimitedBy::Address => "address".to_owned(),
                LimitedBy::Member(member) => format!("{} ({:?})", member.name, member.spelling),
            };
            let of = format!("{} {}", component.id, limit.name);
            limits.push(format!("{of}: {} in {} s by {by}", limit.quota, limit.window_seconds));
            let routes = limit.routes.iter();
            limits.extend(routes.map(|route| format!("  {} {}", route.method, route.pattern)));
        }
    }
    assert_eq!(
        limits,
        [
            "account contact: 20 in 60 s by account",
            "  POST /api/v1/account/contact",
            "  PATCH /api/v1/account/contact",
            "account login: 20 in 60 s by address",
            "  POST /api/v1/account/auth/login/basic",
            "account login-account: 10 in 60 s by id (Folded)",
            "  POST /api/v1/account/auth/login/basic",
            "account refresh: 120 in 60 s by address",
            "  POST /api/v1/account/auth/refresh",
            "account register: 20 in 600 s by address",
            "  POST /api/v1/account/auth/register/basic",
            "catalog search: 600 in 60 s by account",
            "  GET /api/v1/catalog/product-card",
            "  GET /api/v1/catalog/product-spu",
            "  GET /api/v1/catalog/category",
            "  GET /api/v1/catalog/tag",
            "common geocode: 30 in 60 s by account",
            "  POST /api/v1/common/geocode/forward",
            "  POST /api/v1/common/geocode/reverse",
            "  GET /api/v1/common/geocode/search",
            "order checkout: 10 in 60 s by account",
            "  POST /api/v1/order/buyer/checkout",
            "  POST /api/v1/order/buyer/checkout/:session/payment-url",
            "  POST /api/v1/order/seller/pending/confirm/:session/payment-url",
            "order webhook: 3000 in 60 s by address",
            "  POST /api/v1/payment/webhook/:gateway",
            "  POST /api/v1/transport/webhook/:carrier",
        ]
    );
}

#[test]
fn who_ends_what_is_open_is_heard_however_much_that_is() {
    let app = app();
    let order = &app.components["order"];
    for (method, path) in [
        ("POST", "/api/v1/payment/webhook/sandbox"),
        ("POST", "/api/v1/transport/webhook/flat"),
        ("POST", "/api/v1/order/buyer/checkout/1/cancel"),
        ("DELETE", "/api/v1/order/buyer/pending-items/1"),
        ("POST", "/api/v1/order/seller/pending/confirm/1/cancel"),
        ("POST", "/api/v1/order/seller/pending/reject"),
    ] {
        assert_eq!(order.open_limit_of_request(method, path), None, "{method} {path}");
    }
    for begins in ["/api/v1/order/buyer/checkout", "/api/v1/order/seller/pending/confirm"] {
        assert!(order.open_limit_of_request("POST", begins).is_some(), "{begins}");
    }
}

#[test]
fn every_import_of_its_worlds_is_answered() {
    let app = app();
    let compiled = compiled(&app);
    let platform: BTreeSet<&str> = compiled
        .values()
        .flat_map(|interfaces| &interfaces.imports)
        .map(String::as_str)
        .collect();
    let platform: Vec<&str> = platform.into_iter().filter(|name| !name.starts_with("shop:")).collect();
    let offered = Offered {
        plain: &platform,
        stock: &[],
    };
    app.check_links(&compiled, offered)
        .unwrap_or_else(|errors| panic!("\n{errors}"));
}

#[test]
fn no_dependency_is_declared_that_no_world_imports() {
    let app = app();
    let compiled = compiled(&app);
    for (id, component) in &app.components {
        let declared = component.dependencies.iter().map(|line| &line.interface);
        for name in declared.chain(component.providers.iter().map(|line| &line.interface)) {
            let imports = &compiled[id].imports;
            let name = name.to_string();
            let name = name.split('@').next().unwrap_or_default();
            // Itself, or a variant of it: `-send`, `-begin` and their like.
            let is_imported = imports.iter().any(|import| {
                let import = import.split('@').next().unwrap_or_default();
                import == name
                    || import
                        .strip_prefix(name)
                        .is_some_and(|variant| variant.starts_with('-'))
            });
            assert!(is_imported, "{id} does not import {name}");
        }
    }
}

/// Spin's schema of a manifest of version 2, as far as a reader of TOML can tell: the same tables, the same required keys, no others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpinManifest {
    spin_manifest_version: u8,
    application: SpinApplication,
    #[serde(default)]
    variables: BTreeMap<String, SpinVariable>,
    trigger: BTreeMap<String, Vec<SpinTrigger>>,
    component: BTreeMap<String, SpinComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinApplication {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinVariable {
    description: Option<String>,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinTrigger {
    #[serde(default)]
    id: String,
    component: String,
    route: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinComponent {
    source: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    build: Option<SpinBuild>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Table>,
    #[serde(default)]
    dependencies: BTreeMap<String, SpinDependency>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinBuild {
    command: toml::Value,
    workdir: Option<String>,
    #[serde(default)]
    watch: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading them is the check")]
struct SpinDependency {
    component: String,
    export: Option<String>,
}

#[test]
fn it_has_the_form_of_a_spin_manifest() {
    let text = read("spin.toml");
    let manifest: SpinManifest = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifest.spin_manifest_version, 2);
    assert!(!manifest.application.name.is_empty());
    // Spin's ids are words of letters and digits that open with a letter, joined by `-`, variables by `_`.
    let is_id = |id: &str, delimiter: char| {
        id.split(delimiter)
            .all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(char::is_alphanumeric))
    };
    assert!(manifest.component.keys().all(|id| is_id(id, '-')));
    assert!(manifest.variables.keys().all(|name| is_id(name, '_')));
    assert!(manifest.trigger.keys().all(|kind| kind == "http"));
    assert!(
        manifest
            .component
            .values()
            .all(|component| component.variables.keys().all(|name| is_id(name, '_')))
    );
    let variables = manifest.variables.values();
    assert!(
        variables
            .clone()
            .all(|variable| variable.required != variable.default.is_some()),
        "one of the two, not both"
    );
}

#[test]
fn it_is_toml_1_0() {
    // Spin's parser does not know the inline tables over several lines that TOML 1.1 brought.
    for (number, line) in read("spin.toml").lines().enumerate() {
        assert_eq!(
            line.matches('{').count(),
            line.matches('}').count(),
            "line {}: {line}",
            number + 1
        );
    }
}
