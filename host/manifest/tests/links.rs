//! One test per rule of the links: what the manifest says against what the compiled components import and export.

use std::collections::BTreeMap;

use host_manifest::{App, ComponentId, Interfaces, Offered};

const PLATFORM: [&str; 12] = [
    "nexus:events/publisher@0.1.0",
    "nexus:durable/compensation@0.1.0",
    "nexus:sql/sql@0.1.0",
    "nexus:crypto/tokens@0.1.0",
    "nexus:crypto/passwords@0.1.0",
    "nexus:durable/timer@0.1.0",
    "nexus:log/log@0.1.0",
    "wasi:io/streams@0.2.6",
    "wasi:http/types@0.2.6",
    "wasi:http/outgoing-handler@0.2.6",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:config/store@0.2.0-rc.1",
];

const STOCK_PLATFORM: [&str; 4] = [
    "spin:key-value/key-value@3.0.0",
    "wasi:http/types@0.3.0",
    "wasi:http/client@0.3.0",
    "wasi:io/streams@0.2.6",
];

const OFFERED: Offered<'static> = Offered {
    plain: &PLATFORM,
    stock: &STOCK_PLATFORM,
};

/// The engine decides by more than that; of these components it is enough.
fn is_stock(exports: &[&str]) -> bool {
    exports.iter().any(|export| export.starts_with("wasi:http/"))
}

/// Two components, `cart` and `stock`, without routes; what a test adds begins on line 9, inside `[component.cart]`.
const VALID: &str = r#"spin_manifest_version = 2
[application]
name = "shop"
[trigger]
[component.stock]
source = "stock.wasm"
[component.cart]
source = "cart.wasm"
"#;

/// A component's name, its imports and its exports.
type Compiled<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn check(added: &str, compiled: &[Compiled<'_>]) -> Result<(), String> {
    let app =
        App::load("spin.toml", &format!("{VALID}{added}"), &BTreeMap::new()).expect("the manifest itself is valid");
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let components = compiled.iter().map(|(id, imports, exports)| {
        (
            ComponentId::from(*id),
            Interfaces {
                imports: texts(imports),
                exports: texts(exports),
                is_stock: is_stock(exports),
            },
        )
    });
    app.check_links(&components.collect(), OFFERED)
        .map_err(|errors| errors.to_string())
}

#[track_caller]
fn refused(added: &str, compiled: &[Compiled<'_>], report: &str) {
    let found = check(added, compiled).expect_err("it is refused");
    assert_eq!(found, report.trim_start_matches('\n'), "\nfound:\n{found}\n");
}

const STOCK: Compiled<'static> = ("stock", &[], &["shop:stock/levels@0.1.3"]);

#[test]
fn a_declared_dependency_resolves_an_import_of_a_compatible_version() {
    let cart: Compiled<'_> = ("cart", &["shop:stock/levels@0.1.0", "wasi:io/streams@0.2.12"], &[]);
    let added = "[component.cart.dependencies]\n\"shop:stock/levels@0.1.0\" = { component = \"stock\" }\n";
    assert_eq!(check(added, &[STOCK, cart]), Ok(()));
    let package = "[component.cart.dependencies]\n\"shop:stock\" = { component = \"stock\" }\n";
    assert_eq!(check(package, &[STOCK, cart]), Ok(()));
    let providers = "[component.cart.tool.nexus.providers]\n\"shop:stock/levels\" = [\"stock\"]\n";
    assert_eq!(check(providers, &[STOCK, cart]), Ok(()));
}

#[test]
fn an_export_of_another_name_may_answer_when_it_is_declared() {
    let cart: Compiled<'_> = ("cart", &["shop:goods/levels@0.1.0"], &[]);
    let added = "[component.cart.dependencies]\n\"shop:goods/levels\" = { component = \"stock\", export = \"shop:stock/levels@0.1.0\" }\n";
    assert_eq!(check(added, &[STOCK, cart]), Ok(()));
}

#[test]
fn an_import_nobody_is_declared_for_is_reported_with_the_line_to_add() {
    refused(
        "",
        &[STOCK, ("cart", &["shop:stock/levels@0.1.0"], &[])],
        r#"
spin.toml:7:12: `cart` imports `shop:stock/levels@0.1.0`, and the manifest does not say who answers it
    add to [component.cart.dependencies]:
    "shop:stock/levels@0.1.0" = { component = "stock" }"#,
    );
}

#[test]
fn the_line_to_add_is_right() {
    let cart: Compiled<'_> = ("cart", &["shop:stock/levels@0.1.0"], &[]);
    let report = check("", &[STOCK, cart]).expect_err("unresolved");
    let line = report.lines().last().expect("it has a line").trim();
    assert_eq!(
        check(&format!("[component.cart.dependencies]\n{line}\n"), &[STOCK, cart]),
        Ok(())
    );
}

#[test]
fn an_import_with_several_candidates_shows_both_ways() {
    refused(
        "",
        &[
            ("stock", &[], &["shop:pay/provider@0.1.0"]),
            ("cart", &["shop:pay/provider@0.1.0"], &["shop:pay/provider@0.1.0"]),
        ],
        r#"
spin.toml:7:12: `cart` imports `shop:pay/provider@0.1.0`, and the manifest does not say who answers it
    several export it; add one of them to [component.cart.dependencies]:
    "shop:pay/provider@0.1.0" = { component = "cart" }
    or, to choose by name at each call, to [component.cart.tool.nexus.providers]:
    "shop:pay/provider" = ["cart", "stock"]"#,
    );
}

#[test]
fn an_import_nobody_exports_is_reported_as_that() {
    refused(
        "",
        &[STOCK, ("cart", &["shop:stock/levels@0.2.0"], &[])],
        r#"
spin.toml:7:12: `cart` imports `shop:stock/levels@0.2.0`, and the manifest does not say who answers it
    no component of the manifest exports it; add one, then name it in [component.cart.dependencies]"#,
    );
}

#[test]
fn whoever_is_declared_must_export_it() {
    refused(
        r#"[component.cart.dependencies]
"shop:stock/moves@0.1.0" = { component = "stock" }
[component.cart.tool.nexus.providers]
"shop:pay/provider" = ["stock"]
"#,
        &[
            STOCK,
            ("cart", &["shop:stock/moves@0.1.0", "shop:pay/provider@0.1.0"], &[]),
        ],
        r#"
spin.toml:10:2: `cart` imports `shop:stock/moves@0.1.0` from `stock`, which does not export it
    name a component that exports it; this one has shop:stock/levels@0.1.3
spin.toml:12:2: `cart` imports `shop:pay/provider@0.1.0` from `stock`, which does not export it
    name a component that exports it; this one has shop:stock/levels@0.1.3"#,
    );
}

#[test]
fn an_interface_of_the_platform_that_this_host_lacks_names_the_ones_it_has() {
    refused(
        "",
        &[
            STOCK,
            (
                "cart",
                &[
                    "nexus:log/log@0.2.0",
                    "nexus:vector/collections@0.1.0",
                    "wasi:config/store@0.2.0",
                ],
                &[],
            ),
        ],
        r#"
spin.toml:7:12: `cart` imports `nexus:log/log@0.2.0`, which this host does not offer
    build it against nexus:log/log@0.1.0
spin.toml:7:12: `cart` imports `nexus:vector/collections@0.1.0`, which this host does not offer
    build the component without it
spin.toml:7:12: `cart` imports `wasi:config/store@0.2.0`, which this host does not offer
    build it against wasi:config/store@0.2.0-rc.1"#,
    );
}

#[test]
fn an_import_outside_any_interface_is_refused() {
    refused(
        "",
        &[STOCK, ("cart", &["levels"], &[])],
        r#"
spin.toml:7:12: `cart` imports `levels`, which this host does not offer
    build the component without it"#,
    );
}

#[test]
fn each_capability_needs_its_grant() {
    let imports = [
        "nexus:sql/sql@0.1.0",
        "nexus:crypto/passwords@0.1.0",
        "nexus:crypto/tokens@0.1.0",
        "wasi:http/types@0.2.3",
        "wasi:http/outgoing-handler@0.2.3",
        "wasi:keyvalue/store@0.2.0-draft2",
    ];
    refused(
        "",
        &[STOCK, ("cart", &imports, &[])],
        r#"
spin.toml:7:12: `cart` imports `nexus:sql/sql@0.1.0` without the grant for it
    add to [component.cart.tool.nexus]:
    schema = "cart"
spin.toml:7:12: `cart` imports `nexus:crypto/tokens@0.1.0` without the grant for it
    add to [component.cart.tool.nexus]:
    keys = ["access"]
spin.toml:7:12: `cart` imports `wasi:http/types@0.2.3` without the grant for it
    add to [component.cart]:
    allowed_outbound_hosts = ["https://api.example.com"]
spin.toml:7:12: `cart` imports `wasi:keyvalue/store@0.2.0-draft2` without the grant for it
    add to [component.cart]:
    key_value_stores = ["default"]"#,
    );
    let granted = r#"allowed_outbound_hosts = ["https://api.example.com"]
key_value_stores = ["default"]
[component.cart.tool.nexus]
schema = "cart"
keys = ["access"]
"#;
    assert_eq!(check(granted, &[STOCK, ("cart", &imports, &[])]), Ok(()));
}

#[test]
fn a_routed_component_answers_http() {
    let route = "[[trigger.http]]\nroute = \"/cart/...\"\ncomponent = \"cart\"\n";
    let valid = VALID.replace("[trigger]\n", "");
    let app = App::load("spin.toml", &format!("{valid}{route}"), &BTreeMap::new()).expect("valid");
    let check = |exports: &[&str]| {
        let cart = (
            ComponentId::from("cart"),
            Interfaces {
                imports: Vec::new(),
                exports: exports.iter().map(|name| (*name).to_owned()).collect(),
                is_stock: is_stock(exports),
            },
        );
        let stock = (ComponentId::from("stock"), Interfaces::default());
        app.check_links(&BTreeMap::from([cart, stock]), OFFERED)
            .map_err(|errors| errors.to_string())
    };
    assert_eq!(check(&["nexus:http/handler@0.1.0"]), Ok(()));
    assert_eq!(check(&["wasi:http/handler@0.3.0"]), Ok(()));
    assert_eq!(check(&["wasi:http/incoming-handler@0.2.3"]), Ok(()));
    assert_eq!(
        check(&[]),
        Err(
            "spin.toml:6:12: `cart` has a route, but does not export `nexus:http/handler`\n    \
             export `nexus:http/handler` from its world"
                .into()
        )
    );
}

#[test]
fn what_only_modules_are_offered_is_refused_to_components_that_are_not_journaled_and_the_other_way_round() {
    let streamed: Compiled<'_> = ("cart", &["nexus:sql/sql@0.1.0"], &["wasi:http/handler@0.3.0"]);
    refused(
        "",
        &[STOCK, streamed],
        r#"
spin.toml:7:12: `cart` imports `nexus:sql/sql@0.1.0`, which is offered to modules, which are journaled, alone
    build it as a module, which exports `nexus:http/handler` and imports nothing of WASI 0.3 or Spin; or build it without"#,
    );
    let module: Compiled<'_> = (
        "cart",
        &["spin:key-value/key-value@3.0.0"],
        &["nexus:http/handler@0.1.0"],
    );
    refused(
        "",
        &[STOCK, module],
        r#"
spin.toml:7:12: `cart` imports `spin:key-value/key-value@3.0.0`, which is offered to components that answer `wasi:http` themselves alone
    import what modules have for it (`wasi:keyvalue`, `wasi:config`, `nexus:sql`), or export `wasi:http/handler`"#,
    );
}

#[test]
fn a_body_that_is_recorded_fits_an_entry() {
    let large = "[component.cart.tool.nexus]\nbody_limit_bytes = 10000000\n";
    let streamed: Compiled<'_> = ("cart", &[], &["wasi:http/handler@0.3.0"]);
    assert_eq!(check(large, &[STOCK, streamed]), Ok(()));
    refused(
        large,
        &[STOCK, ("cart", &[], &["nexus:http/handler@0.1.0"])],
        r#"
spin.toml:7:12: `cart` allows request bodies of 10000000 bytes, but each is an entry of a journal, which holds 983040 at most
    set `body_limit_bytes` to 983040 or less; more is for components that answer `wasi:http`, whose bodies are streamed"#,
    );
}

#[test]
fn a_component_that_answers_wasi_http_needs_a_grant_for_calling_alone() {
    let served: Compiled<'_> = ("cart", &["wasi:http/types@0.3.0"], &["wasi:http/handler@0.3.0"]);
    assert_eq!(check("", &[STOCK, served]), Ok(()));
    let calling: Compiled<'_> = (
        "cart",
        &["wasi:http/types@0.3.0", "wasi:http/client@0.3.0"],
        &["wasi:http/handler@0.3.0"],
    );
    refused(
        "",
        &[STOCK, calling],
        r#"
spin.toml:7:12: `cart` imports `wasi:http/client@0.3.0` without the grant for it
    add to [component.cart]:
    allowed_outbound_hosts = ["https://api.example.com"]"#,
    );
}

#[test]
fn whoever_schedules_work_can_be_called_for_it() {
    refused(
        "",
        &[STOCK, ("cart", &["nexus:durable/timer@0.1.0"], &[])],
        r#"
spin.toml:7:12: `cart` schedules work, but does not export `nexus:durable/scheduled`
    export `nexus:durable/scheduled` from its world"#,
    );
    let cart: Compiled<'_> = (
        "cart",
        &["nexus:durable/timer@0.1.0"],
        &["nexus:durable/scheduled@0.1.0"],
    );
    assert_eq!(check("", &[STOCK, cart]), Ok(()));
}

#[test]
fn whoever_names_compensations_can_be_called_for_them() {
    refused(
        "",
        &[STOCK, ("cart", &["nexus:durable/compensation@0.1.0"], &[])],
        r#"
spin.toml:7:12: `cart` names compensations, but does not export `nexus:durable/compensate`
    export `nexus:durable/compensate` from its world"#,
    );
    let cart: Compiled<'_> = (
        "cart",
        &["nexus:durable/compensation@0.1.0"],
        &["nexus:durable/compensate@0.1.0"],
    );
    assert_eq!(check("", &[STOCK, cart]), Ok(()));
}

#[test]
fn what_the_clock_calls_is_exported() {
    let cron = "[component.cart.tool.nexus.cron]\nsweep = { schedule = \"*/5 * * * *\" }\n";
    refused(
        cron,
        &[STOCK, ("cart", &[], &[])],
        r#"
spin.toml:10:1: `cart` is called by the clock, but does not export `nexus:durable/scheduled`
    export `nexus:durable/scheduled` from its world"#,
    );
    let cart: Compiled<'_> = ("cart", &[], &["nexus:durable/scheduled@0.1.0"]);
    assert_eq!(check(cron, &[STOCK, cart]), Ok(()));
}

#[test]
fn an_exclusive_function_is_exported() {
    let exclusive = "[component.cart.tool.nexus]\nexclusive = { \"shop:cart/carts.fill\" = \"id\" }\n";
    refused(
        exclusive,
        &[STOCK, ("cart", &[], &[])],
        r#"
spin.toml:10:16: `cart` has an exclusive function `shop:cart/carts.fill`, whose interface it does not export
    remove the line; it exports nothing"#,
    );
    assert_eq!(
        check(exclusive, &[STOCK, ("cart", &[], &["shop:cart/carts@0.1.0"])]),
        Ok(())
    );
}

#[test]
fn a_policy_is_for_a_function_that_is_exported() {
    let retried = "[component.cart.tool.nexus.retry_for]\n\"shop:cart/carts.send\" = { attempts = 2 }\n";
    refused(
        retried,
        &[STOCK, ("cart", &[], &["nexus:http/handler@0.1.0"])],
        r#"
spin.toml:10:2: `cart` has a line for `shop:cart/carts.send`, whose interface it does not export
    name a function of nexus:http/handler@0.1.0"#,
    );
    assert_eq!(
        check(retried, &[STOCK, ("cart", &[], &["shop:cart/carts@0.1.0"])]),
        Ok(())
    );
}

#[test]
fn a_component_that_is_not_compiled_is_named_once() {
    refused(
        "[component.cart.dependencies]\n\"shop:stock/levels\" = { component = \"stock\" }\n",
        &[("cart", &["shop:stock/levels@0.1.0"], &[])],
        r#"
spin.toml:5:12: `stock` has not been compiled, so its imports cannot be checked
    run `nexus build`"#,
    );
}

#[test]
fn who_publishes_needs_a_grant_and_who_subscribes_a_handler() {
    let cart: Compiled<'_> = ("cart", &["nexus:events/publisher@0.1.0"], &[]);
    refused(
        "[component.cart.tool.nexus.subscriptions]\nplaced = { topics = [\"order.*\"] }\n",
        &[STOCK, cart],
        r#"
spin.toml:7:12: `cart` imports `nexus:events/publisher@0.1.0` without the grant for it
    add to [component.cart.tool.nexus]:
    publishes = ["cart.*"]
spin.toml:10:1: `cart` subscribes to events, but does not export `nexus:events/subscriber`
    export `nexus:events/subscriber` from its world"#,
    );
    let cart: Compiled<'_> = (
        "cart",
        &["nexus:events/publisher@0.1.0"],
        &["nexus:events/subscriber@0.1.0"],
    );
    let added =
        "[component.cart.tool.nexus]\npublishes = [\"cart.*\"]\nsubscriptions = { own = { topics = [\"cart.*\"] } }\n";
    assert_eq!(check(added, &[STOCK, cart]), Ok(()));
}

#[test]
fn a_journaled_component_has_no_environment() {
    let added = "[component.cart.environment]\nREGION = \"south\"\n";
    refused(
        added,
        &[STOCK, ("cart", &[], &[])],
        r#"
spin.toml:7:12: `cart` is given `REGION` in [component.cart.environment], and a component that is journaled has no environment
    make it a variable, which is recorded, and read it through `wasi:config`:
    [component.cart.variables]
    region = "...""#,
    );
    assert_eq!(
        check(added, &[STOCK, ("cart", &[], &["wasi:http/handler@0.3.0"])]),
        Ok(())
    );
}
