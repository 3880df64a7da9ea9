//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use host_http::TrustedProxy;

use crate::patience::LEASE_SECONDS;

/// A marketplace of WebAssembly components on a durable host.
#[derive(Debug, Parser)]
#[command(name = "nexus", version, about, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Print JSON instead of text, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build, migrate and serve: all a new user types.
    Up(UpArgs),
    /// Build the components the manifest names.
    Build(ManifestArgs),
    /// Check manifest, components, grants and imports, and the components' SQL against the schema that their migrations make.
    ///
    /// Every statement that a component tells of (those its source writes with `sql!`) is prepared as its module, on a PostgreSQL of its own that
    /// is gone afterwards. No host is started, and no database of yours is touched.
    Check(ManifestArgs),
    /// Bring the database up to date.
    Migrate(MigrateArgs),
    /// Fill a running marketplace with a small demo, through its public interface.
    Seed(ReachArgs),
    /// Put other bytes in the place of a component's, on all running hosts. What has begun ends on the bytes it began with.
    Deploy(DeployArgs),
    /// Take the last `deploy` of a component back.
    Rollback(RollbackArgs),
    /// List the components a running host serves.
    Components(ReachArgs),
    /// List the hosts that share the database, those alive first.
    Nodes(ReachArgs),
    /// Look at invocations, and repair what is stuck.
    Invocations(InvocationsArgs),
    /// Run a stored invocation once more from its journal, without any effect: does it do the same on today's revisions?
    Replay(ReplayArgs),
    /// Look at events that could not be delivered, and replay or drop them.
    Events(EventsArgs),
    /// Complete promises that somebody else would have.
    Promises(PromisesArgs),
    /// List what operators said, newest first.
    Audit(AuditArgs),
    /// List the keys of a database, and replace them while nodes run.
    Keys(KeysArgs),
    /// Find out what is wrong with this machine, the data directory or the database.
    Doctor(DoctorArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManifestArgs {
    /// The application.
    #[arg(long, default_value = "spin.toml")]
    pub(crate) manifest: PathBuf,
    /// Where a private PostgreSQL, keys and compiled components are kept.
    #[arg(long, default_value = ".nexus")]
    pub(crate) data_dir: PathBuf,
}

/// Which database. Its URL has a password in it, which a file keeps out of the list of processes and of their environments.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArgs {
    /// A PostgreSQL (15 or later) instead of the data directory's private one; the user must be allowed to create roles.
    #[arg(
        long,
        env = "NEXUS_DATABASE_URL",
        hide_env_values = true,
        global = true,
        conflicts_with = "database_url_file"
    )]
    database_url: Option<String>,
    /// A file that holds such a URL.
    #[arg(long, env = "NEXUS_DATABASE_URL_FILE", global = true, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The URL, if one was named.
    pub(crate) fn url(&self) -> Result<Option<String>> {
        let Some(path) = &self.database_url_file else {
            return Ok(self.database_url.clone());
        };
        let url = read_secret(path).with_context(|| format!("the database URL: {}", path.display()))?;
        if url.is_empty() {
            bail!("the database URL: {} is empty", path.display());
        }
        Ok(Some(url))
    }
}

/// What a file holds, without the end of its line: an editor leaves one.
pub(crate) fn read_secret(path: &Path) -> std::io::Result<String> {
    let mut text = std::fs::read_to_string(path)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) application: ManifestArgs,
    /// Where clients come in. Port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5005")]
    pub(crate) listen: SocketAddr,
    /// Where operators come in. Port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5006")]
    pub(crate) admin: SocketAddr,
    /// A proxy in front, or a network of them, as in 10.0.0.0/8: its `X-Forwarded-For` says who a client is. May be repeated.
    #[arg(
        long = "trusted-proxy",
        env = "NEXUS_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "ADDRESS"
    )]
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Serve the components as they were last built.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Seed an empty marketplace with the demo.
    #[arg(long)]
    pub(crate) seed: bool,
    /// How long this host may be silent before the others take over what it has open. A request to another host may take 2 s less.
    #[arg(long, env = "NEXUS_LEASE_SECONDS", default_value_t = LEASE_SECONDS, value_parser = clap::value_parser!(u64).range(5..=120))]
    pub(crate) lease_seconds: u64,
    /// How long ended invocations and their journals are kept, where a component's manifest does not say.
    #[arg(long, env = "NEXUS_RETENTION_HOURS", default_value_t = 720, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    pub(crate) retention_hours: u64,
    /// The database was restored from a backup: pause whatever is open in it. Mostly this is noticed without being said.
    #[arg(long)]
    pub(crate) restored: bool,
    /// After SIGTERM, how long requests are still taken while `/ready` says 503, so that a load balancer hears of it first.
    #[arg(long, env = "NEXUS_DRAIN_GRACE_MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub(crate) drain_grace_ms: u64,
    /// Written once the host serves: {"url","admin_url","admin_token","pid"}.
    #[arg(long)]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) application: ManifestArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// List what would run.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply also what takes away something whose name is in a revision that open invocations are pinned to, or that other nodes run. Those
    /// that do use it fail.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReachArgs {
    /// The data directory of the running host: there it wrote where it listens.
    #[arg(long, default_value = ".nexus", global = true)]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InvocationsArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(subcommand)]
    pub(crate) verb: InvocationsVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum InvocationsVerb {
    /// The newest first.
    List {
        #[command(flatten)]
        choice: ChoiceArgs,
        /// At most this many, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Go on where the last list ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One of them, with its journal.
    Show {
        /// Its id.
        id: String,
    },
    /// Set paused ones going again: one, or all that the filter chooses.
    Resume(SteerArgs),
    /// Stop open ones until they are resumed: one, or all that the filter chooses.
    Pause(SteerArgs),
    /// End open ones, and undo what they did as far as that was foreseen: one, or all that the filter chooses.
    Cancel(SteerArgs),
    /// Begin ended or paused ones again as new invocations: one, or all that the filter chooses.
    Restart(SteerArgs),
    /// Let open ones go on with another revision of their component: some, or all that the filter chooses. Each is run once more first,
    /// without any effect, and stays where it is when it would do otherwise than is recorded.
    Move(MoveArgs),
    /// Answer a command of paused ones that nobody else can (an effect whose outcome is in doubt, a call that does not return): of one, or of
    /// all that the filter chooses and that have exactly one of its kind without an answer.
    ///
    /// Left alone is who has no such command without an answer, or several: it is not known which one is meant. So is what a handler had asked
    /// for that is being undone since its invocation was cancelled: it does not come to it again. What is not paused is not even looked at.
    ///
    /// An answer to many overrules an outcome that was known and not yet recorded, as of a module that traps right after its call returned: look
    /// at the other side's statement first, and at the causes that are listed without --yes.
    CompleteEntry(CompleteEntryArgs),
}

/// The arguments of [`ChoiceArgs`], none of which stands beside an id.
const CHOICE: [&str; 7] = [
    "status",
    "component",
    "function",
    "older_than",
    "cause",
    "waiting_for",
    "idempotency_key",
];

/// Which invocations: those of which all of this is true.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChoiceArgs {
    /// They stand here: running, suspended, paused, completed, failed or cancelled.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// They began in this component.
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// They began with this function, as in shop:order/purchases.checkout.
    #[arg(long)]
    pub(crate) function: Option<String>,
    /// They began longer ago than this: 30s, 10m, 2h, 7d.
    #[arg(long)]
    pub(crate) older_than: Option<String>,
    /// Why they are paused, failed or tried again holds this text, in any case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) cause: Option<String>,
    /// They are suspended and wait for this: promise, time, or a promise's id.
    #[arg(long)]
    pub(crate) waiting_for: Option<String>,
    /// They answer this idempotency key of a client.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Whose key that is: the subject of the client's token.
    #[arg(long, requires = "idempotency_key")]
    pub(crate) subject: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PromisesArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(subcommand)]
    pub(crate) verb: PromisesVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PromisesVerb {
    /// Complete one, by its id or by its name within a workflow. Those who wait for it go on.
    Complete(CompletePromiseArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletePromiseArgs {
    /// Its id, as `nexus invocations show` lists it for who waits.
    #[arg(conflicts_with_all = ["workflow", "function", "name", "component"], required_unless_present = "workflow")]
    pub(crate) id: Option<String>,
    /// The id of the workflow that it belongs to.
    #[arg(long, requires_all = ["function", "name"])]
    pub(crate) workflow: Option<String>,
    /// The workflow's interface and function, as in shop:order/purchases.checkout.
    #[arg(long)]
    pub(crate) function: Option<String>,
    /// Its name within the workflow.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The component that runs the workflow, where several have one of that id.
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// The value, as JSON.
    #[arg(long, conflicts_with = "base64", required_unless_present = "base64")]
    pub(crate) value: Option<String>,
    /// The value's bytes.
    #[arg(long)]
    pub(crate) base64: Option<String>,
    /// Why, for the audit log.
    #[arg(long)]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

/// Which invocations, and who says so.
#[derive(Debug, Clone, Args)]
pub(crate) struct SteerArgs {
    /// The id of one; without it, a filter chooses.
    #[arg(conflicts_with_all = CHOICE)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// At most this many, the newest first; all of them without.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Do it to all that a filter chooses; without it, `cancel` and `restart` only count them.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Restart also what did something that stands and would be done twice.
    #[arg(long)]
    pub(crate) force: bool,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

/// Which command of which invocations, its answer, and who says so.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompleteEntryArgs {
    /// The id of one; without it, a filter chooses.
    #[arg(
        requires = "position",
        conflicts_with_all = CHOICE
    )]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Of one: the command, as `show` lists it: `/#3`, `/0#2`.
    #[arg(long, requires = "id")]
    pub(crate) position: Option<String>,
    /// Of those that a filter chooses: what the command asked for, as `show` lists it. Its component and the version of its interface may be
    /// left out, as in shop:payment/provider.charge. Who has no such command without an answer, or several, is left alone. HTTP requests and
    /// compensations are answered by --position alone: their targets are the same whatever was asked for.
    #[arg(long, conflicts_with = "id", required_unless_present = "id")]
    pub(crate) target: Option<String>,
    /// At most this many of those that a filter chooses, the newest first; all of them without.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Do it to all that a filter chooses; without it, they are only counted, with why they are paused.
    #[arg(long)]
    pub(crate) yes: bool,
    /// The answer as JSON: of a call its result as `show` shows results, of an HTTP request `{"status", "headers", "body"}`.
    #[arg(long, conflicts_with = "base64", required_unless_present = "base64")]
    pub(crate) answer: Option<String>,
    /// The recorded bytes themselves.
    #[arg(long)]
    pub(crate) base64: Option<String>,
    /// Why: it is kept in the journal and in the audit log.
    #[arg(long)]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

/// Which invocations, where to, and who says so.
#[derive(Debug, Clone, Args)]
pub(crate) struct MoveArgs {
    /// The ids of some; without one, a filter chooses.
    #[arg(conflicts_with_all = CHOICE)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// The revision to go on with, as `nexus components --json` and `nexus deploy` show it.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) to: String,
    /// At most this many of those that a filter chooses, the newest first; all of them without.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Its name in the manifest.
    pub(crate) component: String,
    /// Its new bytes: a component in WebAssembly's binary format.
    pub(crate) file: PathBuf,
    /// Check and keep them, and leave active what is.
    #[arg(long)]
    pub(crate) no_activate: bool,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Its name in the manifest.
    pub(crate) component: String,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Its id.
    pub(crate) id: String,
    /// Bytes that stand in for one component.
    #[arg(long, value_name = "FILE")]
    pub(crate) with: Option<PathBuf>,
    /// The component that FILE stands in for; without it, the one the invocation began in.
    #[arg(long, requires = "with")]
    pub(crate) component: Option<String>,
    /// On the revisions it began with, instead of today's.
    #[arg(long)]
    pub(crate) pinned: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// What was said of this invocation.
    #[arg(long)]
    pub(crate) invocation: Option<String>,
    /// What was said of this component, and of invocations that began in it, as long as they are kept.
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// At most this many, 1 to 100.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Go on where the last list ended.
    #[arg(long)]
    pub(crate) cursor: Option<i64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct KeysArgs {
    /// Where the master key lies, unless the environment holds it.
    #[arg(long, default_value = ".nexus", global = true)]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(subcommand)]
    pub(crate) verb: KeysVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysVerb {
    /// The keys that seal payloads, the newest first.
    List,
    /// Make a new key that seals payloads. The old one is dropped with the last payload it sealed.
    Rotate {
        /// Make a new key that signs tokens instead. What the old one signed is good for 31 days.
        #[arg(long)]
        tokens: bool,
    },
    /// Replace the master key. Nodes with the old one go on until they are started with the new one, one after the other.
    RotateMaster {
        /// A file with the new key, made when it is not there: 64 hexadecimal digits. Without it, the data directory's own is replaced.
        #[arg(long)]
        new: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(subcommand)]
    pub(crate) verb: EventsVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum EventsVerb {
    /// Events that a subscription was not able to take, the newest first; and subscriptions that no manifest has any more, which events wait for.
    DeadLetters {
        /// Of one component's subscriptions.
        #[arg(long)]
        component: Option<String>,
        /// Of subscriptions of this name.
        #[arg(long)]
        subscription: Option<String>,
        /// At most this many, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Go on where the last list ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Deliver dead letters once more: one, or all that the filter chooses. What a delivery has done is not done again.
    Replay(SettleArgs),
    /// Give dead letters up, and let the events that wait for them go on: one, or all that the filter chooses. With `--subscription`, what waits
    /// for one that no manifest has any more is given up, too; without `--component`, for those of that name of all components.
    Drop(SettleArgs),
}

/// Which dead letters, and who says so.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettleArgs {
    /// The id of one, as `dead-letters` lists it; without it, a filter chooses.
    #[arg(conflicts_with_all = ["component", "subscription"])]
    pub(crate) id: Option<String>,
    /// Those of one component's subscriptions.
    #[arg(long)]
    pub(crate) component: Option<String>,
    /// Those of subscriptions of this name.
    #[arg(long)]
    pub(crate) subscription: Option<String>,
    /// At most this many, the newest first; all of them without.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Do it to all that a filter chooses; without it, `drop` only counts them.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who says so, for the audit log.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) application: ManifestArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(arguments: &[&str]) -> Result<Option<String>> {
        let cli = Cli::try_parse_from(["nexus", "migrate"].iter().chain(arguments))?;
        match cli.verb {
            Verb::Migrate(args) => args.database.url(),
            verb => bail!("{verb:?}"),
        }
    }

    #[test]
    fn the_database_url_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let file = path.to_str().unwrap();
        let absent = database(&["--database-url-file", file]).unwrap_err();
        assert!(
            format!("{absent:#}").contains(&format!("the database URL: {file}: ")),
            "{absent:#}"
        );
        std::fs::write(&path, "\n").unwrap();
        let empty = database(&["--database-url-file", file]).unwrap_err();
        assert!(empty.to_string().contains("is empty"), "{empty:#}");
        std::fs::write(&path, "postgres://u:p@db.example/x\n").unwrap();
        let url = database(&["--database-url-file", file]).unwrap();
        assert_eq!(url.as_deref(), Some("postgres://u:p@db.example/x"));

        let twice = database(&["--database-url", "postgres:///x", "--database-url-file", file]).unwrap_err();
        assert!(twice.to_string().contains("cannot be used with"), "{twice:#}");
        // Verbs of `keys` know them as well.
        let cli = Cli::try_parse_from(["nexus", "keys", "list", "--database-url-file", file]).unwrap();
        assert!(matches!(cli.verb, Verb::Keys(args) if args.database.url().unwrap() == url));
    }
}
