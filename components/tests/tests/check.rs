//! What `nexus check` says of the SQL of the components.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use component_tests::{Edited, Guests, NexusOptions, check_application};
use serde_json::Value;

/// What `--json` prints, and whether it succeeds. What follows the first line repeats the failure in a word.
fn checked(manifest: &Path, guests: &Guests) -> Result<(Value, bool)> {
    let output = check_application(manifest, &guests.options(), &["--json"])?;
    let text = String::from_utf8(output.stdout)?;
    let first = text.lines().next().context("it prints something")?;
    let told = serde_json::from_str(first).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((told, output.status.success()))
}

/// The line of the source that is named, and the following ones.
fn source(problem: &Value) -> Result<String> {
    let (Some(file), Some(line)) = (problem["file"].as_str(), problem["line"].as_u64()) else {
        anyhow::bail!("no place: {problem}");
    };
    let text = std::fs::read_to_string(component_tests::workspace().join(file))?;
    let lines: Vec<_> = text.lines().skip(line as usize - 1).take(30).collect();
    Ok(lines.join("\n"))
}

#[test]
fn every_statement_of_the_marketplace_fits_the_schema_that_its_migrations_make() -> Result<()> {
    let guests = Guests::built()?;
    let marketplace = Edited::marketplace(str::to_owned)?;
    let (told, succeeds) = checked(&marketplace.manifest(), &guests)?;
    ensure!(succeeds && told["problems"] == serde_json::json!([]), "{told:#}");
    // A section that is lost on the way would make all of them fit.
    ensure!(told["statements"].as_u64() > Some(170), "{told}");

    let output = check_application(&marketplace.manifest(), &guests.options(), &[])?;
    let text = String::from_utf8(output.stdout)?;
    let count = format!(", {} statements, every import answered", told["statements"]);
    ensure!(output.status.success() && text.contains(&count), "{text}");
    Ok(())
}

#[test]
fn a_file_of_a_variable_that_cannot_be_read_is_an_error_of_the_manifest() -> Result<()> {
    let options = NexusOptions::with(&[("SPIN_VARIABLE_SESSION_SECONDS_FILE", "/nowhere/seconds")]);
    let output = check_application(&component_tests::workspace().join("spin.toml"), &options, &[])?;
    let text = String::from_utf8(output.stderr)?;
    let expected = "the file with the value of `session_seconds` cannot be read: /nowhere/seconds: ";
    ensure!(!output.status.success() && text.contains(expected), "{text}");
    Ok(())
}

#[test]
fn a_variable_that_no_order_could_be_reckoned_with_is_an_error_of_the_manifest() -> Result<()> {
    let options = NexusOptions::with(&[
        ("SPIN_VARIABLE_PLATFORM_FEE_BPS", "10001"),
        ("SPIN_VARIABLE_COD_MAX_MINOR", "much"),
        ("SPIN_VARIABLE_ESCROW_DAYS", "7 days"),
    ]);
    let output = check_application(&component_tests::workspace().join("spin.toml"), &options, &[])?;
    let text = String::from_utf8(output.stderr)?;
    let told = [
        "`platform_fee_bps` in [component.order.variables] is 10001, and has to be an integer from 0 to 10000",
        "correct SPIN_VARIABLE_PLATFORM_FEE_BPS, or leave it empty",
        "`cod_max_minor` in [component.payment-cod.variables] is `much`, which is no integer",
        "`escrow_days` in [component.order.variables] is `7 days`, which is no integer",
    ];
    ensure!(
        !output.status.success() && told.iter().all(|told| text.contains(told)),
        "{text}"
    );
    Ok(())
}

#[test]
fn components_ahead_of_their_migrations_are_found_with_every_statement_that_fails() -> Result<()> {
    let guests = Guests::built()?;
    let marketplace = Edited::marketplace(str::to_owned)?;
    let migrations = marketplace.migrations()?;
    // They give a table of the orders a column, and one of the ledger.
    std::fs::remove_file(migrations.join("order/0030_wallet_share.sql"))?;
    std::fs::remove_file(migrations.join("account/0030_ledger_reversals.sql"))?;
    // What a module may not say at all.
    guests.differ(
        "inventory",
        "SELECT count(*) FROM stock_history",
        "VACUUM count(*) FROM stock_history",
    )?;
    // What is another module's.
    guests.differ("catalog", "FROM product_spu p", "FROM account.aaa p")?;
    let (told, succeeds) = checked(&marketplace.manifest(), &guests)?;
    ensure!(!succeeds, "{told:#}");
    let problems = told["problems"].as_array().context("a list")?;

    for problem in problems.iter().filter(|problem| problem["code"] == "42703") {
        let statement = problem["statement"].as_str().context("a statement")?;
        let line = statement
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        // One that is put together may begin with a part that stands elsewhere.
        let source = source(problem)?;
        let words: Vec<_> = statement.split_whitespace().collect();
        let has_a_part = words.windows(6).any(|part| source.contains(&part.join(" ")));
        ensure!(
            source.contains(line) || has_a_part,
            "it does not stand there: {problem:#}"
        );
    }
    let of = |component: &str, code: &str| {
        let found = problems
            .iter()
            .filter(|problem| problem["component"] == component && problem["code"] == code);
        found.collect::<Vec<_>>()
    };
    let ledger = of("account", "42703");
    ensure!(
        ledger.iter().any(|problem| {
            problem["file"] == "components/account/src/store/ledger.rs"
                && problem["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("\"reverts_id\""))
                && problem["position"].is_u64()
        }),
        "{told:#}"
    );
    ensure!(of("order", "42703").len() > 1, "{told:#}");
    let forbidden = of("inventory", "0A000");
    ensure!(forbidden.len() == 1, "{told:#}");
    ensure!(
        forbidden[0]["message"]
            .as_str()
            .is_some_and(|message| message.contains("\"VACUUM\"")),
        "{told:#}"
    );
    let foreign = of("catalog", "42501");
    let denied = "permission denied for schema account";
    ensure!(
        !foreign.is_empty() && foreign.iter().all(|problem| problem["message"] == denied),
        "{told:#}"
    );
    let ahead = ledger.len() + of("order", "42703").len();
    ensure!(problems.len() == ahead + forbidden.len() + foreign.len(), "{told:#}");

    let output = check_application(&marketplace.manifest(), &guests.options(), &[])?;
    let text = String::from_utf8(output.stdout)?;
    for part in [
        "account: components/account/src/store/ledger.rs:",
        "(SQLSTATE 42703)",
        "\n  at character ",
        "\n  statement: INSERT INTO",
    ] {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    let error = String::from_utf8(output.stderr)?;
    let count = format!(
        "error: {} of {} statements cannot be prepared",
        problems.len(),
        told["statements"]
    );
    ensure!(output.status.code() == Some(1) && error.contains(&count), "{error}");
    Ok(())
}

#[test]
fn a_section_that_cannot_be_read_is_an_error_of_its_component() -> Result<()> {
    let guests = Guests::built()?;
    let marketplace = Edited::marketplace(str::to_owned)?;
    let path = guests.path("catalog");
    let mut wasm = std::fs::read(&path)?;
    let name = b"nexus:sql\x01";
    let section = wasm
        .windows(name.len())
        .position(|window| window == name)
        .context("it has the section")?;
    wasm[section + name.len() - 1] = 9;
    std::fs::write(&path, wasm)?;
    let output = check_application(&marketplace.manifest(), &guests.options(), &[])?;
    let error = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1)
            && error.contains("component catalog: section nexus:sql at byte ")
            && error.contains("a record of version 9"),
        "{error}"
    );
    Ok(())
}
