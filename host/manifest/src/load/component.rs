//! `[component.<id>]`: Spin's part of a component.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::document::{Item, Report, Section};
use crate::load::bounds::Bound;
use crate::load::{Names, dependencies, nexus, outbound};
use crate::names::is_words;
use crate::{Build, Component, ComponentId, ConfigValue, StoreName};

/// Keys of Spin's that mean nothing here, and what to do instead.
const UNSUPPORTED: [(&str, &str); 8] = [
    (
        "files",
        "remove it; a component has no file system: build the files into it",
    ),
    ("exclude_files", "remove it; a component has no file system"),
    (
        "allowed_http_hosts",
        "write `allowed_outbound_hosts = [\"https://host\"]`",
    ),
    (
        "sqlite_databases",
        "write `schema = \"...\"` in its tool.nexus table; SQL is PostgreSQL's here",
    ),
    ("ai_models", "remove it; a language model is a provider component"),
    ("targets", "remove it; the host checks imports against what it offers"),
    (
        "dependencies_inherit_configuration",
        "remove it; each component has the grants of its own table",
    ),
    ("profile", "remove it; there is one build"),
];

/// The component, with whatever could be read; none when its name or its table cannot be.
pub(super) fn read(item: &Item<'_, '_>, names: &Names, report: &mut Report<'_>) -> Option<Component> {
    let id = item.key;
    if !is_words(id, '-') {
        let reason = "is not lower-case kebab-case of at most 63 characters";
        item.invalid_key("component", reason, "rename it, as in `payment-cod`", report);
        return None;
    }
    let place = format!("[component.{id}]");
    let mut table = item.section(&place, report)?;

    let source = table.require("source", report);
    let source_at = report.locate(source.as_ref().map_or(table.at, |item| item.key_span));
    let source = source.and_then(|item| read_source(&item, report)).unwrap_or_default();
    let hosts = outbound::read_hosts(&mut table, names, report);
    let stores = table.strings("key_value_stores", report);
    let stores = stores.iter().filter_map(|item| read_store(item, report)).collect();
    let nexus = nexus::read(&mut table, id, &hosts.all, names, report);
    let component = Component {
        id: ComponentId::from(id),
        at: report.locate(table.at),
        source,
        source_at,
        description: table.string("description", report).unwrap_or_default().to_owned(),
        build: table
            .section("build", &format!("[component.{id}.build]"), report)
            .map(|table| read_build(table, report)),
        allowed_outbound_hosts: hosts.all,
        variable_hosts: hosts.of_variables,
        effect_rules: nexus.effect_rules,
        key_value_stores: stores,
        variables: read_variables(&mut table, id, &nexus.bounds, names, report),
        environment: read_environment(&mut table, id, report),
        dependencies: dependencies::read(&mut table, id, names, report),
        providers: nexus.providers,
        schema: nexus.schema,
        keys: nexus.keys,
        identity: nexus.identity,
        sensitive: nexus.sensitive,
        limits: nexus.limits,
        open_limit_except: nexus.open_limit_except,
        retry: nexus.retry,
        retry_for: nexus.retry_for,
        retention: nexus.retention,
        events: nexus.events,
        cron: nexus.cron,
        deadline_for: nexus.deadline_for,
        exclusive: nexus.exclusive,
        rate_limits: nexus.rate_limits,
    };
    for (key, way_out) in UNSUPPORTED {
        table.refuse(key, way_out, report);
    }
    table.finish(report);
    Some(component)
}

fn read_source(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let path = item.string(report)?;
    if path.is_empty() {
        item.invalid("is empty", "write the path of the compiled component", report);
    }
    Some(PathBuf::from(path))
}

fn read_build(mut table: Section<'_, '_>, report: &mut Report<'_>) -> Build {
    let command = table.require("command", report);
    let commands = command.as_ref().and_then(|item| item.string_or_strings(report));
    if let (Some(item), Some(commands)) = (&command, &commands)
        && (commands.is_empty() || commands.iter().any(|command| command.trim().is_empty()))
    {
        item.invalid("runs nothing", "write the command, or remove the build table", report);
    }
    let build = Build {
        commands: commands.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        workdir: table.string("workdir", report).map(PathBuf::from),
        watch: table
            .strings("watch", report)
            .iter()
            .map(Item::text)
            .map(str::to_owned)
            .collect(),
    };
    table.finish(report);
    build
}

fn read_store(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<StoreName> {
    match StoreName::parse(item.text()) {
        Ok(store) => Some(store),
        Err(reason) => {
            item.invalid(reason, "name the store, as in `default`", report);
            None
        }
    }
}

fn read_variables(
    table: &mut Section<'_, '_>,
    id: &str,
    bounds: &[Bound],
    names: &Names,
    report: &mut Report<'_>,
) -> BTreeMap<String, ConfigValue> {
    let mut values = BTreeMap::new();
    let section = table.section("variables", &format!("[component.{id}.variables]"), report);
    for item in section.iter().flat_map(Section::entries) {
        if !is_words(item.key, '_') {
            item.invalid_key(
                "variable",
                "is not lower_snake_case",
                "rename it, as in `api_host`",
                report,
            );
        }
        if item.string(report).is_some()
            && let Some(value) = names.resolve(&item, item.text(), report)
        {
            if let Some(bound) = bounds.iter().find(|bound| bound.is_of(item.key)) {
                bound.check(&item, &value, report);
            }
            values.insert(item.key.to_owned(), value);
        }
    }
    let names = || section.iter().flat_map(Section::entries).map(|item| item.key);
    for bound in bounds.iter().filter(|bound| !names().any(|name| bound.is_of(name))) {
        bound.has_no_variable(names(), report);
    }
    values
}

fn read_environment(table: &mut Section<'_, '_>, id: &str, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let section = table.section("environment", &format!("[component.{id}.environment]"), report);
    let entries = section.iter().flat_map(Section::entries);
    entries
        .filter_map(|item| Some((item.key.to_owned(), item.string(report)?.to_owned())))
        .collect()
}
