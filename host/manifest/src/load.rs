//! From text to an [`App`]: one pass over the tables, each in its own file, then the rules that span several of them.

mod application;
mod bounds;
mod check;
mod component;
mod cron;
mod deadline;
mod dependencies;
mod events;
mod exclusive;
mod nexus;
mod outbound;
mod rate_limit;
mod retention;
mod retry;
mod trigger;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use crate::App;
use crate::document::{Item, Report, Section};
use crate::error::{Error, Errors};
use crate::names::is_words;
use crate::suggest::nearest;
use crate::variable::{TemplateError, Variables};
use crate::{Component, ComponentId, ConfigValue};

/// What the tables of components refer to.
struct Names {
    /// Every name in the `component` table, those included whose own table is wrong: a reference to them is not a second problem.
    components: BTreeSet<String>,
    variables: Variables,
}

impl App {
    /// Reads and checks a manifest. `file` names it in messages; `environment` is searched for `SPIN_VARIABLE_<NAME>`.
    ///
    /// # Errors
    /// Everything that is wrong, together; after a syntax error only that.
    pub fn load(file: &str, text: &str, environment: &BTreeMap<String, String>) -> Result<Self, Errors> {
        let read_file = |_: &str| Err("no files are read here".to_owned());
        Self::load_with_files(file, text, environment, &read_file)
    }

    /// The same; `environment` is searched for `SPIN_VARIABLE_<NAME>_FILE` too, and `read_file` gives the contents of such a file, or says
    /// why it does not.
    ///
    /// # Errors
    /// As [`App::load`].
    pub fn load_with_files(
        file: &str,
        text: &str,
        environment: &BTreeMap<String, String>,
        read_file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Errors> {
        let environment = &Environment {
            variables: environment,
            read_file,
        };
        let mut report = Report::new(text);
        let document = match toml_span::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let at = report.locate(error.span);
                return Err(Errors::one(
                    file,
                    at,
                    Error::Syntax {
                        reason: error.to_string(),
                    },
                ));
            }
        };
        let app = read(file, Section::root(&document), environment, &mut report);
        check::across_tables(&app, &mut report);
        Errors::check(file, report.into_problems())?;
        Ok(app)
    }
}

/// Where variables have values from.
struct Environment<'a> {
    variables: &'a BTreeMap<String, String>,
    read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

fn read(file: &str, mut root: Section<'_, '_>, environment: &Environment<'_>, report: &mut Report<'_>) -> App {
    if let Some(version) = root.require("spin_manifest_version", report) {
        version.integer(2..=2, report);
    }
    let application = application::read(&mut root, report);
    let variables = variables::read(&mut root, environment, report);
    let tables = root
        .require("component", report)
        .and_then(|item| item.section("[component]", report));
    let tables: Vec<Item<'_, '_>> = tables.iter().flat_map(Section::entries).collect();
    let names = Names {
        components: tables.iter().map(|item| item.key.to_owned()).collect(),
        variables,
    };
    let components = tables.iter().filter_map(|item| component::read(item, &names, report));
    let components: BTreeMap<ComponentId, Component> =
        components.map(|component| (component.id.clone(), component)).collect();
    let routes = trigger::read(&mut root, &names, report);
    root.finish(report);
    App {
        file: file.to_owned(),
        name: application.name,
        version: application.version,
        description: application.description,
        authors: application.authors,
        components,
        routes,
    }
}

impl Names {
    /// The component of that name; a problem at `item` when there is none.
    fn component(&self, id: &str, place: &str, item: &Item<'_, '_>, report: &mut Report<'_>) -> Option<ComponentId> {
        if !self.components.contains(id) {
            let nearest = nearest(id, self.components.iter().map(String::as_str));
            let error = Error::UnknownComponent {
                place: place.to_owned(),
                id: id.to_owned(),
                nearest,
            };
            report.add(item.key_span, error);
            return None;
        }
        // A name that breaks the rules for names has been reported where it is declared.
        is_words(id, '-').then(|| ComponentId::from(id))
    }
    /// `text`, the item's value or its key, with its templates replaced.
    fn resolve(&self, item: &Item<'_, '_>, text: &str, report: &mut Report<'_>) -> Option<ConfigValue> {
        match self.variables.resolve(text) {
            Ok(value) => value,
            Err(TemplateError::Unclosed) => {
                item.invalid(
                    "opens `{{` without `}}`",
                    "close the template, as in `{{ api_host }}`",
                    report,
                );
                None
            }
            Err(TemplateError::Unknown(name)) => {
                let error = Error::UnknownVariable {
                    place: item.place().to_owned(),
                    template: text.to_owned(),
                    nearest: nearest(&name, self.variables.names()),
                    name,
                };
                report.add(item.key_span, error);
                None
            }
        }
    }
}
