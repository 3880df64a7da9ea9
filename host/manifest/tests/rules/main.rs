//! One test per rule of the manifest. Each adds a few lines to a small valid manifest and compares the whole report.

mod durable;
mod grants;
mod limits;
mod parts;
mod routes;

use std::collections::BTreeMap;

use host_manifest::App;

/// A valid manifest of eight lines; what a test adds begins on line 9, inside `[component.cart]`.
const VALID: &str = r#"spin_manifest_version = 2
[application]
name = "shop"
[[trigger.http]]
route = "/cart/..."
component = "cart"
[component.cart]
source = "cart.wasm"
"#;

fn load(text: &str) -> Result<App, String> {
    App::load("spin.toml", text, &BTreeMap::new()).map_err(|errors| errors.to_string())
}

/// The report about the valid manifest with these lines added.
#[track_caller]
fn refused(added: &str, report: &str) {
    refused_text(&format!("{VALID}{added}"), report);
}

#[track_caller]
fn refused_text(text: &str, report: &str) {
    match load(text) {
        Ok(_) => panic!("accepted, but expected:\n{report}"),
        Err(found) => assert_eq!(found, report.trim_start_matches('\n'), "\nfound:\n{found}\n"),
    }
}

#[test]
fn everything_is_reported_at_once_in_the_order_of_the_file() {
    refused_text(
        r#"spin_manifest_version = 1
[application]
nmae = "shop"
[[trigger.http]]
route = "cart"
component = "carts"
[component.cart]
sorce = "cart.wasm"
"#,
        r#"
spin.toml:1:1: `spin_manifest_version` in the manifest is 1, outside 2 to 2
    choose a value from 2 to 2
spin.toml:2:2: [application] has no `name`
    add `name = ...` to [application]
spin.toml:3:1: unknown key `nmae` in [application]
    did you mean `name`?
spin.toml:5:10: `cart` (route in [[trigger.http]]) does not begin with `/`
    write it as in `/api/v1/cart`, `/api/v1/cart/:id` or `/api/v1/cart/...`
spin.toml:6:1: [[trigger.http]] names the component `carts`, which the manifest does not have
    did you mean `cart`?
spin.toml:7:12: [component.cart] has no `source`
    add `source = ...` to [component.cart]
spin.toml:8:1: unknown key `sorce` in [component.cart]
    did you mean `source`?"#,
    );
}

#[test]
fn text_that_is_not_toml_is_reported_where_it_breaks() {
    refused(
        "description = oops\n",
        r#"
spin.toml:9:15: this is not TOML: invalid TOML value, did you mean to use a quoted string?
    correct the line; strings need quotes, tables their brackets"#,
    );
}

#[test]
fn an_empty_manifest_says_what_it_lacks() {
    refused_text(
        "",
        r#"
spin.toml:1:1: the manifest has no `spin_manifest_version`
    add `spin_manifest_version = ...` to the manifest
spin.toml:1:1: the manifest has no `application`
    add `application = ...` to the manifest
spin.toml:1:1: the manifest has no `component`
    add `component = ...` to the manifest
spin.toml:1:1: the manifest has no `trigger`
    add `trigger = ...` to the manifest"#,
    );
}

#[test]
fn an_unknown_key_without_a_neighbour_lists_the_known_ones() {
    refused(
        "[component.cart.tool.nexus.identity]\nkey = \"access\"\nissuer = \"shop\"\n[component.cart.tool.nexus]\nkeys = [\"access\"]\n",
        r#"
spin.toml:11:1: unknown key `issuer` in [component.cart.tool.nexus.identity]
    remove it; known here: key, subject, token_in_query"#,
    );
}

#[test]
fn every_table_of_ours_refuses_unknown_keys() {
    for (added, place) in [
        ("x = 1", "[component.cart]"),
        (
            "[component.cart.build]\ncommand = \"make\"\nx = 1",
            "[component.cart.build]",
        ),
        ("[component.cart.tool.nexus]\nx = 1", "[component.cart.tool.nexus]"),
        (
            "[component.cart.tool.nexus.retry]\nx = 1",
            "[component.cart.tool.nexus.retry]",
        ),
        (
            "[component.cart.tool.nexus.retry_for]\n\"PUT /cart\" = { x = 1 }",
            "`PUT /cart` in [component.cart.tool.nexus.retry_for]",
        ),
        (
            "[component.cart.tool.nexus.rate_limits.fill]\nquota = 1\nwindow_seconds = 1\nroutes = [\"PUT /cart\"]\nx = 1",
            "[component.cart.tool.nexus.rate_limits.fill]",
        ),
        ("[variables.a]\ndefault = \"\"\nx = 1", "[variables.a]"),
        (
            "[[trigger.http]]\nroute = \"/b\"\ncomponent = \"cart\"\nx = 1",
            "[[trigger.http]]",
        ),
        ("[trigger]\nx = 1", "[trigger]"),
        ("[x]\na = 1", "the manifest"),
        (
            "[component.cart.dependencies]\n\"a:b/c\" = { component = \"cart\", x = 1 }",
            "`a:b/c` in [component.cart.dependencies]",
        ),
    ] {
        let report = load(&format!("{VALID}{added}\n")).expect_err(place);
        assert!(
            report.contains(&format!("unknown key `x` in {place}\n")),
            "{place}:\n{report}"
        );
        assert_eq!(report.lines().count(), 2, "one problem alone:\n{report}");
    }
}

#[test]
fn the_tables_of_other_tools_are_theirs() {
    let added = "[component.cart.tool.cargo]\nanything = 1\n[application.tool.other]\nx = 1\n";
    assert_eq!(load(&format!("{VALID}{added}")).err(), None);
}

#[test]
fn what_spin_has_and_this_host_has_not_is_refused_with_the_replacement() {
    refused(
        "sqlite_databases = [\"default\"]\n[[trigger.redis]]\nchannel = \"a\"\ncomponent = \"cart\"\n",
        r#"
spin.toml:9:1: `sqlite_databases` in [component.cart] is a key of Spin's that this host does not support
    write `schema = "..."` in its tool.nexus table; SQL is PostgreSQL's here
spin.toml:10:11: `redis` in [trigger] is a key of Spin's that this host does not support
    remove it; this host answers HTTP alone"#,
    );
}

#[test]
fn a_value_of_another_type_is_refused_with_an_example() {
    refused(
        "description = 7\nkey_value_stores = \"default\"\n[component.cart.tool.nexus]\ntime_limit_ms = \"1s\"\nkeys = [1]\nretry = 3\n",
        r#"
spin.toml:9:1: `description` in [component.cart] must be a string, not an integer
    write `description = "..."`
spin.toml:10:1: `key_value_stores` in [component.cart] must be a list of strings, not a string
    write `key_value_stores = ["..."]`
spin.toml:12:1: `time_limit_ms` in [component.cart.tool.nexus] must be an integer, not a string
    write `time_limit_ms = 1`
spin.toml:13:1: `keys` in [component.cart.tool.nexus] must be a list of strings, not a list
    write `keys = ["..."]`
spin.toml:14:1: `retry` in [component.cart.tool.nexus] must be a table, not an integer
    write `retry = { ... }`"#,
    );
}

#[test]
fn a_build_runs_something() {
    refused(
        "[component.cart.build]\ncommand = \" \"\n[component.stock]\nsource = \"\"\n[component.stock.build]\n",
        r#"
spin.toml:10:12: ` ` (command in [component.cart.build]) runs nothing
    write the command, or remove the build table
spin.toml:12:10: `` (source in [component.stock]) is empty
    write the path of the compiled component
spin.toml:13:18: [component.stock.build] has no `command`
    add `command = ...` to [component.stock.build]"#,
    );
}

#[test]
fn an_application_has_a_name_and_a_semantic_version() {
    refused_text(
        &VALID.replace("name = \"shop\"", "name = \" \"\nversion = \"1.0\""),
        r#"
spin.toml:3:9: ` ` (name in [application]) is empty
    name the application
spin.toml:4:12: `1.0` (version in [application]) is not a semantic version
    write major.minor.patch, as in 1.0.0"#,
    );
}

#[test]
fn an_inline_component_a_private_route_and_a_remote_source_are_refused() {
    refused(
        r#"[component.far]
source = { url = "https://example.com/a.wasm", digest = "sha256:0" }
[[trigger.http]]
route = { private = true }
component = { source = "a.wasm" }
"#,
        r#"
spin.toml:10:1: `source` in [component.far] must be a string, not a table
    write `source = "..."`
spin.toml:12:1: `route` in [[trigger.http]] must be a string, not a table
    write `route = "..."`
spin.toml:13:1: `component` in [[trigger.http]] must be a string, not a table
    write `component = "..."`"#,
    );
}
