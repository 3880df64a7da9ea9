//! Every rule a manifest can break: what is said about it, and the way out.

use std::fmt;

use crate::{ComponentId, InterfaceName, Limits};

/// A position in the manifest. Both count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A broken rule and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the manifest says it, or where the missing thing belongs.
    pub at: Location,
    /// What is wrong.
    pub error: Error,
}

/// Everything wrong with a manifest, in the order of the file. Its text is for a terminal: two lines a problem, the second the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    file: String,
    problems: Vec<Problem>,
}

impl Errors {
    pub(crate) fn one(file: &str, at: Location, error: Error) -> Self {
        Self {
            file: file.to_owned(),
            problems: vec![Problem { at, error }],
        }
    }

    /// The problems as a result: an error unless there are none.
    pub(crate) fn check(file: &str, mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| problem.at);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Self {
                file: file.to_owned(),
                problems,
            }),
        }
    }

    /// The manifest's name as given to `App::load`.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// At least one, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { at, error }) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let way_out = error.way_out().replace('\n', "\n    ");
            write!(f, "{separator}{}:{at}: {error}\n    {way_out}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// A rule that is broken. `place` is the table's header as it is written, such as `[component.order]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum Error {
    #[error("this is not TOML: {reason}")]
    Syntax { reason: String },
    #[error("unknown key `{key}` in {place}")]
    UnknownKey {
        place: String,
        key: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("`{key}` in {place} is a key of Spin's that this host does not support")]
    Unsupported {
        place: String,
        key: String,
        way_out: String,
    },
    #[error("{place} has no `{key}`")]
    MissingKey { place: String, key: String },
    #[error("`{key}` in {place} must be {expected}, not {found}")]
    WrongType {
        place: String,
        key: String,
        expected: &'static str,
        found: &'static str,
    },
    #[error("`{key}` in {place} is {value}, outside {min} to {max}")]
    OutOfRange {
        place: String,
        key: String,
        value: String,
        min: String,
        max: String,
    },
    #[error("`{value}` ({key} in {place}) {reason}")]
    Invalid {
        place: String,
        key: String,
        value: String,
        reason: String,
        way_out: String,
    },
    #[error("{place} names the component `{id}`, which the manifest does not have")]
    UnknownComponent {
        place: String,
        id: String,
        nearest: Option<String>,
    },
    #[error("the route {route} is there twice; line {first_line} has it for `{first}`, this one for `{second}`")]
    DuplicateRoute {
        route: String,
        first: ComponentId,
        first_line: usize,
        second: ComponentId,
    },
    #[error("the schema `{schema}` belongs to `{first}` already (line {first_line}), and `{second}` wants it")]
    DuplicateSchema {
        schema: String,
        first: ComponentId,
        first_line: usize,
        second: ComponentId,
    },
    #[error("`{interface}` in {place} is answered already by `{first}`")]
    AmbiguousImport {
        place: String,
        interface: InterfaceName,
        first: InterfaceName,
    },
    #[error("no variable `{name}` for `{template}` in {place}")]
    UnknownVariable {
        place: String,
        template: String,
        name: String,
        nearest: Option<String>,
    },
    #[error("the variable `{name}` has no value")]
    UnsetVariable {
        name: String,
        environment: String,
        secret: bool,
    },
    #[error("the variable `{name}` is given twice: in {environment}, and in the file that {environment}_FILE names")]
    VariableTwice { name: String, environment: String },
    #[error("the file with the value of `{name}` cannot be read: {reason}")]
    VariableFile {
        name: String,
        environment: String,
        reason: String,
    },
    #[error("`{name}` in {place} is {found}, and has to be an integer from {min} to {max}")]
    VariableOutOfBounds {
        place: String,
        name: String,
        found: String,
        min: i64,
        max: i64,
        environment: Vec<String>,
    },
    #[error("{place} is about a variable `{name}` that the component does not have")]
    BoundOfNothing {
        place: String,
        name: String,
        nearest: Option<String>,
    },
    #[error("{place} trusts the key `{key}`, which no component may sign with")]
    UnknownKeyName {
        place: String,
        key: String,
        nearest: Option<String>,
    },
    #[error("`{route}` of {place} is sensitive, but no route leads there")]
    UnreachableSensitive { place: String, route: String },
    #[error("`{route}` is in `open_limit_except` of {place}, but no route leads there")]
    UnreachableException { place: String, route: String },
    #[error("`{route}` has a line in {place}, but no route leads there")]
    UnreachableRetry { place: String, route: String },
    #[error("`{route}` has a retention in {place}, but no route leads there")]
    UnreachableKeyRetention { place: String, route: String },
    #[error("`{route}` is limited in {place}, but no route leads there and to this component")]
    UnreachableRateLimit { place: String, route: String },

    #[error("`{component}` has not been compiled, so its imports cannot be checked")]
    NotCompiled { component: ComponentId },
    #[error("`{component}` imports `{import}`, which this host does not offer")]
    NotOffered {
        component: ComponentId,
        import: String,
        offered: Vec<String>,
    },
    #[error("`{component}` imports `{import}`, which is offered {} alone", to_whom(*is_stock))]
    OfferedToOthers {
        component: ComponentId,
        import: String,
        /// Of the component that asks.
        is_stock: bool,
    },
    #[error("`{component}` imports `{import}`, and the manifest does not say who answers it")]
    UnresolvedImport {
        component: ComponentId,
        import: String,
        exporters: Vec<ComponentId>,
    },
    #[error("`{component}` imports `{import}` from `{answerer}`, which does not export it")]
    NotExported {
        component: ComponentId,
        import: String,
        answerer: ComponentId,
        exports: Vec<String>,
    },
    #[error("`{component}` imports `{import}` without the grant for it")]
    MissingGrant {
        component: ComponentId,
        import: String,
        table: String,
        line: String,
    },
    #[error("`{component}` {because}, but does not export `{export}`")]
    MissingExport {
        component: ComponentId,
        export: &'static str,
        because: &'static str,
    },
    #[error(
        "`{component}` allows request bodies of {limit_bytes} bytes, but each is an entry of a journal, which holds {} at most",
        Limits::MAX_BODY_BYTES
    )]
    RecordedBody { component: ComponentId, limit_bytes: u64 },
    #[error(
        "`{component}` is given `{name}` in [component.{component}.environment], and a component that is journaled has no environment"
    )]
    NoEnvironment { component: ComponentId, name: String },
    #[error("`{component}` has an exclusive function `{function}`, whose interface it does not export")]
    ExclusiveNotExported {
        component: ComponentId,
        function: String,
        exports: Vec<String>,
    },
    #[error("`{component}` has a line for `{function}`, whose interface it does not export")]
    RetryNotExported {
        component: ComponentId,
        function: String,
        exports: Vec<String>,
    },
}

impl Error {
    /// What to do about it, in one sentence or a few lines to paste.
    pub fn way_out(&self) -> String {
        match self {
            Self::Syntax { .. } => "correct the line; strings need quotes, tables their brackets".into(),
            Self::UnknownKey {
                nearest: Some(nearest), ..
            } => did_you_mean(nearest),
            Self::UnknownKey { known, .. } if known.is_empty() => "remove it".into(),
            Self::UnknownKey { known, .. } => format!("remove it; known here: {}", known.join(", ")),
            Self::Unsupported { way_out, .. } | Self::Invalid { way_out, .. } => way_out.clone(),
            Self::MissingKey { key, place } => format!("add `{key} = ...` to {place}"),
            Self::WrongType { key, expected, .. } => format!("write {}", example(key, expected)),
            Self::OutOfRange { min, max, .. } => format!("choose a value from {min} to {max}"),
            Self::UnknownComponent {
                nearest: Some(nearest), ..
            } => did_you_mean(nearest),
            Self::UnknownComponent { id, .. } => format!("add a table [component.{id}], or name one that is there"),
            Self::DuplicateRoute { .. } => "remove one of the two, or make one more specific".into(),
            Self::DuplicateSchema { .. } => "give each component its own; what it wants of another it imports".into(),
            Self::AmbiguousImport { .. } => "keep one of the two".into(),
            Self::UnknownVariable {
                nearest: Some(nearest), ..
            } => did_you_mean(nearest),
            Self::UnknownVariable { name, .. } => {
                format!("declare it: {name} = {{ default = \"...\" }} in [variables]")
            }
            Self::UnsetVariable {
                environment,
                secret: true,
                ..
            } => {
                format!(
                    "set {environment} in the environment, or {environment}_FILE to the path of a file with it; a secret does not belong in \
                     this file"
                )
            }
            Self::UnsetVariable { environment, .. } => {
                format!("set {environment} in the environment, or give a default")
            }
            Self::VariableTwice { environment, .. } => format!("unset {environment} or {environment}_FILE"),
            Self::VariableFile { environment, .. } => {
                format!("set {environment}_FILE to the path of a file that the host may read")
            }
            Self::VariableOutOfBounds { environment, .. } if environment.is_empty() => {
                "write such a number there, or leave it empty for what the component takes without it".into()
            }
            Self::VariableOutOfBounds { environment, .. } => format!(
                "correct {}, or leave it empty for what the component takes without it",
                environment.join(" or ")
            ),
            Self::BoundOfNothing {
                nearest: Some(nearest), ..
            }
            | Self::UnknownKeyName {
                nearest: Some(nearest), ..
            } => did_you_mean(nearest),
            Self::BoundOfNothing { .. } => "remove it, or add the variable to the component's `variables`".into(),
            Self::UnknownKeyName { key, .. } => {
                format!("add \"{key}\" to the `keys` of the component that signs with it")
            }
            Self::UnreachableSensitive { .. }
            | Self::UnreachableException { .. }
            | Self::UnreachableRetry { .. }
            | Self::UnreachableKeyRetention { .. }
            | Self::UnreachableRateLimit { .. } => "write it as its requests arrive, or add the route".into(),
            Self::NotCompiled { .. } => "run `nexus build`".into(),
            Self::NotOffered { offered, .. } if offered.is_empty() => "build the component without it".into(),
            Self::NotOffered { offered, .. } => format!("build it against {}", offered.join(" or ")),
            Self::OfferedToOthers { is_stock: true, .. } => {
                "build it as a module, which exports `nexus:http/handler` and imports nothing of WASI 0.3 or Spin; or build it without".into()
            }
            Self::OfferedToOthers { is_stock: false, .. } => {
                "import what modules have for it (`wasi:keyvalue`, `wasi:config`, `nexus:sql`), or export `wasi:http/handler`".into()
            }
            Self::UnresolvedImport {
                component,
                import,
                exporters,
            } => resolve_with(component, import, exporters),
            Self::NotExported { exports, .. } if exports.is_empty() => "name a component that exports it".into(),
            Self::NotExported { exports, .. } => {
                format!("name a component that exports it; this one has {}", exports.join(", "))
            }
            Self::MissingGrant { table, line, .. } => format!("add to {table}:\n{line}"),
            Self::RetryNotExported { exports, .. } | Self::ExclusiveNotExported { exports, .. }
                if exports.is_empty() =>
            {
                "remove the line; it exports nothing".into()
            }
            Self::RetryNotExported { exports, .. } | Self::ExclusiveNotExported { exports, .. } => {
                format!("name a function of {}", exports.join(", "))
            }
            Self::RecordedBody { .. } => format!(
                "set `body_limit_bytes` to {} or less; more is for components that answer `wasi:http`, whose bodies are streamed",
                Limits::MAX_BODY_BYTES
            ),
            Self::NoEnvironment { component, name } => format!(
                "make it a variable, which is recorded, and read it through `wasi:config`:\n[component.{component}.variables]\n{} = \"...\"",
                name.to_lowercase()
            ),
            Self::MissingExport { export, .. } => format!("export `{export}` from its world"),
        }
    }
}

/// To whom that is offered what this kind of component is not.
fn to_whom(is_stock: bool) -> &'static str {
    match is_stock {
        true => "to modules, which are journaled,",
        false => "to components that answer `wasi:http` themselves",
    }
}

fn did_you_mean(nearest: &str) -> String {
    format!("did you mean `{nearest}`?")
}

fn example(key: &str, expected: &str) -> String {
    let value = match expected {
        "a string" => "\"...\"",
        "a list of strings" => "[\"...\"]",
        "a list of the least and the most integer" => "[0, 100]",
        "true or false" => "true",
        "an integer" => "1",
        "a number" => "1.5",
        _ => "{ ... }",
    };
    let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let quote = if is_bare { "" } else { "\"" };
    format!("`{quote}{key}{quote} = {value}`")
}

/// The lines that answer an import: one dependency when one component exports it, a choice when several do.
fn resolve_with(component: &ComponentId, import: &str, exporters: &[ComponentId]) -> String {
    match exporters {
        [] => format!(
            "no component of the manifest exports it; add one, then name it in [component.{component}.dependencies]"
        ),
        [one] => format!("add to [component.{component}.dependencies]:\n\"{import}\" = {{ component = \"{one}\" }}"),
        many => {
            let interface = import.split('@').next().unwrap_or(import);
            let listed: Vec<String> = many.iter().map(|id| format!("\"{id}\"")).collect();
            format!(
                "several export it; add one of them to [component.{component}.dependencies]:\n\
                 \"{import}\" = {{ component = {} }}\n\
                 or, to choose by name at each call, to [component.{component}.tool.nexus.providers]:\n\
                 \"{interface}\" = [{}]",
                listed[0],
                listed.join(", ")
            )
        }
    }
}
