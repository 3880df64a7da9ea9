//! Migrations: the host's own, embedded, and those of the modules, from their folders.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ring::hmac;
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::drops::{self, MigrateOptions, Shape};
use crate::names::{check_schema, host_role, owner_role, quoted, runtime_role, view_role};
use crate::rate_limits::RATE_LIMITS;
use crate::store::MODULE_LOGINS;
use crate::{Error, Result, Store};

static HOST: Migrator = sqlx::migrate!("../../migrations/host");
const HOST_SCHEMA: &str = "host";
/// What operators may read of it.
const VIEW_SCHEMA: &str = "host_view";
/// In each schema.
const TABLE: &str = "_sqlx_migrations";

/// A file that has not been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    /// The schema it changes.
    pub schema: String,
    /// The file's name.
    pub file: String,
}

impl Store {
    /// Makes or updates the schema `host` and whatever depends on it: the role that owns it, partitions for the time to come,
    /// a data key, and what PUBLIC may not do. Safe on several nodes at once.
    pub async fn migrate_host(&self) -> Result<()> {
        let mut session = self.exclusive_session().await?;
        let role = host_role(self.database());
        self.ensure_role(&mut session, &role, HOST_SCHEMA, "NOLOGIN").await?;
        let (schema, owner) = (quoted(HOST_SCHEMA), quoted(&role));
        execute(
            &mut session,
            format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}"),
        )
        .await?;
        execute(
            &mut session,
            format!("CREATE SCHEMA IF NOT EXISTS {VIEW_SCHEMA} AUTHORIZATION {owner}"),
        )
        .await?;
        let unrestricted = self.restrict(&mut session).await?;
        if !unrestricted.is_empty() {
            tracing::warn!(
                count = unrestricted.len(),
                "modules may call functions that only a superuser can revoke"
            );
        }
        check_use(&mut session).await?;
        drop_half_made_indexes(&mut session).await?;
        let schema_run = SchemaRun::new(&HOST, HOST_SCHEMA, &role, Path::new("migrations/host"));
        schema_run.begin(&mut session).await?;
        schema_run.end(&mut session).await?;
        self.open_views(&mut session).await?;
        sqlx::query("SELECT host.create_partitions($1)")
            .bind(crate::upkeep::MONTHS_AHEAD)
            .execute(&mut session)
            .await?;
        self.inner.keys.ensure(&mut session).await?;
        self.inner.keys.ensure_master(&mut session).await?;
        self.ensure_secrets(&mut session).await?;
        session.close().await?;
        let keys = [
            (MODULE_LOGINS, &self.inner.login_key),
            (RATE_LIMITS, &self.inner.bucket_key),
        ];
        for (purpose, key) in keys {
            if let Some(secret) = self.secret(purpose).await?.first() {
                key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, secret));
            }
        }
        Ok(())
    }

    /// The role that reads the views: for an operator's own login to be a member of.
    async fn open_views(&self, session: &mut PgConnection) -> Result<()> {
        let role = view_role(self.database());
        self.ensure_role(session, &role, VIEW_SCHEMA, "NOLOGIN").await?;
        let role = quoted(&role);
        execute(
            session,
            format!(
                "GRANT USAGE ON SCHEMA {VIEW_SCHEMA} TO {role};
                 GRANT SELECT ON ALL TABLES IN SCHEMA {VIEW_SCHEMA} TO {role};
                 GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {VIEW_SCHEMA} TO {role}"
            ),
        )
        .await
    }

    /// Applies the files of `folder` to a module's schema, as the role that owns it, each in a transaction.
    /// [`Error::MigrationDropsUsed`] at the first that takes away what may still be used. [`Store::provision_module`] comes first.
    pub async fn migrate_module(&self, schema: &str, folder: &Path, options: &MigrateOptions<'_>) -> Result<()> {
        check_schema(schema)?;
        let migrator = read(folder).await?;
        let mut session = self.exclusive_session().await?;
        let role = owner_role(self.database(), schema);
        let unapplied = self.unapplied(&migrator, schema, folder).await?;
        let mut outside = unapplied.iter().filter(|migration| migration.no_tx);
        if let Some(harmful) = outside.find(|migration| !drops::is_harmless(migration.sql.as_str())) {
            let file = folder.join(file_name(harmful));
            return Err(Error::MigrationOutsideTransaction { file });
        }
        // Where nobody is now nobody comes before the lock is free: a node migrates before it registers.
        let is_in_use = !unapplied.is_empty() && drops::is_in_use(&mut session, options).await?;
        let schema_run = SchemaRun::new(&migrator, schema, &role, folder);
        schema_run.begin(&mut session).await?;
        if is_in_use {
            for migration in unapplied {
                schema_run.apply(&mut session, migration, options).await?;
            }
        }
        schema_run.end(&mut session).await?;
        // The module's own rights extend to every table of its schema, but this one is not the module's to change.
        let (table, runtime) = (table(schema), quoted(&runtime_role(self.database(), schema)));
        execute(&mut session, format!("REVOKE ALL ON {table} FROM {runtime}")).await?;
        session.close().await?;
        Ok(())
    }

    /// What [`Store::migrate_host`] would apply.
    pub async fn pending_host(&self) -> Result<Vec<PendingMigration>> {
        self.pending(&HOST, HOST_SCHEMA, Path::new("migrations/host")).await
    }

    /// What [`Store::migrate_module`] would apply.
    pub async fn pending_module(&self, schema: &str, folder: &Path) -> Result<Vec<PendingMigration>> {
        check_schema(schema)?;
        self.pending(&read(folder).await?, schema, folder).await
    }

    async fn pending(&self, migrator: &Migrator, schema: &str, folder: &Path) -> Result<Vec<PendingMigration>> {
        let unapplied = self.unapplied(migrator, schema, folder).await?.into_iter();
        let pending = unapplied.map(|migration| PendingMigration {
            schema: schema.to_owned(),
            file: file_name(migration),
        });
        Ok(pending.collect())
    }

    async fn unapplied<'a>(&self, migrator: &'a Migrator, schema: &str, folder: &Path) -> Result<Vec<&'a Migration>> {
        let table = table(schema);
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&table)
            .fetch_one(self.pool())
            .await?;
        let applied: Vec<(i64, Vec<u8>)> = match exists {
            true => {
                sqlx::query_as(AssertSqlSafe(format!("SELECT version, checksum FROM {table}")))
                    .fetch_all(self.pool())
                    .await?
            }
            false => Vec::new(),
        };
        let applied: HashMap<i64, Vec<u8>> = applied.into_iter().collect();
        let mut unapplied = Vec::new();
        for migration in migrator.iter() {
            match applied.get(&migration.version) {
                Some(checksum) if checksum[..] == migration.checksum[..] => {}
                Some(_) => {
                    return Err(Error::MigrationChanged {
                        file: folder.join(file_name(migration)),
                    });
                }
                None => unapplied.push(migration),
            }
        }
        Ok(unapplied)
    }
}

/// Refuses a schema that is for newer programs. One that is newer and still for this program too is used as it is.
pub(crate) async fn check_use(session: &mut PgConnection) -> Result<()> {
    // Before the table there was nothing newer; the first statement is parsed where it does not exist, too.
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('host.schema_use') IS NOT NULL")
        .fetch_one(&mut *session)
        .await?;
    if !exists {
        return Ok(());
    }
    let from: i32 = sqlx::query_scalar("SELECT known_from FROM host.schema_use")
        .fetch_one(session)
        .await?;
    check_known(from)
}

/// Refuses a schema that is for programs which know migrations from `from` on.
pub(crate) fn check_known(from: i32) -> Result<()> {
    let known = newest_known();
    match from <= known {
        true => Ok(()),
        false => Err(Error::SchemaTooNew { known, from }),
    }
}

/// The number of the newest migration of the host's schema that this program has.
pub(crate) fn newest_known() -> i32 {
    let newest = HOST.iter().map(|migration| migration.version).max();
    newest.and_then(|version| i32::try_from(version).ok()).unwrap_or(0)
}

/// An index that was being made CONCURRENTLY when its maker died is there, of no use, and in the way of the next try. Whoever holds the lock
/// knows that nobody is making one.
async fn drop_half_made_indexes(session: &mut PgConnection) -> Result<()> {
    let drop = format!(
        "DO $$
         DECLARE
             v_index regclass;
         BEGIN
             FOR v_index IN SELECT indexrelid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                 WHERE relnamespace = '{HOST_SCHEMA}'::regnamespace AND relkind = 'i' AND NOT indisvalid
             LOOP
                 EXECUTE format('DROP INDEX %s', v_index);
             END LOOP;
         END $$"
    );
    execute(session, drop).await
}

pub(crate) async fn execute(session: &mut PgConnection, statement: String) -> Result<()> {
    session.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

async fn read(folder: &Path) -> Result<Migrator> {
    Migrator::new(folder.to_owned())
        .await
        .map_err(|error| Error::MigrationFolder {
            folder: folder.to_owned(),
            source: match error {
                MigrateError::Source(source) => source,
                other => Box::new(other),
            },
        })
}

/// The files of a schema, on their way into it.
struct SchemaRun<'a> {
    migrator: Migrator,
    schema: &'a str,
    /// Who owns the schema.
    role: &'a str,
    folder: &'a Path,
}

impl<'a> SchemaRun<'a> {
    fn new(files: &Migrator, schema: &'a str, role: &'a str, folder: &'a Path) -> Self {
        let mut migrator = Migrator {
            migrations: Cow::Owned(files.migrations.to_vec()),
            // The session holds a lock already, and the role may not take one.
            locking: false,
            // The host's schema may be newer than this program, and says for itself which programs may use it.
            ignore_missing: schema == HOST_SCHEMA,
            ..Migrator::DEFAULT
        };
        migrator.dangerous_set_table_name(table(schema));
        Self {
            migrator,
            schema,
            role,
            folder,
        }
    }

    /// From here to [`SchemaRun::end`] the session is the owner's.
    async fn begin(&self, session: &mut PgConnection) -> Result<()> {
        let (role, schema) = (quoted(self.role), quoted(self.schema));
        execute(session, format!("SET ROLE {role}; SET search_path = {schema}")).await
    }

    /// Applies all files that are left, and looks at those that were applied.
    async fn end(&self, session: &mut PgConnection) -> Result<()> {
        self.run_until(None, session).await?;
        execute(session, "RESET ROLE; RESET search_path".to_owned()).await
    }

    /// Applies the next file, unless it takes away what somebody may still use.
    async fn apply(
        &self,
        session: &mut PgConnection,
        migration: &Migration,
        options: &MigrateOptions<'_>,
    ) -> Result<()> {
        if migration.no_tx {
            return self.run_until(Some(migration.version), session).await;
        }
        let mut transaction = session.begin().await?;
        let before = Shape::read(&mut transaction, self.schema).await?;
        self.run_until(Some(migration.version), &mut transaction).await?;
        let removals = before.removed_until(&Shape::read(&mut transaction, self.schema).await?);
        if !removals.is_empty() {
            // The owner of a module's schema may not read the host's.
            execute(&mut transaction, "SET LOCAL ROLE NONE".to_owned()).await?;
            let uses = drops::uses(&mut transaction, &removals, options).await?;
            let file = || self.folder.join(file_name(migration));
            match uses.is_empty() {
                true => {}
                false if options.force => {
                    tracing::warn!(file = %file().display(), uses = uses.join("; "), "applied, as an operator insists");
                }
                false => return Err(Error::MigrationDropsUsed { file: file(), uses }),
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn run_until(&self, version: Option<i64>, session: &mut PgConnection) -> Result<()> {
        let outcome = self.migrator.run_direct(version, session, false).await;
        outcome.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: MigrateError) -> Error {
        let file = |version: i64| {
            let found = self.migrator.iter().find(|migration| migration.version == version);
            self.folder.join(found.map_or_else(|| version.to_string(), file_name))
        };
        match error {
            MigrateError::VersionMismatch(version) => Error::MigrationChanged { file: file(version) },
            MigrateError::VersionMissing(version) => Error::MigrationMissing {
                schema: self.schema.to_owned(),
                version,
            },
            MigrateError::ExecuteMigration(source, _) if is_for_newer_nodes(&source) => Error::OldNodes(
                source
                    .as_database_error()
                    .map_or_else(String::new, |answer| answer.message().to_owned()),
            ),
            MigrateError::ExecuteMigration(source, version) => Error::MigrationFailed {
                file: file(version),
                source,
            },
            MigrateError::Execute(error) => error.into(),
            other => Error::MigrationFolder {
                folder: self.folder.to_owned(),
                source: Box::new(other),
            },
        }
    }
}

/// Whether a migration would take away what a live node needs: see `require_nodes`.
fn is_for_newer_nodes(error: &sqlx::Error) -> bool {
    const SQLSTATE_OLD_NODES: &str = "NX005";
    let code = error.as_database_error().and_then(|answer| answer.code());
    code.is_some_and(|code| code == SQLSTATE_OLD_NODES)
}

fn table(schema: &str) -> String {
    format!("{}.{TABLE}", quoted(schema))
}

/// The name by the convention of `migrations/`; the driver keeps its parts alone.
fn file_name(migration: &Migration) -> String {
    format!(
        "{:04}_{}.sql",
        migration.version,
        migration.description.replace(' ', "_")
    )
}
