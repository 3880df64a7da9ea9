//! Retries, schedules, exclusive keys, deadlines, events.

use crate::refused;

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
