//! A module's place in the database: its schema, the role that owns it, and the role its sessions log in as.
//!
//! The runtime role is the session user of those connections. It owns nothing and is a member of nothing: there is no role
//! it could become.

use std::fmt;

use ring::hmac;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::migrate::execute;
use crate::names::{check_schema, literal, owner_role, quoted, runtime_role};
use crate::{Result, Store, scram};

/// How a module's sessions log in.
#[derive(Clone, PartialEq, Eq)]
pub struct ModuleLogin {
    /// The role.
    pub role: String,
    /// Its password, the same on every node with the same master key.
    pub password: String,
}

impl fmt::Debug for ModuleLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleLogin({}, ..)", self.role)
    }
}

impl Store {
    /// Makes a module's schema and roles, or puts them right. [`Store::migrate_host`] comes first. Safe on several nodes at
    /// once, and any number of times.
    pub async fn provision_module(&self, schema: &str) -> Result<ModuleLogin> {
        check_schema(schema)?;
        let login = self.login(schema);
        let owner = owner_role(self.database(), schema);
        let mut session = self.exclusive_session().await?;
        let mut transaction = session.begin().await?;
        self.ensure_role(&mut transaction, &owner, schema, "NOLOGIN").await?;
        self.ensure_role(&mut transaction, &login.role, schema, "LOGIN NOINHERIT")
            .await?;

        let verifier = literal(&scram::verifier(&login.password, self.salt(&login.role)));
        let (schema, owner, runtime) = (quoted(schema), quoted(&owner), quoted(&login.role));
        execute(
            &mut transaction,
            format!(
                "
            ALTER ROLE {runtime} PASSWORD {verifier};
            ALTER ROLE {runtime} SET search_path = {schema};
            CREATE SCHEMA IF NOT EXISTS {schema};
            ALTER SCHEMA {schema} OWNER TO {owner};
            REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {runtime};
            SET LOCAL ROLE {owner};
            GRANT USAGE ON SCHEMA {schema} TO {runtime};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {runtime};
            GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {runtime};
            ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime};
            ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {runtime};
            RESET ROLE;
            DO $$ BEGIN
                IF to_regclass('{schema}._sqlx_migrations') IS NOT NULL THEN
                    REVOKE ALL ON {schema}._sqlx_migrations FROM {runtime};
                END IF;
            END $$;
            GRANT USAGE ON SCHEMA host TO {runtime};
            GRANT EXECUTE ON FUNCTION host.append, host.start, host.send, host.claim,
                host.create_promise, host.complete_promise, host.set_key_value, host.delete_key_value,
                host.start_workflow, host.take_place, host.give_up_places, host.publish,
                host.publish_traced TO {runtime};
        "
            ),
        )
        .await?;
        transaction.commit().await?;
        session.close().await?;
        Ok(login)
    }

    fn login_key(&self) -> &hmac::Key {
        let known = self.inner.login_key.get();
        known.expect("migrate_host ran before the first module was provided for")
    }

    fn login(&self, schema: &str) -> ModuleLogin {
        let role = runtime_role(self.database(), schema);
        let password = hmac::sign(self.login_key(), format!("password {role}").as_bytes());
        ModuleLogin {
            role,
            password: password.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Derived too: the same verifier every time, so that nodes do not undo each other's.
    fn salt(&self, role: &str) -> [u8; 16] {
        let derived = hmac::sign(self.login_key(), format!("salt {role}").as_bytes());
        let mut salt = [0; 16];
        salt.copy_from_slice(&derived.as_ref()[..16]);
        salt
    }

    /// Makes a role with `attributes` unless it is there, and takes every membership from it. Roles belong to the whole server:
    /// one that is another database's, or a person's, is left alone.
    pub(crate) async fn ensure_role(
        &self,
        session: &mut PgConnection,
        role: &str,
        schema: &str,
        attributes: &str,
    ) -> Result<()> {
        let belongs_to = format!("nexus: schema {schema:?} of database {:?}", self.database());
        let found: Option<Option<String>> =
            sqlx::query_scalar("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1")
                .bind(role)
                .fetch_optional(&mut *session)
                .await?;
        let quoted_role = quoted(role);
        match found {
            None => {
                execute(
                    session,
                    format!(
                        "CREATE ROLE {quoted_role} {attributes}; COMMENT ON ROLE {quoted_role} IS {}",
                        literal(&belongs_to),
                    ),
                )
                .await?;
            }
            Some(Some(comment)) if comment == belongs_to => {}
            Some(_) => {
                return Err(crate::Error::RoleTaken {
                    role: role.to_owned(),
                    belongs_to,
                });
            }
        }
        let memberships: Vec<String> = sqlx::query_scalar(
            "SELECT granted.rolname FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid
             WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)",
        )
        .bind(role)
        .fetch_all(&mut *session)
        .await?;
        for granted in memberships {
            execute(session, format!("REVOKE {} FROM {quoted_role}", quoted(&granted))).await?;
        }
        // Who is not a superuser needs to be a member to act as the role, and to end its connections.
        let member: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, $1, 'MEMBER')")
            .bind(role)
            .fetch_one(&mut *session)
            .await?;
        if !member {
            execute(session, format!("GRANT {quoted_role} TO CURRENT_USER")).await?;
        }
        Ok(())
    }
}
