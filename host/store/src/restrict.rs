//! What PUBLIC may do by default and a module must not: reach beyond its transaction, its schema, or its time.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::migrate::execute;
use crate::names::{host_role, quoted};
use crate::{Result, Store};

/// Functions whose EXECUTE is revoked, all overloads of each; `%` stands for any letters.
const REVOKED: [&str; 22] = [
    // Settings are how commits are made durable and how names are found.
    "set\\_config",
    // Locks, messages and signals reach other sessions.
    "pg\\_advisory\\_%",
    "pg\\_try\\_advisory\\_%",
    "pg\\_notify",
    "pg\\_terminate\\_backend",
    "pg\\_cancel\\_backend",
    "pg\\_log\\_backend\\_memory\\_contexts",
    "pg\\_export\\_snapshot",
    // Time is the host's.
    "pg\\_sleep%",
    // Large objects lie outside of every schema.
    "lo\\_%",
    "loread",
    "lowrite",
    // Text that is run as a statement passes by the check of a statement's first keyword.
    "query\\_to\\_xml%",
    "cursor\\_to\\_xml%",
    "table\\_to\\_xml%",
    "schema\\_to\\_xml%",
    "database\\_to\\_xml%",
    "ts\\_stat",
    "ts\\_rewrite",
    // What replication reads is not a module's to write.
    "pg\\_logical\\_emit\\_message",
    "pg\\_replication\\_origin\\_%",
    "pg\\_stat\\_reset%",
];

/// What the host itself needs of them, as the owner of its functions and without being a superuser.
const KEPT: [&str; 5] = [
    "set\\_config",
    "pg\\_advisory\\_%",
    "pg\\_try\\_advisory\\_%",
    "pg\\_notify",
    "pg\\_terminate\\_backend",
];

const FUNCTIONS: &str = "SELECT oid::regprocedure::text FROM pg_proc \
    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname LIKE ANY ($1)";

impl Store {
    /// Takes from PUBLIC what modules must not have, as far as our user may; done again at every start, since a restored or
    /// upgraded database has it all back. Returns what could not be taken, for the operator.
    pub async fn restrict_public(&self) -> Result<Vec<String>> {
        let mut session = self.exclusive_session().await?;
        let remaining = self.restrict(&mut session).await?;
        session.close().await?;
        Ok(remaining)
    }

    pub(crate) async fn restrict(&self, session: &mut PgConnection) -> Result<Vec<String>> {
        let database = quoted(self.database());
        // Where the right is missing these say so with a warning; what counts is what remains.
        execute(
            session,
            format!("REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC"),
        )
        .await?;
        let public: bool = sqlx::query_scalar("SELECT to_regnamespace('public') IS NOT NULL")
            .fetch_one(&mut *session)
            .await?;
        if public {
            execute(session, "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned()).await?;
        }
        let open = open_functions(session).await?;
        if !open.is_empty() {
            let kept: Vec<String> = sqlx::query_scalar(FUNCTIONS)
                .bind(&KEPT[..])
                .fetch_all(&mut *session)
                .await?;
            let role = quoted(&host_role(self.database()));
            execute(
                session,
                format!("GRANT EXECUTE ON FUNCTION {} TO {role}", kept.join(", ")),
            )
            .await?;
            execute(
                session,
                format!("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC", open.join(", ")),
            )
            .await?;
        }

        open_to_public(session).await
    }
}

/// What PUBLIC may still do that modules must not.
pub(crate) async fn open_to_public(session: &mut PgConnection) -> Result<Vec<String>> {
    let mut open = open_functions(session).await?;
    let rights: (bool, bool, bool) = sqlx::query_as(
        "SELECT has_database_privilege('public', current_database(), 'CREATE'),
                has_database_privilege('public', current_database(), 'TEMPORARY'),
                coalesce((SELECT has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'), false)",
    )
    .fetch_one(session)
    .await?;
    for (still, right) in [
        (rights.0, "CREATE on the database"),
        (rights.1, "TEMPORARY on the database"),
        (rights.2, "CREATE on the schema public"),
    ] {
        if still {
            open.push(right.to_owned());
        }
    }
    Ok(open)
}

async fn open_functions(session: &mut PgConnection) -> Result<Vec<String>> {
    let open = format!("{FUNCTIONS} AND has_function_privilege('public', oid, 'EXECUTE') ORDER BY 1");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(open))
        .bind(&REVOKED[..])
        .fetch_all(session)
        .await?)
}
