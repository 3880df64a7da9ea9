//! Limits and rate limits.

use crate::refused;

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
spin.toml:10:1: `memory_limit_bytes` in [component.cart.tool.nexus] is 1024, outside 1048576 to 134217728
    choose a value from 1048576 to 134217728
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
fn a_memory_limit_that_no_engine_has_room_for_is_refused() {
    refused(
        r#"[component.cart.tool.nexus]
memory_limit_bytes = 268435456
"#,
        r#"
spin.toml:10:1: `memory_limit_bytes` in [component.cart.tool.nexus] is 268435456, outside 1048576 to 134217728
    choose a value from 1048576 to 134217728"#,
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
[component.cart.tool.nexus.rate_limits.spelt]
quota = 5
window_seconds = 60
spelling = "folded"
routes = ["GET /cart"]
[component.cart.tool.nexus.rate_limits.spelt-else]
quota = 5
window_seconds = 60
member = "id"
spelling = "lowercase"
routes = ["DELETE /cart"]
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
    name a member of the request's JSON, as in member = "id"
spin.toml:62:13: `folded` (spelling in [component.cart.tool.nexus.rate_limits.spelt]) is there without `member`
    name a member of the request's JSON too, as in member = "id", or remove it
spin.toml:68:13: `lowercase` (spelling in [component.cart.tool.nexus.rate_limits.spelt-else]) is neither `exact` nor `folded`
    write one of them"#,
    );
}
