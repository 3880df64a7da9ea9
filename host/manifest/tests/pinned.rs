//! What a deployment keeps of the manifest: under another manifest it is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use host_manifest::{App, ComponentId, InterfaceName, Scheme, Unknown};

const BEFORE: &str = r#"spin_manifest_version = 2
[application]
name = "shop"
[trigger]
[variables]
gateway = { default = "pay.example.com" }
token = { required = true, secret = true }
[component.cart]
source = "cart.wasm"
allowed_outbound_hosts = ["https://api.example.com", "https://{{ gateway }}"]
key_value_stores = ["default"]
[component.cart.variables]
bearer = "{{ token }}"
[component.cart.dependencies]
"shop:stock/counts" = { component = "stock" }
[component.cart.tool.nexus]
providers = { "shop:payment/provider" = ["cash", "stock"] }
exclusive = { "shop:cart/carts.change" = "id" }
publishes = ["cart.*"]
keys = ["access"]
memory_limit_bytes = 33_554_432
time_limit_ms = 1_000
outbound = { "https://api.example.com" = { unknown = "repeat", idempotency_key = true } }
[component.stock]
source = "stock.wasm"
[component.cash]
source = "cash.wasm"
"#;

/// Everything that is kept is another; so are the variables.
const AFTER: &str = r#"spin_manifest_version = 2
[application]
name = "shop"
[trigger]
[variables]
gateway = { default = "new.example.com" }
token = { required = true, secret = true }
[component.cart]
source = "cart.wasm"
allowed_outbound_hosts = ["https://api.example.com", "https://{{ gateway }}"]
[component.cart.variables]
bearer = "{{ token }}"
[component.cart.dependencies]
"shop:stock/counts" = { component = "depot" }
[component.cart.tool.nexus]
providers = { "shop:payment/provider" = ["card"] }
memory_limit_bytes = 1_048_576
wait_hold_ms = 7
open_limit = 9
outbound = { "https://api.example.com" = { timeout_ms = 4_000 } }
[component.stock]
source = "stock.wasm"
[component.card]
source = "card.wasm"
[component.depot]
source = "depot.wasm"
"#;

fn load(text: &str) -> App {
    let environment = BTreeMap::from([("SPIN_VARIABLE_TOKEN".to_owned(), "very-secret".to_owned())]);
    App::load("spin.toml", text, &environment).unwrap_or_else(|errors| panic!("\n{errors}"))
}

fn of(app: &App) -> BTreeSet<&ComponentId> {
    app.components.keys().collect()
}

#[test]
fn under_another_manifest_a_deployment_is_as_it_was() {
    let (before, after) = (load(BEFORE), load(AFTER));
    let app = after.as_pinned(Some(&before.pinned()), &of(&before)).unwrap();
    let ids: Vec<_> = app.components.keys().map(ComponentId::as_str).collect();
    assert_eq!(ids, ["cart", "stock"], "nobody knows the variables of one that is gone");
    let (cart, was) = (&app.components["cart"], &before.components["cart"]);
    let stock = InterfaceName::parse("shop:stock/counts@0.1.0").unwrap();
    let payment = InterfaceName::parse("shop:payment/provider@0.1.0").unwrap();
    assert_eq!(cart.answer(&stock), was.answer(&stock));
    assert_eq!(cart.answer(&payment), was.answer(&payment));
    assert_eq!((&cart.keys, &cart.key_value_stores), (&was.keys, &was.key_value_stores));
    assert_eq!(cart.events.publishes, was.events.publishes);
    assert_eq!(cart.exclusive.len(), 1);
    assert_eq!(
        (cart.limits.memory_limit_bytes, cart.limits.time_limit_ms),
        (33_554_432, 1_000)
    );

    let api = &was.allowed_outbound_hosts[0];
    assert_eq!(&cart.allowed_outbound_hosts[0], api);
    assert_eq!(cart.effect_rule(api).unknown, Unknown::Repeat);
    assert!(cart.effect_rule(api).sends_key);
    assert_eq!(
        cart.effect_rule(api).timeout_ms,
        Some(4_000),
        "how long one may wait is today's"
    );
    // What a variable has a part in is today's, and so is what is not for running.
    assert!(cart.allowed_outbound_hosts[1].matches(Scheme::Https, "new.example.com", 443));
    assert_eq!((cart.allowed_outbound_hosts.len(), cart.limits.wait_hold_ms), (2, 7));
    assert_eq!(
        cart.limits.open_limit, 9,
        "what is asked where an invocation begins is today's"
    );
}

#[test]
fn what_is_kept_holds_no_value_of_a_variable_and_depends_on_none() {
    let before = load(BEFORE);
    let kept = before.pinned();
    for value in ["very-secret", "pay.example.com"] {
        assert!(!kept.contains(value), "{kept}");
    }
    let moved = load(&BEFORE.replace("pay.example.com", "moved.example.com"));
    assert_eq!(moved.pinned(), kept);
    // Of a host that is written out, too, it is kept.
    let same = load(&BEFORE.replace("pay.example.com", "api.example.com"));
    assert_eq!(same.pinned(), kept);
    for (was, is) in [
        (r#""cash", "stock""#, r#""cash""#),
        ("33_554_432", "67_108_864"),
        (r#""id""#, r#""sku""#),
    ] {
        assert_ne!(load(&BEFORE.replace(was, is)).pinned(), kept, "{was} became {is}");
    }
}

#[test]
fn what_is_read_again_is_kept_alike() {
    let market = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../spin.toml"));
    let market = load(&std::fs::read_to_string(market).unwrap());
    for app in [market, load(BEFORE), load(AFTER)] {
        let again = app.as_pinned(Some(&app.pinned()), &of(&app)).unwrap();
        assert_eq!(again.pinned(), app.pinned());
        assert_eq!(again.routes, app.routes);
    }
}

#[test]
fn one_that_kept_nothing_has_what_is_said_today_of_its_components() {
    let (before, after) = (load(BEFORE), load(AFTER));
    let app = after.as_pinned(None, &of(&before)).unwrap();
    assert_eq!(
        app.components.keys().map(ComponentId::as_str).collect::<Vec<_>>(),
        ["cart", "stock"]
    );
    let cart = &app.components["cart"];
    assert_eq!(cart.limits.memory_limit_bytes, 1_048_576);
    assert!(cart.providers[0].components.is_empty(), "the provider came later");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let app = load(BEFORE);
    let of = of(&app);
    for kept in [
        "",
        "{}",
        r#"{"components":{}}"#,
        app.pinned().replace("https://", "https:").as_str(),
    ] {
        let error = app.as_pinned(Some(kept), &of).unwrap_err().to_string();
        assert!(
            error.starts_with("what the deployment keeps of the manifest cannot be read: "),
            "{error}"
        );
    }
}
