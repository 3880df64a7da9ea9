//! `[component.<id>.dependencies]`: which component answers an import. Spin composes the two; here the import is called through the host.

use crate::Dependency;
use crate::InterfaceName;
use crate::document::{Item, Report, Section};
use crate::load::Names;

pub(super) fn read(table: &mut Section<'_, '_>, id: &str, names: &Names, report: &mut Report<'_>) -> Vec<Dependency> {
    let place = format!("[component.{id}.dependencies]");
    let section = table.section("dependencies", &place, report);
    let entries = section.iter().flat_map(Section::entries);
    entries
        .filter_map(|item| read_one(&item, &place, names, report))
        .collect()
}

fn read_one(item: &Item<'_, '_>, place: &str, names: &Names, report: &mut Report<'_>) -> Option<Dependency> {
    let interface = read_interface(item, report);
    let mut table = item.section(&format!("`{}` in {place}", item.key), report)?;
    // Spin's other sources of a dependency, which it would compose into the component.
    for key in ["version", "registry", "package", "path", "url", "digest"] {
        table.refuse(
            key,
            "declare it as a component of its own and write { component = \"...\" }",
            report,
        );
    }
    table.refuse(
        "inherit_configuration",
        "remove it; each component has the grants of its own table",
        report,
    );
    let component = table.require("component", report);
    let component = component.and_then(|item| names.component(item.string(report)?, place, &item, report));
    let export = table
        .get("export")
        .and_then(|item| read_export(&item, interface.as_ref(), report));
    table.finish(report);
    Some(Dependency {
        interface: interface?,
        component: component?,
        export,
        at: report.locate(item.key_span),
    })
}

/// The key of a dependency or of a list of providers.
pub(super) fn read_interface(item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<InterfaceName> {
    match InterfaceName::parse(item.key) {
        Ok(interface) => Some(interface),
        Err(error) => {
            let way_out = "write the import as its world does, as in \"shop:order/purchases@0.1.0\"";
            item.invalid_key("interface", format!("names no interface: {error}"), way_out, report);
            None
        }
    }
}

fn read_export(item: &Item<'_, '_>, import: Option<&InterfaceName>, report: &mut Report<'_>) -> Option<InterfaceName> {
    let text = item.string(report)?;
    if import.is_some_and(|import| import.interface().is_none()) {
        item.invalid(
            "stands for a whole package of imports",
            "name the interface in the key, or remove `export`",
            report,
        );
        return None;
    }
    match InterfaceName::parse(text) {
        Ok(export) if export.interface().is_some() => Some(export),
        _ => {
            item.invalid(
                "names no interface",
                "write it as in \"shop:order/purchases@0.1.0\"",
                report,
            );
            None
        }
    }
}
