//! Outbound hosts and variables.

use crate::refused;

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
"https://api.example.com" = { unknown = "retry", idempotency_key = "yes", key = true, timeout_ms = 60_001 }
"https://api.example.org" = { unknown = "repeat" }
"api.example.com" = {}
"#,
        r#"
spin.toml:11:42: `retry` (unknown in [component.cart.tool.nexus.outbound] "https://api.example.com") is neither `repeat` nor `report`
    write "repeat" if the host recognises a repeated request, else "report"
spin.toml:11:50: `idempotency_key` in [component.cart.tool.nexus.outbound] "https://api.example.com" must be true or false, not a string
    write `idempotency_key = true`
spin.toml:11:75: unknown key `key` in [component.cart.tool.nexus.outbound] "https://api.example.com"
    remove it; known here: unknown, idempotency_key, timeout_ms
spin.toml:11:87: `timeout_ms` in [component.cart.tool.nexus.outbound] "https://api.example.com" is 60001, outside 100 to 60000
    choose a value from 100 to 60000
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
    set SPIN_VARIABLE_API_TOKEN in the environment, or SPIN_VARIABLE_API_TOKEN_FILE to the path of a file with it; a secret does not belong in this file
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
