//! One test per rule of the manifest. Each adds a few lines to a small valid manifest and compares the whole report.

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
fn a_limit_outside_its_range_is_refused() {
    refused(
        r#"[component.cart.tool.nexus]
memory_limit_bytes = 1024
time_limit_ms = 0
request_timeout_ms = -1
body_limit_bytes = 100000000000
retry = { attempts = 0, factor = 0.5, initial_ms = 500, max_ms = 100 }
"#,
        r#"
spin.toml:10:1: `memory_limit_bytes` in [component.cart.tool.nexus] is 1024, outside 1048576 to 4294967296
    choose a value from 1048576 to 4294967296
spin.toml:11:1: `time_limit_ms` in [component.cart.tool.nexus] is 0, outside 1 to 600000
    choose a value from 1 to 600000
spin.toml:12:1: `request_timeout_ms` in [component.cart.tool.nexus] is -1, outside 1 to 3600000
    choose a value from 1 to 3600000
spin.toml:13:1: `body_limit_bytes` in [component.cart.tool.nexus] is 100000000000, outside 1024 to 17179869184
    choose a value from 1024 to 17179869184
spin.toml:14:11: `attempts` in [component.cart.tool.nexus.retry] is 0, outside 1 to 1000
    choose a value from 1 to 1000
spin.toml:14:25: `factor` in [component.cart.tool.nexus.retry] is 0.5, outside 1 to 100
    choose a value from 1 to 100
spin.toml:14:57: `max_ms` in [component.cart.tool.nexus.retry] is 100, outside 500 to 86400000
    choose a value from 500 to 86400000"#,
    );
}

#[test]
fn a_retention_for_a_route_nobody_can_reach_or_outside_its_range_is_refused() {
    refused(
        r#"[component.cart.tool.nexus]
attempt_limit = 0
retention_hours = 0
key_retention_for = { "POST /cart/pay" = 0, "POST /basket/pay" = 720, "pay" = 1 }
"#,
        r#"
spin.toml:10:1: `attempt_limit` in [component.cart.tool.nexus] is 0, outside 1 to 256
    choose a value from 1 to 256
spin.toml:11:1: `retention_hours` in [component.cart.tool.nexus] is 0, outside 1 to 87600
    choose a value from 1 to 87600
spin.toml:12:24: `POST /cart/pay` in [component.cart.tool.nexus.key_retention_for] is 0, outside 1 to 8760
    choose a value from 1 to 8760
spin.toml:12:46: `POST /basket/pay` has a retention in [component.cart.tool.nexus.key_retention_for], but no route leads there
    write it as its requests arrive, or add the route
spin.toml:12:72: `pay` (key_retention_for in [component.cart.tool.nexus.key_retention_for]) is not a method and a path
    write method and path, as in "POST /api/v1/order/buyer/checkout""#,
    );
}

#[test]
fn two_routes_for_the_same_paths_are_refused() {
    refused(
        r#"[component.item]
source = "item.wasm"
[[trigger.http]]
route = "/cart/"
component = "item"
[[trigger.http]]
route = "/cart/..."
component = "item"
[[trigger.http]]
route = "/x/:a"
component = "item"
[[trigger.http]]
route = "/x/:b/"
component = "item"
"#,
        r#"
spin.toml:15:1: the route /cart/... is there twice; line 5 has it for `cart`, this one for `item`
    remove one of the two, or make one more specific
spin.toml:21:1: the route /x/:b is there twice; line 18 has it for `item`, this one for `item`
    remove one of the two, or make one more specific"#,
    );
}

#[test]
fn a_component_that_is_named_must_be_there() {
    refused(
        r#"[component.cart.dependencies]
"shop:stock/levels@0.1.0" = { component = "stok" }
[component.cart.tool.nexus.providers]
"shop:payment/provider" = ["stock", "paypal"]
[component.stock]
source = "stock.wasm"
"#,
        r#"
spin.toml:10:31: [component.cart.dependencies] names the component `stok`, which the manifest does not have
    did you mean `stock`?
spin.toml:12:38: [component.cart.tool.nexus.providers] names the component `paypal`, which the manifest does not have
    add a table [component.paypal], or name one that is there"#,
    );
}

#[test]
fn a_component_with_a_faulty_name_is_reported_once() {
    refused(
        "[component.My_Stock]\nsource = \"stock.wasm\"\n[component.cart.dependencies]\n\"shop:stock/levels\" = { component = \"My_Stock\" }\n",
        r#"
spin.toml:9:12: `My_Stock` (component in [component]) is not lower-case kebab-case of at most 63 characters
    rename it, as in `payment-cod`"#,
    );
}

#[test]
fn a_schema_belongs_to_one_component() {
    refused(
        r#"[component.cart.tool.nexus]
schema = "shop"
[component.stock]
source = "stock.wasm"
[component.stock.tool.nexus]
schema = "shop"
[component.audit]
source = "audit.wasm"
[component.audit.tool.nexus]
schema = "pg_catalog"
"#,
        r#"
spin.toml:11:12: the schema `shop` belongs to `cart` already (line 7), and `stock` wants it
    give each component its own; what it wants of another it imports
spin.toml:18:11: `pg_catalog` (schema in [component.audit.tool.nexus]) belongs to PostgreSQL or to the host
    name the schema after the component, as in `account`"#,
    );
}

#[test]
fn outbound_hosts_are_patterns_of_scheme_and_host() {
    refused(
        "allowed_outbound_hosts = [\"*\", \"example.com\", \"redis://cache\", \"https://*\"]\n",
        r#"
spin.toml:9:28: `*` (allowed_outbound_hosts in [component.cart]) has no scheme
    write `https://*` to grant every host, or better the hosts it needs
spin.toml:9:33: `example.com` (allowed_outbound_hosts in [component.cart]) has no scheme
    write `https://host`, `https://*.host` or `http://host:port`
spin.toml:9:48: `redis://cache` (allowed_outbound_hosts in [component.cart]) has a scheme other than http and https
    write `https://host`, `https://*.host` or `http://host:port`"#,
    );
}

#[test]
fn a_rule_for_effects_belongs_to_a_granted_host() {
    refused(
        r#"allowed_outbound_hosts = ["https://api.example.com"]
[component.cart.tool.nexus.outbound]
"https://api.example.com" = { unknown = "retry", idempotency_key = "yes", key = true }
"https://api.example.org" = { unknown = "repeat" }
"api.example.com" = {}
"#,
        r#"
spin.toml:11:42: `retry` (unknown in [component.cart.tool.nexus.outbound] "https://api.example.com") is neither `repeat` nor `report`
    write "repeat" if the host recognises a repeated request, else "report"
spin.toml:11:50: `idempotency_key` in [component.cart.tool.nexus.outbound] "https://api.example.com" must be true or false, not a string
    write `idempotency_key = true`
spin.toml:11:75: unknown key `key` in [component.cart.tool.nexus.outbound] "https://api.example.com"
    remove it; known here: unknown, idempotency_key
spin.toml:12:2: `https://api.example.org` (host in [component.cart.tool.nexus.outbound]) is not among `allowed_outbound_hosts`
    write it as a line of that list, or add the line
spin.toml:13:2: `api.example.com` (host in [component.cart.tool.nexus.outbound]) has no scheme
    write `https://host`, `https://*.host` or `http://host:port`"#,
    );
}

#[test]
fn a_variable_without_a_value_is_reported_once_with_its_environment_variable() {
    refused(
        r#"variables = { token = "{{ api_token }}", region = "{{ region }}" }
[variables]
api_token = { required = true, secret = true }
region = { required = true }
"#,
        r#"
spin.toml:11:1: the variable `api_token` has no value
    set SPIN_VARIABLE_API_TOKEN in the environment; a secret does not belong in this file
spin.toml:12:1: the variable `region` has no value
    set SPIN_VARIABLE_REGION in the environment, or give a default"#,
    );
}

#[test]
fn variables_and_their_templates_are_checked() {
    refused(
        r#"variables = { a = "{{ regoin }}", b = "{{ region", c = "{{ unheard_of }}", D = "" }
[variables]
region = { default = "vn" }
both = { default = "vn", required = true }
Upper = { default = "" }
"#,
        r#"
spin.toml:9:15: no variable `regoin` for `{{ regoin }}` in [component.cart.variables]
    did you mean `region`?
spin.toml:9:40: `{{ region` (b in [component.cart.variables]) opens `{{` without `}}`
    close the template, as in `{{ api_host }}`
spin.toml:9:52: no variable `unheard_of` for `{{ unheard_of }}` in [component.cart.variables]
    declare it: unheard_of = { default = "..." } in [variables]
spin.toml:9:76: `D` (variable in [component.cart.variables]) is not lower_snake_case
    rename it, as in `api_host`
spin.toml:12:21: `vn` (default in [variables.both]) has `required = true` beside it
    keep `required` when there must be a value from outside, `default` when there need not
spin.toml:13:1: `Upper` (variable in [variables]) is not lower_snake_case
    rename it, as in `api_host`"#,
    );
}

#[test]
fn a_dependency_is_a_component_of_the_application() {
    refused(
        r#"[component.cart.dependencies]
"shop:stock/levels" = { path = "stock.wasm" }
"stock" = { component = "cart" }
"shop:price@0.1.0" = { component = "cart", export = "shop:price/quotes@0.1.0" }
"shop:tax/rates" = ">= 0.1.0"
"#,
        r#"
spin.toml:10:2: `shop:stock/levels` in [component.cart.dependencies] has no `component`
    add `component = ...` to `shop:stock/levels` in [component.cart.dependencies]
spin.toml:10:25: `path` in `shop:stock/levels` in [component.cart.dependencies] is a key of Spin's that this host does not support
    declare it as a component of its own and write { component = "..." }
spin.toml:11:2: `stock` (interface in [component.cart.dependencies]) names no interface: it is not `namespace:package/interface@version`
    write the import as its world does, as in "shop:order/purchases@0.1.0"
spin.toml:12:54: `shop:price/quotes@0.1.0` (export in `shop:price@0.1.0` in [component.cart.dependencies]) stands for a whole package of imports
    name the interface in the key, or remove `export`
spin.toml:13:2: `shop:tax/rates` in [component.cart.dependencies] must be a table, not a string
    write `"shop:tax/rates" = { ... }`"#,
    );
}

#[test]
fn an_import_has_one_answer() {
    refused(
        r#"[component.cart.dependencies]
"shop:stock@0.1.0" = { component = "cart" }
"shop:stock/levels@0.1.4" = { component = "cart" }
"shop:stock/levels@0.2.0" = { component = "cart" }
[component.cart.tool.nexus.providers]
"shop:stock/moves" = ["cart", "cart"]
"#,
        r#"
spin.toml:11:2: `shop:stock/levels@0.1.4` in [component.cart.dependencies] is answered already by `shop:stock@0.1.0`
    keep one of the two
spin.toml:14:2: `shop:stock/moves` in [component.cart.tool.nexus.providers] is answered already by `shop:stock@0.1.0`
    keep one of the two
spin.toml:14:32: `cart` (shop:stock/moves in [component.cart.tool.nexus.providers]) is there twice
    keep one; the order is the one shown to callers"#,
    );
}

#[test]
fn a_token_is_verified_with_a_key_somebody_signs_with() {
    refused(
        "[component.cart.tool.nexus]\nkeys = [\"refresh\", \"acces\"]\nidentity = { key = \"access\" }\n",
        r#"
spin.toml:7:12: [component.cart.tool.nexus.identity] trusts the key `access`, which no component may sign with
    did you mean `acces`?"#,
    );
}

#[test]
fn a_sensitive_route_is_one_of_the_components_own() {
    refused(
        "[component.cart.tool.nexus]\nsensitive = [\"POST /cart/pay\", \"POST /card/pay\", \"post /cart\", \"/cart\", \"POST cart\"]\n",
        r#"
spin.toml:7:12: `POST /card/pay` of [component.cart] is sensitive, but no route leads there
    write it as its requests arrive, or add the route
spin.toml:10:51: `post /cart` (sensitive in [component.cart.tool.nexus]) has a method other than GET, HEAD, POST, PUT, PATCH, DELETE
    write method and path, as in "POST /api/v1/account/login"
spin.toml:10:65: `/cart` (sensitive in [component.cart.tool.nexus]) is not a method and a path
    write method and path, as in "POST /api/v1/account/login"
spin.toml:10:74: `POST cart` (sensitive in [component.cart.tool.nexus]) has a path that does not begin with `/`
    write method and path, as in "POST /api/v1/account/login""#,
    );
}

#[test]
fn a_policy_belongs_to_something_that_can_fail_and_gives_it_a_chance() {
    refused(
        "[component.cart.tool.nexus.retry]\ninitial_ms = 50\ndeadline_ms = 5\n[component.cart.tool.nexus.retry_for]\n\
         \"POST /card/pay\" = { attempts = 0 }\n\"/cart\" = {}\n\"cart.send\" = {}\n\"a:b/c.d\" = 3\n\
         \"POST /cart/:a\" = {}\n\"POST /cart/:b\" = {}\n\"PUT /cart/a\" = { attemps = 2 }\n",
        r#"
spin.toml:11:1: `deadline_ms` in [component.cart.tool.nexus.retry] is 5, outside 50 to 2678400000
    choose a value from 50 to 2678400000
spin.toml:13:2: `POST /card/pay` has a line in [component.cart.tool.nexus.retry_for], but no route leads there
    write it as its requests arrive, or add the route
spin.toml:13:22: `attempts` in `POST /card/pay` in [component.cart.tool.nexus.retry_for] is 0, outside 1 to 1000
    choose a value from 1 to 1000
spin.toml:14:2: `/cart` (retry_for in [component.cart.tool.nexus.retry_for]) is not a method and a path
    write a request, as in "POST /api/v1/order/checkout", or a function, as in "shop:order/purchases.has-purchased"
spin.toml:15:2: `cart.send` (retry_for in [component.cart.tool.nexus.retry_for]) is neither a request nor a function of an interface
    write a request, as in "POST /api/v1/order/checkout", or a function, as in "shop:order/purchases.has-purchased"
spin.toml:16:2: `a:b/c.d` in [component.cart.tool.nexus.retry_for] must be a table, not an integer
    write `"a:b/c.d" = { ... }`
spin.toml:18:2: `POST /cart/:b` (retry_for in [component.cart.tool.nexus.retry_for]) is there twice
    keep one of the two lines
spin.toml:19:19: unknown key `attemps` in `PUT /cart/a` in [component.cart.tool.nexus.retry_for]
    did you mean `attempts`?"#,
    );
}

#[test]
fn a_schedule_is_one_that_comes() {
    refused(
        "[component.cart.tool.nexus.cron]\nsweep = { schedule = \"0 * * *\" }\nnever = { schedule = \"0 0 31 2 *\" }\n\
         Bad = { schedule = \"* * * * *\" }\nlate = { overlap = \"queue\", schedule = \"@hourly\", every = 1 }\nnone = {}\n",
        r#"
spin.toml:10:23: `0 * * *` (schedule in `sweep` in [component.cart.tool.nexus.cron]) has 4 fields instead of 5
    write minute, hour, day, month and weekday in UTC, as in "*/5 * * * *"
spin.toml:11:23: `0 0 31 2 *` (schedule in `never` in [component.cart.tool.nexus.cron]) never comes
    write minute, hour, day, month and weekday in UTC, as in "*/5 * * * *"
spin.toml:12:1: `Bad` (name in [component.cart.tool.nexus.cron]) is not kebab-case or snake_case of at most 63 characters
    name what is to be done, as in `expire-holds`
spin.toml:13:21: `queue` (overlap in `late` in [component.cart.tool.nexus.cron]) is neither `skip` nor `start`
    write one of them
spin.toml:13:41: `@hourly` (schedule in `late` in [component.cart.tool.nexus.cron]) has 1 fields instead of 5
    write minute, hour, day, month and weekday in UTC, as in "*/5 * * * *"
spin.toml:13:51: unknown key `every` in `late` in [component.cart.tool.nexus.cron]
    remove it; known here: schedule, argument, overlap
spin.toml:14:1: `none` in [component.cart.tool.nexus.cron] has no `schedule`
    add `schedule = ...` to `none` in [component.cart.tool.nexus.cron]"#,
    );
}

#[test]
fn an_exclusive_function_is_one_and_has_one_key() {
    refused(
        "[component.cart.tool.nexus.exclusive]\n\"shop:cart/carts.fill\" = 1\n\"carts.fill\" = \"id\"\n\
         \"shop:cart/carts.empty\" = \"id\"\n\"shop:cart/carts@0.1.0.empty\" = \"owner\"\n",
        r#"
spin.toml:10:2: `shop:cart/carts.fill` in [component.cart.tool.nexus.exclusive] must be a string, not an integer
    write `"shop:cart/carts.fill" = "..."`
spin.toml:11:2: `carts.fill` (exclusive in [component.cart.tool.nexus.exclusive]) is no function of an interface
    write a function of an exported interface, as in "shop:inventory/reservations.reserve"
spin.toml:13:2: `shop:cart/carts@0.1.0.empty` (exclusive in [component.cart.tool.nexus.exclusive]) is there twice
    keep one of the two lines"#,
    );
}

#[test]
fn a_deadline_belongs_to_something_that_begins() {
    refused(
        "[component.cart.tool.nexus.deadline_for]\n\"POST /card/pay\" = 100\n\"cart\" = 1\n\"a:b/c.d\" = 0\n",
        r#"
spin.toml:10:2: `POST /card/pay` has a line in [component.cart.tool.nexus.deadline_for], but no route leads there
    write it as its requests arrive, or add the route
spin.toml:11:2: `cart` (deadline_for in [component.cart.tool.nexus.deadline_for]) is neither a request nor a function of an interface
    write a request, as in "POST /api/v1/order/checkout", or a function, as in "shop:order/purchases.has-purchased"
spin.toml:12:2: `a:b/c.d` in [component.cart.tool.nexus.deadline_for] is 0, outside 1 to 2678400000
    choose a value from 1 to 2678400000"#,
    );
}

#[test]
fn a_limit_lets_somebody_through_and_limits_something_of_its_component_once() {
    refused(
        r#"[component.cart.tool.nexus.rate_limits]
Fill = { quota = 1, window_seconds = 60, routes = ["POST /cart"] }
none = {}
[component.cart.tool.nexus.rate_limits.buy]
quota = 0
window_seconds = 86401
by = "person"
unknown = "report"
routes = ["/cart", "POST /cart/:a", "POST /cart/:b", "BUY /cart"]
[component.cart.tool.nexus.rate_limits.change]
quota = 1000000
window_seconds = 1
routes = []
[component.cart.tool.nexus.rate_limits.look]
quota = "many"
window_seconds = 60
routes = "GET /cart"
[component.cart.tool.nexus.rate_limits.pay]
quota = 5
window_seconds = 60
routes = ["PUT /cart/:a", "POST /card/pay"]
[component.cart.tool.nexus.rate_limits.pay-more]
quota = 5
window_seconds = 60
routes = ["PUT /cart/:b", "PATCH /cart"]
qouta = 5
[component.stock]
source = "stock.wasm"
[component.stock.tool.nexus.rate_limits.fill]
quota = 5
window_seconds = 60
routes = ["POST /cart"]
[[trigger.http]]
route = "/cart/stock"
component = "stock"
[component.cart.tool.nexus.rate_limits.stock]
quota = 5
window_seconds = 60
routes = ["POST /cart/stock", "GET /cart/..."]
[component.cart.tool.nexus.rate_limits.whom]
quota = 5
window_seconds = 60
by = "address"
member = ""
routes = ["POST /cart"]
[component.cart.tool.nexus.rate_limits.whose]
quota = 5
window_seconds = 60
member = "id"
routes = ["POST /cart"]
"#,
        r#"
spin.toml:10:1: `Fill` (name in [component.cart.tool.nexus.rate_limits]) is not kebab-case of at most 63 characters
    name what is limited, as in `checkout`; clients read it in `RateLimit-Policy`
spin.toml:11:1: [component.cart.tool.nexus.rate_limits.none] has no `quota`
    add `quota = ...` to [component.cart.tool.nexus.rate_limits.none]
spin.toml:11:1: [component.cart.tool.nexus.rate_limits.none] has no `window_seconds`
    add `window_seconds = ...` to [component.cart.tool.nexus.rate_limits.none]
spin.toml:11:1: [component.cart.tool.nexus.rate_limits.none] has no `routes`
    add `routes = ...` to [component.cart.tool.nexus.rate_limits.none]
spin.toml:13:1: `quota` in [component.cart.tool.nexus.rate_limits.buy] is 0, outside 1 to 1000000
    choose a value from 1 to 1000000
spin.toml:14:1: `window_seconds` in [component.cart.tool.nexus.rate_limits.buy] is 86401, outside 1 to 86400
    choose a value from 1 to 86400
spin.toml:15:7: `person` (by in [component.cart.tool.nexus.rate_limits.buy]) is neither `account` nor `address`
    write one of them
spin.toml:16:12: `report` (unknown in [component.cart.tool.nexus.rate_limits.buy]) is neither `allow` nor `refuse`
    write one of them
spin.toml:17:12: `/cart` (routes in [component.cart.tool.nexus.rate_limits.buy]) is not a method and a path
    write method and path, as in "POST /api/v1/order/buyer/checkout"
spin.toml:17:38: `POST /cart/:b` (routes in [component.cart.tool.nexus.rate_limits.buy]) is there twice
    keep one of the two
spin.toml:17:55: `BUY /cart` (routes in [component.cart.tool.nexus.rate_limits.buy]) has a method other than GET, HEAD, POST, PUT, PATCH, DELETE
    write method and path, as in "POST /api/v1/order/buyer/checkout"
spin.toml:21:10: `` (routes in [component.cart.tool.nexus.rate_limits.change]) names no request
    name what it limits, as in "POST /api/v1/order/buyer/checkout", or remove the table
spin.toml:23:1: `quota` in [component.cart.tool.nexus.rate_limits.look] must be an integer, not a string
    write `quota = 1`
spin.toml:25:1: `routes` in [component.cart.tool.nexus.rate_limits.look] must be a list of strings, not a string
    write `routes = ["..."]`
spin.toml:29:28: `POST /card/pay` is limited in [component.cart.tool.nexus.rate_limits.pay], but no route leads there and to this component
    write it as its requests arrive, or add the route
spin.toml:33:12: `PUT /cart/:b` (routes in [component.cart.tool.nexus.rate_limits.pay-more]) is limited by `pay` already
    keep one of the two: a request counts against one limit
spin.toml:34:1: unknown key `qouta` in [component.cart.tool.nexus.rate_limits.pay-more]
    did you mean `quota`?
spin.toml:40:12: `POST /cart` is limited in [component.stock.tool.nexus.rate_limits.fill], but no route leads there and to this component
    write it as its requests arrive, or add the route
spin.toml:47:12: `POST /cart/stock` is limited in [component.cart.tool.nexus.rate_limits.stock], but no route leads there and to this component
    write it as its requests arrive, or add the route
spin.toml:51:7: `address` (by in [component.cart.tool.nexus.rate_limits.whom]) is there beside `member`
    keep one of the two; for both make it two limits
spin.toml:52:10: `` (member in [component.cart.tool.nexus.rate_limits.whom]) is empty
    name a member of the request's JSON, as in member = "id""#,
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

#[test]
fn events_have_topics_and_subscriptions_names() {
    refused(
        r#"[component.cart.tool.nexus]
publishes = ["Cart", "cart.*"]
streams = ["cart.*.x"]
event_retention_hours = 1
[component.cart.tool.nexus.subscriptions]
Placed = { topics = ["order.*"] }
placed = { topics = [], after_dead_letter = "stop" }
later = { topic = "order.*" }
"#,
        r#"
spin.toml:10:15: `Cart` (publishes in [component.cart.tool.nexus]) is no topic: words of lower-case letters, digits and `-`, joined by dots; a last word `*` stands for any
    write it as in `order.placed`, `order.*` or `*`
spin.toml:11:13: `cart.*.x` (streams in [component.cart.tool.nexus]) is no topic: words of lower-case letters, digits and `-`, joined by dots; a last word `*` stands for any
    write it as in `order.placed`, `order.*` or `*`
spin.toml:12:1: `event_retention_hours` in [component.cart.tool.nexus] is 1, outside 24 to 8784
    choose a value from 24 to 8784
spin.toml:14:1: `Placed` (subscription in [component.cart.tool.nexus.subscriptions]) is not lower-case kebab-case of at most 63 characters
    rename it, as in `placed-orders`
spin.toml:15:21: `` (topics in `placed` in [component.cart.tool.nexus.subscriptions]) names no topic
    write at least one, as in ["order.*"]
spin.toml:15:46: `stop` (after_dead_letter in `placed` in [component.cart.tool.nexus.subscriptions]) is neither "wait" nor "go-on"
    write "wait", to tell nothing out of order, or "go-on", to skip what cannot be taken
spin.toml:16:1: `later` in [component.cart.tool.nexus.subscriptions] has no `topics`
    add `topics = ...` to `later` in [component.cart.tool.nexus.subscriptions]"#,
    );
}
