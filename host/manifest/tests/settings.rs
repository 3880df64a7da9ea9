//! What a valid manifest becomes: each setting arrives in the application, and what is left out has its default.

use std::collections::BTreeMap;

use host_manifest::{
    AfterDeadLetter, Answer, App, EventRules, InterfaceName, LimitedBy, Limits, RetryPolicy, Uncounted, Unknown,
};

/// A valid manifest; what a test adds continues `[component.cart]`.
const VALID: &str = r#"spin_manifest_version = 2
[application]
name = "shop"
[[trigger.http]]
route = "/cart/..."
component = "cart"
[component.cart]
source = "cart.wasm"
"#;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<App, String> {
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    App::load("spin.toml", text, &environment).map_err(|errors| errors.to_string())
}

/// The application of the valid manifest with these lines added.
fn app(added: &str) -> App {
    load(&format!("{VALID}{added}"), &[]).unwrap_or_else(|report| panic!("not valid:\n{report}"))
}

#[test]
fn a_component_has_bounds_and_no_grants_by_default() {
    let app = app("");
    let cart = &app.components["cart"];
    assert_eq!(cart.limits, Limits::default());
    assert_eq!(cart.limits.memory_limit_bytes, 67_108_864);
    assert_eq!(
        (cart.limits.time_limit_ms, cart.limits.request_timeout_ms),
        (5_000, 30_000)
    );
    assert_eq!(cart.limits.body_limit_bytes, 983_040);
    assert_eq!(cart.retry, RetryPolicy::default());
    assert!(cart.schema.is_none() && cart.keys.is_empty() && cart.identity.is_none());
    assert!(cart.allowed_outbound_hosts.is_empty() && cart.key_value_stores.is_empty());
    assert_eq!((cart.source.to_str(), cart.source_at.line), (Some("cart.wasm"), 8));
}

#[test]
fn every_setting_arrives_in_the_application() {
    let app = app(r#"description = "A cart"
allowed_outbound_hosts = ["https://api.example.com"]
key_value_stores = ["default"]
environment = { LANG = "C" }
[component.cart.build]
command = ["make", "make check"]
workdir = "cart"
watch = ["src/**/*.rs"]
[component.cart.tool.nexus]
schema = "cart"
keys = ["access", "refresh"]
identity = { key = "access" }
sensitive = ["POST /cart/login"]
memory_limit_bytes = 1048576
time_limit_ms = 1
request_timeout_ms = 2
body_limit_bytes = 2048
retry = { attempts = 3, initial_ms = 10, factor = 3, max_ms = 20 }
"#);
    let cart = &app.components["cart"];
    assert_eq!(cart.allowed_outbound_hosts[0].to_string(), "https://api.example.com");
    assert_eq!(cart.key_value_stores[0].as_str(), "default");
    assert_eq!(cart.environment["LANG"], "C");
    let build = cart.build.as_ref().expect("there is a build table");
    assert_eq!(build.commands, ["make", "make check"]);
    assert_eq!(build.workdir.as_deref().and_then(|path| path.to_str()), Some("cart"));
    assert_eq!(cart.schema.as_ref().map(|schema| schema.as_str()), Some("cart"));
    assert_eq!(
        cart.keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
        ["access", "refresh"]
    );
    let identity = cart.identity.as_ref().expect("there is an identity");
    assert_eq!((identity.key.as_str(), identity.subject.as_str()), ("access", "sub"));
    assert!(cart.is_sensitive("POST", "/cart/login") && cart.is_sensitive("POST", "/cart/log%69n/"));
    assert!(!cart.is_sensitive("GET", "/cart/login") && !cart.is_sensitive("POST", "/cart/item"));
    assert_eq!(
        (cart.limits.memory_limit_bytes, cart.limits.time_limit_ms),
        (1_048_576, 1)
    );
    assert_eq!(
        (cart.limits.request_timeout_ms, cart.limits.body_limit_bytes),
        (2, 2048)
    );
    assert_eq!(
        (cart.retry.attempts, cart.retry.initial_ms, cart.retry.max_ms),
        (3, 10, 20)
    );
    assert!((cart.retry.factor - 3.0).abs() < f64::EPSILON);
}

#[test]
fn turns_and_retentions_are_the_manifests_to_say() {
    let plain = app("");
    let cart = &plain.components["cart"];
    assert_eq!((cart.limits.attempt_limit, cart.limits.waiting_limit), (128, 256));
    assert_eq!(cart.retention.invocations_ms, None);
    assert_eq!(cart.key_retention_ms("POST", "/cart/pay"), 86_400_000);
    let app = app(r#"[component.cart.tool.nexus]
attempt_limit = 2
waiting_limit = 0
retention_hours = 48
key_retention_hours = 2
[component.cart.tool.nexus.key_retention_for]
"POST /cart/..." = 3
"POST /cart/pay" = 720
"#);
    let cart = &app.components["cart"];
    assert_eq!((cart.limits.attempt_limit, cart.limits.waiting_limit), (2, 0));
    assert_eq!(cart.retention.invocations_ms, Some(172_800_000));
    for (method, path, hours) in [
        ("POST", "/cart/pay", 720),
        ("POST", "/cart/item", 3),
        ("PUT", "/cart/pay", 2),
    ] {
        assert_eq!(
            cart.key_retention_ms(method, path),
            hours * 3_600_000,
            "{method} {path}"
        );
    }
}

#[test]
fn how_many_may_be_open_is_for_requests_that_may_begin_another_one() {
    let plain = app("");
    let cart = &plain.components["cart"];
    assert_eq!(cart.open_limit_of_request("POST", "/cart/pay"), Some(1_000_000));
    let app = app(r#"[component.cart.tool.nexus]
open_limit = 3
open_limit_except = ["POST /cart/paid/:gateway"]
"#);
    let cart = &app.components["cart"];
    for (method, path, limit) in [
        ("POST", "/cart/pay", Some(3)),
        ("DELETE", "/cart/item", Some(3)),
        ("POST", "/cart/paid", Some(3)),
        ("POST", "/cart/paid/bank", None),
        ("PUT", "/cart/paid/bank", Some(3)),
        ("GET", "/cart/item", None),
        ("HEAD", "/cart/item", None),
    ] {
        assert_eq!(cart.open_limit_of_request(method, path), limit, "{method} {path}");
    }
}

#[test]
fn a_policy_is_that_of_the_most_specific_line_and_else_the_components() {
    let app = app(r#"[component.cart.tool.nexus]
retry = { attempts = 5, deadline_ms = 60000 }
[component.cart.tool.nexus.retry_for]
"POST /cart/..." = { attempts = 4 }
"POST /cart/pay" = { attempts = 2, initial_ms = 10, deadline_ms = 1000 }
"shop:cart/carts.send" = { attempts = 7 }
"#);
    let cart = &app.components["cart"];
    let of_request = |method, path| {
        let policy = cart.retry_of_request(method, path);
        (policy.attempts, policy.initial_ms, policy.deadline_ms)
    };
    assert_eq!(of_request("GET", "/cart/pay"), (5, 100, Some(60_000)));
    assert_eq!(of_request("POST", "/cart/item"), (4, 100, Some(60_000)));
    assert_eq!(of_request("POST", "/cart/p%61y"), (2, 10, Some(1_000)));
    let of_function = |name| cart.retry_of_function(name).attempts;
    assert_eq!(of_function("shop:cart/carts@0.1.0.send"), 7);
    assert_eq!(of_function("shop:cart/carts.send"), 7);
    assert_eq!(of_function("shop:cart/carts.other"), 5);
    assert_eq!(of_function("nexus:durable/scheduled.run"), 5);
}

#[test]
fn a_request_counts_against_the_limit_with_the_most_specific_line() {
    let app = app(r#"[component.cart.tool.nexus.rate_limits.change]
quota = 20
window_seconds = 60
routes = ["POST /cart/...", "DELETE /cart/:item"]
[component.cart.tool.nexus.rate_limits.pay]
quota = 3
window_seconds = 3600
by = "address"
unknown = "refuse"
routes = ["POST /cart/:item/pay"]
[component.cart.tool.nexus.rate_limits.payer]
quota = 2
window_seconds = 60
member = "payer"
routes = ["POST /cart/:item/pay"]
"#);
    let cart = &app.components["cart"];
    let name = |method, path| cart.rate_limit(method, path).map(|limit| limit.name.as_str());
    for (method, path, expected) in [
        ("POST", "/cart", Some("change")),
        ("POST", "/cart/7", Some("change")),
        ("POST", "/cart/7/p%61y/", Some("pay")),
        ("DELETE", "/cart/7", Some("change")),
        ("DELETE", "/cart", None),
        ("GET", "/cart/7/pay", None),
    ] {
        assert_eq!(name(method, path), expected, "{method} {path}");
    }
    let of = |method, path| {
        let limit = cart.rate_limit(method, path).expect("it is limited");
        (limit.quota, limit.window_seconds, limit.by.clone(), limit.unknown)
    };
    let change = (20, 60, LimitedBy::Account, Uncounted::Allow);
    assert_eq!(of("POST", "/cart"), change);
    let pay = (3, 3600, LimitedBy::Address, Uncounted::Refuse);
    assert_eq!(of("POST", "/cart/7/pay"), pay);
    // A request counts once more by what its body says.
    let (payer, member) = cart.rate_limit_by_member("POST", "/cart/7/pay").expect("it is limited");
    assert_eq!(
        (payer.name.as_str(), payer.quota, member.name.as_str()),
        ("payer", 2, "payer")
    );
    let same = |text: &str| member.counted_as(text.to_owned());
    assert_eq!(
        (same("Ann"), same("ann "), same(" ann")),
        ("Ann".into(), "ann ".into(), " ann".into())
    );
    assert_eq!(cart.rate_limit_by_member("POST", "/cart/7"), None);
}

#[test]
fn effects_at_a_host_follow_its_line_and_else_the_default() {
    let app = app(
        r#"allowed_outbound_hosts = ["https://{{ gateway }}", "https://api.example.com:443", "https://mail.example.com"]
[component.cart.tool.nexus.outbound]
"https://{{ gateway }}" = { unknown = "repeat", idempotency_key = true }
"https://API.example.com" = { idempotency_key = true, timeout_ms = 45_000 }
[variables]
gateway = { default = "pay.example.com" }
"#,
    );
    let cart = &app.components["cart"];
    let rules = cart.allowed_outbound_hosts.iter().map(|host| {
        let rule = cart.effect_rule(host);
        (rule.unknown, rule.sends_key, rule.timeout_ms)
    });
    let expected = [
        (Unknown::Repeat, true, None),
        (Unknown::Report, true, Some(45_000)),
        (Unknown::Report, false, None),
    ];
    assert_eq!(rules.collect::<Vec<_>>(), expected);
}

#[test]
fn the_most_specific_route_answers() {
    let app = app(r#"[component.item]
source = "item.wasm"
[[trigger.http]]
route = "/cart/item/:id"
component = "item"
"#);
    let answers = |path: &str| app.route(path).map(|route| route.component.as_str());
    assert_eq!(answers("/cart/item/7"), Some("item"));
    assert_eq!(answers("/cart/item/7/8"), Some("cart"));
    assert_eq!(answers("/cart"), Some("cart"));
    assert_eq!(answers("/order"), None);
}

#[test]
fn an_import_is_answered_by_its_dependency_or_its_providers() {
    let app = app(r#"[component.cart.dependencies]
"shop:stock@0.1.0" = { component = "stock" }
"shop:price/quotes@0.1.0" = { component = "stock", export = "shop:stock/quotes@0.1.0" }
[component.cart.tool.nexus.providers]
"shop:payment/provider" = ["pay-b", "pay-a"]
[component.stock]
source = "stock.wasm"
[component.pay-a]
source = "a.wasm"
[component.pay-b]
source = "b.wasm"
"#);
    let cart = &app.components["cart"];
    let answer = |import: &str| cart.answer(&InterfaceName::parse(import).expect("a name"));
    let Some(Answer::Component {
        component,
        export: None,
    }) = answer("shop:stock/levels@0.1.2")
    else {
        panic!("the package answers its interfaces");
    };
    assert_eq!(component.as_str(), "stock");
    let Some(Answer::Component {
        export: Some(export), ..
    }) = answer("shop:price/quotes@0.1.0")
    else {
        panic!("the export is named");
    };
    assert_eq!(export.to_string(), "shop:stock/quotes@0.1.0");
    let Some(Answer::Providers(providers)) = answer("shop:payment/provider@0.1.0") else {
        panic!("the list answers");
    };
    assert_eq!(
        providers.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        ["pay-b", "pay-a"],
        "in the manifest's order"
    );
    assert_eq!(answer("shop:stock/levels@0.2.0"), None);
    assert_eq!(answer("nexus:sql/sql@0.1.0"), None);
}

#[test]
fn variables_come_from_the_environment_before_the_default() {
    let text = format!(
        r#"{VALID}variables = {{ region = "{{{{ region }}}}-1", token = "Bearer {{{{ api_token }}}}" }}
allowed_outbound_hosts = ["https://{{{{ region }}}}.example.com"]
[variables]
region = {{ default = "vn" }}
api_token = {{ required = true, secret = true }}
"#
    );
    let app = load(
        &text,
        &[("SPIN_VARIABLE_API_TOKEN", "s3cret"), ("SPIN_VARIABLE_REGION", "sg")],
    )
    .expect("valid");
    let cart = &app.components["cart"];
    assert_eq!(cart.variables["region"].expose(), "sg-1");
    assert_eq!(cart.variables["token"].expose(), "Bearer s3cret");
    assert!(cart.variables["token"].is_secret() && !cart.variables["region"].is_secret());
    assert_eq!(cart.allowed_outbound_hosts[0].to_string(), "https://sg.example.com");
    assert!(!format!("{app:?}").contains("s3cret"), "a secret is not shown");

    let app = load(&text, &[("SPIN_VARIABLE_API_TOKEN", "s3cret")]).expect("valid");
    assert_eq!(app.components["cart"].variables["region"].expose(), "vn-1");
}

#[test]
fn a_variable_may_lie_in_a_file() {
    let text = format!(
        r#"{VALID}variables = {{ token = "{{{{ token }}}}", path = "{{{{ token_file }}}}" }}
[variables]
token = {{ required = true, secret = true }}
"#
    );
    let read = |text: &str, environment: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: BTreeMap<String, String> = environment.iter().map(owned).collect();
        let read_file = |path: &str| match path {
            "/run/secrets/token" => Ok("s3cret".to_owned()),
            _ => Err(format!("{path}: no such file")),
        };
        App::load_with_files("spin.toml", text, &environment, &read_file).map_err(|errors| errors.to_string())
    };
    let (variable, file) = ("SPIN_VARIABLE_TOKEN", "SPIN_VARIABLE_TOKEN_FILE");
    let alone = text.replace(r#", path = "{{ token_file }}""#, "");
    let app = read(&alone, &[(file, "/run/secrets/token")]).expect("valid");
    let token = &app.components["cart"].variables["token"];
    assert_eq!((token.expose(), token.is_secret()), ("s3cret", true));

    let refused = read(&alone, &[(file, "/nowhere")]).expect_err("there is no such file");
    assert!(
        refused.contains("the file with the value of `token` cannot be read: /nowhere: no such file"),
        "{refused}"
    );
    assert!(!refused.contains("has no value"), "said once: {refused}");
    let refused = read(&alone, &[(variable, "a"), (file, "/run/secrets/token")]).expect_err("which of them?");
    assert!(refused.contains("`token` is given twice"), "{refused}");

    // A variable that has this name is not the path of another's file.
    let both = format!("{text}token_file = {{ required = true }}\n");
    let app = read(&both, &[(variable, "a"), (file, "/nowhere")]).expect("valid");
    let variables = &app.components["cart"].variables;
    assert_eq!(
        (variables["token"].expose(), variables["path"].expose()),
        ("a", "/nowhere")
    );
}

#[test]
fn what_a_component_publishes_streams_and_subscribes_to_arrives_in_the_application() {
    assert_eq!(app("").components["cart"].events, EventRules::default());
    let app = app(r#"[component.cart.tool.nexus]
publishes = ["cart.*"]
streams = ["cart.filled"]
event_retention_hours = 48
[component.cart.tool.nexus.subscriptions]
orders = { topics = ["order.placed", "order.paid"] }
stock = { topics = ["*"], after_dead_letter = "go-on" }
"#);
    let events = &app.components["cart"].events;
    assert_eq!(events.retention_ms, 172_800_000);
    assert!(events.publishes[0].matches("cart.filled") && events.streams[0].matches("cart.filled"));
    let subscriptions: Vec<_> = events
        .subscriptions
        .iter()
        .map(|line| {
            (
                line.name.as_str(),
                line.topics.len(),
                line.after_dead_letter,
                line.at.line,
            )
        })
        .collect();
    assert_eq!(
        subscriptions,
        [
            ("orders", 2, AfterDeadLetter::Wait, 14),
            ("stock", 1, AfterDeadLetter::GoOn, 15)
        ]
    );
}

#[test]
fn a_variable_within_its_bounds_or_empty_is_taken() {
    let text = format!(
        r#"{VALID}[component.cart.variables]
least = "{{{{ number }}}}"
most = "{{{{ number }}}}0"
none = "{{{{ empty }}}}"
free = "ten"
[component.cart.tool.nexus.variables]
least = {{ integer = [1, 10] }}
most = {{ integer = [1, 10] }}
none = {{ integer = [1, 10] }}
[variables]
number = {{ default = "1" }}
empty = {{ default = "" }}
"#
    );
    let values = |environment: &[(&str, &str)]| {
        let variables = load(&text, environment).map(|app| app.components["cart"].variables.clone());
        variables.map(|it| {
            it.into_values()
                .map(|value| value.expose().to_owned())
                .collect::<Vec<_>>()
        })
    };
    let taken = values(&[]).expect("they are within");
    assert_eq!(taken, ["ten", "1", "10", ""]);
    let refused = values(&[("SPIN_VARIABLE_NUMBER", "2"), ("SPIN_VARIABLE_EMPTY", "0")]).unwrap_err();
    assert!(
        refused.contains("`most`") && refused.contains("`none`") && !refused.contains("`least`"),
        "{refused}"
    );
}
