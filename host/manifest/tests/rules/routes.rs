//! Routes, and what is said of some of them.

use crate::refused;

#[test]
fn a_retention_for_a_route_nobody_can_reach_or_outside_its_range_is_refused() {
    refused(
        r#"[component.cart.tool.nexus]
attempt_limit = 0
open_limit = 0
retention_hours = 0
key_retention_for = { "POST /cart/pay" = 0, "POST /basket/pay" = 720, "pay" = 1 }
"#,
        r#"
spin.toml:10:1: `attempt_limit` in [component.cart.tool.nexus] is 0, outside 1 to 256
    choose a value from 1 to 256
spin.toml:11:1: `open_limit` in [component.cart.tool.nexus] is 0, outside 1 to 100000000
    choose a value from 1 to 100000000
spin.toml:12:1: `retention_hours` in [component.cart.tool.nexus] is 0, outside 1 to 87600
    choose a value from 1 to 87600
spin.toml:13:24: `POST /cart/pay` in [component.cart.tool.nexus.key_retention_for] is 0, outside 1 to 8760
    choose a value from 1 to 8760
spin.toml:13:46: `POST /basket/pay` has a retention in [component.cart.tool.nexus.key_retention_for], but no route leads there
    write it as its requests arrive, or add the route
spin.toml:13:72: `pay` (key_retention_for in [component.cart.tool.nexus.key_retention_for]) is not a method and a path
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
fn a_request_that_is_let_in_whatever_is_open_is_one_of_the_components_own() {
    refused(
        "[component.cart.tool.nexus]\nopen_limit_except = [\"POST /cart/paid\", \"POST /card/paid\", \"/cart\"]\n",
        r#"
spin.toml:7:12: `POST /card/paid` is in `open_limit_except` of [component.cart.tool.nexus], but no route leads there
    write it as its requests arrive, or add the route
spin.toml:10:61: `/cart` (open_limit_except in [component.cart.tool.nexus]) is not a method and a path
    write method and path, as in "POST /api/v1/account/login""#,
    );
}
