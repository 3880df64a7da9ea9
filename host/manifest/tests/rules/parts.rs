//! Components, and who answers whom.

use crate::{VALID, refused, refused_text};

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
fn a_variable_outside_its_bounds_is_refused_and_a_secret_one_is_not_shown() {
    refused_text(
        &format!(
            r#"{VALID}[component.cart.variables]
plain = "{{{{ number }}}}"
secret = "{{{{ token }}}}"
most = "{{{{ token_most }}}}"
written = " 11 "
text = "ten"
[component.cart.tool.nexus.variables]
plain = {{ integer = [1, 10] }}
secret = {{ integer = [1, 10] }}
most = {{ integer = [1, 10] }}
written = {{ integer = [-1, 10] }}
text = {{ integer = [1, 10] }}
[variables]
number = {{ default = "0" }}
token = {{ default = "s3cret", secret = true }}
token_most = {{ default = "1234", secret = true }}
"#
        ),
        r#"
spin.toml:10:10: `plain` in [component.cart.variables] is 0, and has to be an integer from 1 to 10
    correct SPIN_VARIABLE_NUMBER, or leave it empty for what the component takes without it
spin.toml:11:11: `secret` in [component.cart.variables] is a secret that is no integer, and has to be an integer from 1 to 10
    correct SPIN_VARIABLE_TOKEN, or leave it empty for what the component takes without it
spin.toml:12:9: `most` in [component.cart.variables] is a secret number, and has to be an integer from 1 to 10
    correct SPIN_VARIABLE_TOKEN_MOST, or leave it empty for what the component takes without it
spin.toml:13:12: `written` in [component.cart.variables] is 11, and has to be an integer from -1 to 10
    write such a number there, or leave it empty for what the component takes without it
spin.toml:14:9: `text` in [component.cart.variables] is `ten`, which is no integer, and has to be an integer from 1 to 10
    write such a number there, or leave it empty for what the component takes without it"#,
    );
}

#[test]
fn bounds_are_a_range_of_integers_for_a_variable_that_is_there() {
    refused(
        r#"[component.cart.variables]
fee = "3"
[component.cart.tool.nexus.variables]
fees = { integer = [0, 1] }
fee = { integer = [1, 0] }
other = { integer = 1 }
none = {}
word = { integer = [0, 1], least = 1 }
"#,
        r#"
spin.toml:12:1: [component.cart.tool.nexus.variables.fees] is about a variable `fees` that the component does not have
    did you mean `fee`?
spin.toml:13:9: `integer` in [component.cart.tool.nexus.variables.fee] must be a list of the least and the most integer, not a list
    write `integer = [0, 100]`
spin.toml:14:11: `integer` in [component.cart.tool.nexus.variables.other] must be a list of the least and the most integer, not an integer
    write `integer = [0, 100]`
spin.toml:15:1: [component.cart.tool.nexus.variables.none] has no `integer`
    add `integer = ...` to [component.cart.tool.nexus.variables.none]
spin.toml:16:1: [component.cart.tool.nexus.variables.word] is about a variable `word` that the component does not have
    remove it, or add the variable to the component's `variables`
spin.toml:16:28: unknown key `least` in [component.cart.tool.nexus.variables.word]
    remove it; known here: integer"#,
    );
}
