//! `[application]`: what the application is called.

use semver::Version;

use crate::document::{Item, Report, Section};

#[derive(Default)]
pub(super) struct Application {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) authors: Vec<String>,
}

pub(super) fn read(root: &mut Section<'_, '_>, report: &mut Report<'_>) -> Application {
    let Some(mut table) = root
        .require("application", report)
        .and_then(|item| item.section("[application]", report))
    else {
        return Application::default();
    };
    let mut application = Application::default();
    if let Some(item) = table.require("name", report)
        && let Some(name) = item.string(report)
    {
        if name.trim().is_empty() {
            item.invalid("is empty", "name the application", report);
        }
        application.name = name.to_owned();
    }
    if let Some(item) = table.get("version")
        && let Some(version) = item.string(report)
    {
        if Version::parse(version).is_err() {
            item.invalid(
                "is not a semantic version",
                "write major.minor.patch, as in 1.0.0",
                report,
            );
        }
        application.version = version.to_owned();
    }
    application.description = table.string("description", report).unwrap_or_default().to_owned();
    application.authors = table
        .strings("authors", report)
        .iter()
        .map(Item::text)
        .map(str::to_owned)
        .collect();
    // Another tool's settings are its own.
    table.get("tool");
    table.refuse(
        "targets",
        "remove it; the host checks imports against what it offers",
        report,
    );
    table.refuse("trigger", "remove it; HTTP routes have no common settings", report);
    table.finish(report);
    application
}
