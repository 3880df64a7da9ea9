//! Ways out of the module's own schema by SQL, and into the journal. Each statement is tried as one that only reads, as a
//! transaction of its own, and after a statement that is allowed.

use anyhow::{Context, Result, ensure};

use crate::attacked::{Attacked, Told};
use crate::neighbour::Neighbour;

/// The host does not pass it on: it is no data statement.
const NOT_DATA: &str = "0A000";
const DENIED: &str = "42501";
const READ_ONLY: &str = "25006";
const SYNTAX: &str = "42601";
const UNDEFINED_FUNCTION: &str = "42883";
const UNDEFINED_TABLE: &str = "42P01";
const WRONG_TOKEN: &str = "NX001";

/// What every one of some statements is refused with.
struct Refused {
    what: &'static str,
    code: &'static str,
    statements: &'static [&'static str],
}

const REFUSED: &[Refused] = &[
    Refused {
        what: "another schema",
        code: DENIED,
        statements: &[
            "SELECT * FROM bench.item",
            "SELECT stock FROM bench.item WHERE id = 1 FOR UPDATE",
            "INSERT INTO bench.purchase (item_id, quantity, amount) VALUES (1, 1, 1)",
            "UPDATE bench.item SET stock = 0",
            "DELETE FROM bench.item",
            "MERGE INTO bench.item USING item ON bench.item.id = item.id WHEN MATCHED THEN DELETE",
            "WITH gone AS (DELETE FROM bench.item RETURNING id) SELECT * FROM gone",
            "SELECT nextval('bench.purchase_id_seq')",
            "SELECT 'bench.item'::regclass",
            "SELECT has_table_privilege('bench.item', 'SELECT')",
            "SELECT * FROM hostile._sqlx_migrations",
            "UPDATE hostile._sqlx_migrations SET checksum = ''",
            "SELECT * FROM bench._sqlx_migrations",
        ],
    },
    Refused {
        what: "names without a schema are the module's own",
        code: UNDEFINED_TABLE,
        statements: &[
            "SELECT * FROM purchase",
            "SELECT * FROM journal_entry",
            "DELETE FROM node",
        ],
    },
    Refused {
        what: "the host's tables",
        code: DENIED,
        statements: &[
            "SELECT * FROM host.node",
            "SELECT token_hash FROM host.node",
            "SELECT * FROM host.invocation",
            "SELECT * FROM host.journal_entry",
            "SELECT * FROM host.journal_entry_default",
            "SELECT * FROM host.data_key",
            "SELECT * FROM host.idempotency_key",
            "SELECT * FROM host.revision",
            "SELECT * FROM host._sqlx_migrations",
            "INSERT INTO host.journal_entry VALUES (gen_random_uuid(), 0, '')",
            "UPDATE host.journal_entry SET body = ''",
            "DELETE FROM host.journal_entry",
            "DELETE FROM host.invocation",
            "UPDATE host.invocation SET status = 'completed'",
            "UPDATE host.node SET gone_at = now()",
            "WITH gone AS (DELETE FROM host.idempotency_key RETURNING key) SELECT * FROM gone",
            "SELECT host.create_partitions(1)",
            "SELECT host.drop_oldest_partition(now())",
            "SELECT host.forget_stragglers(now())",
            "SELECT host.check_node(gen_random_uuid(), '')",
            "SELECT nextval('host.deployment_number_seq')",
        ],
    },
    Refused {
        what: "the host's functions without a node's token",
        code: WRONG_TOKEN,
        statements: &[
            "SELECT host.append(gen_random_uuid(), '\\x00', gen_random_uuid(), 1, ARRAY['\\x00'::bytea], NULL)",
            "SELECT host.append(NULL, NULL, gen_random_uuid(), 1, ARRAY['\\x00'::bytea], 'completed')",
            "SELECT * FROM host.append(gen_random_uuid(), sha256(''), gen_random_uuid(), 7, ARRAY[''::bytea], NULL)",
            "SELECT host.start(gen_random_uuid(), '', gen_random_uuid(), ARRAY[''::bytea], 'shop', 'f', 1, NULL, NULL, 'running')",
            "SELECT host.send(gen_random_uuid(), '', gen_random_uuid(), '', 'shop', 'f', 1, NULL, NULL, 0)",
            "SELECT host.claim(gen_random_uuid(), '', sha256(''), sha256(''), gen_random_uuid(), 0)",
            "WITH forged AS (SELECT host.append(gen_random_uuid(), '', gen_random_uuid(), 1, ARRAY[''::bytea], NULL)) SELECT * FROM forged",
        ],
    },
    Refused {
        what: "the catalogue's secrets and the server's files",
        code: DENIED,
        statements: &[
            "SELECT * FROM pg_authid",
            "SELECT rolpassword FROM pg_catalog.pg_authid",
            "SELECT * FROM pg_shadow",
            "SELECT stavalues1::text FROM pg_statistic",
            "SELECT * FROM pg_largeobject",
            "SELECT * FROM pg_user_mapping",
            "SELECT * FROM pg_hba_file_rules",
            "SELECT * FROM pg_file_settings",
            "SELECT * FROM pg_config",
            "SELECT * FROM pg_backend_memory_contexts",
            "SELECT current_setting('data_directory')",
            "SELECT current_setting('hba_file')",
            "SELECT pg_read_file('PG_VERSION')",
            "SELECT pg_read_binary_file('global/pg_control')",
            "SELECT pg_stat_file('PG_VERSION')::text",
            "SELECT pg_ls_dir('.')",
            "SELECT pg_ls_logdir()::text",
            "SELECT pg_ls_waldir()::text",
            "SELECT pg_current_logfile()",
            "SELECT lo_import('/etc/passwd')",
            "SELECT lo_export(1, '/tmp/out')",
            "SELECT lo_create(0)",
            "SELECT lo_from_bytea(0, '')",
            "UPDATE pg_catalog.pg_proc SET prosecdef = false",
            "DELETE FROM pg_catalog.pg_class",
        ],
    },
    Refused {
        what: "settings",
        code: DENIED,
        statements: &[
            "SELECT set_config('synchronous_commit', 'off', false)",
            "SELECT set_config('synchronous_commit', 'off', true)",
            "SELECT pg_catalog.set_config('search_path', 'bench', false)",
            "SELECT set_config('default_transaction_read_only', 'off', false)",
            "SELECT set_config('session_authorization', 'postgres', false)",
            "SELECT set_config('role', 'none', false)",
            "UPDATE pg_settings SET setting = 'off' WHERE name = 'synchronous_commit'",
            "UPDATE pg_settings SET setting = 'bench' WHERE name = 'search_path'",
        ],
    },
    Refused {
        what: "what reaches other sessions, or the time",
        code: DENIED,
        statements: &[
            "SELECT pg_notify('nexus_wake', 'due')",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_lock(1, 2)",
            "SELECT pg_advisory_unlock_all()",
            "SELECT pg_sleep(100)",
            "SELECT pg_sleep_for('100 s')",
            "SELECT pg_sleep_until(now() + interval '1 hour')",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
            "SELECT pg_export_snapshot()",
            "SELECT pg_reload_conf()",
            "SELECT pg_rotate_logfile()",
            "SELECT pg_switch_wal()::text",
            "SELECT pg_stat_reset()",
            "SELECT pg_logical_emit_message(false, 'p', 'm')::text",
            "SELECT pg_create_physical_replication_slot('slot')::text",
            "SELECT pg_log_backend_memory_contexts(1)",
        ],
    },
    Refused {
        what: "text that is run as a statement",
        code: DENIED,
        statements: &[
            "SELECT query_to_xml('DELETE FROM item', true, true, '')::text",
            "SELECT table_to_xml('item', true, true, '')::text",
            "SELECT schema_to_xml('bench', true, true, '')::text",
            "SELECT database_to_xml(true, true, '')::text",
            "SELECT cursor_to_xml('c', 1, true, true, '')::text",
            "SELECT * FROM ts_stat('SELECT null::tsvector')",
            "SELECT ts_rewrite('a'::tsquery, 'SELECT null::tsquery, null::tsquery')::text",
        ],
    },
    Refused {
        what: "what is not there",
        code: UNDEFINED_FUNCTION,
        statements: &[
            "SELECT dblink('dbname=postgres', 'SELECT 1')",
            "SELECT dblink_connect('host=localhost')",
        ],
    },
    Refused {
        what: "new objects by a SELECT",
        code: DENIED,
        statements: &[
            "SELECT 1 AS a INTO mine",
            "SELECT 1 AS a INTO public.mine",
            "SELECT 1 AS a INTO bench.mine",
            "SELECT 1 AS a INTO TEMP mine",
            "SELECT 1 AS a INTO TEMPORARY TABLE item",
            "SELECT 1 AS a INTO UNLOGGED mine",
        ],
    },
    Refused {
        what: "several statements at once",
        code: SYNTAX,
        statements: &[
            "SELECT 1; SELECT 2",
            "SELECT 1; COMMIT",
            "SELECT 1; COMMIT; DELETE FROM bench.item; BEGIN",
            "SELECT 1;\n--\nSET ROLE postgres",
            "SELECT 'a'';'; ROLLBACK",
        ],
    },
    Refused {
        what: "what is no data statement, however it begins",
        code: NOT_DATA,
        statements: &[
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SET synchronous_commit = off",
            "SET LOCAL synchronous_commit = off",
            "SET search_path = bench",
            "SET TRANSACTION READ WRITE",
            "RESET ALL",
            "RESET ROLE",
            "SHOW data_directory",
            "ALTER ROLE CURRENT_USER SET synchronous_commit = off",
            "ALTER SYSTEM SET synchronous_commit = off",
            "ALTER DATABASE postgres SET synchronous_commit = off",
            "GRANT ALL ON item TO PUBLIC",
            "BEGIN",
            "START TRANSACTION READ WRITE",
            "COMMIT",
            "COMMIT AND CHAIN",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT a",
            "RELEASE nexus_1",
            "ROLLBACK TO SAVEPOINT nexus_1",
            "PREPARE TRANSACTION 'a'",
            "COMMIT PREPARED 'a'",
            "PREPARE a AS DELETE FROM item",
            "EXECUTE a",
            "EXECUTE s1",
            "DEALLOCATE ALL",
            "DISCARD ALL",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "FETCH ALL FROM c",
            "LISTEN nexus_wake",
            "NOTIFY nexus_wake, 'due'",
            "UNLISTEN *",
            "LOCK TABLE item",
            "DO $$ BEGIN COMMIT; END $$",
            "DO LANGUAGE plpgsql $$ BEGIN PERFORM 1; END $$",
            "CALL nothing()",
            "COPY item TO '/tmp/out'",
            "COPY (SELECT 1) TO PROGRAM 'sh'",
            "COPY item FROM STDIN",
            "LOAD 'dblink'",
            "CREATE TABLE mine ()",
            "CREATE TEMP TABLE mine ()",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE EXTENSION dblink",
            "CREATE SCHEMA mine",
            "DROP TABLE item",
            "TRUNCATE item",
            "ALTER TABLE item ADD COLUMN mine text",
            "VACUUM",
            "ANALYZE",
            "CHECKPOINT",
            "EXPLAIN ANALYZE DELETE FROM item",
            "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
            "REFRESH MATERIALIZED VIEW a",
            "SECURITY LABEL ON TABLE item IS ''",
            "TABLE item",
            "/* SELECT */ COMMIT",
            "/* /* SELECT */ */ COMMIT",
            "-- SELECT\nCOMMIT",
            "--\rCOMMIT",
            " \t\n\r\u{b}\u{c}COMMIT",
            "(((COMMIT",
            "; COMMIT",
            ";",
            "",
            "\u{feff}SELECT 1",
            "\u{a0}SELECT 1",
            "\u{3000}COMMIT",
            "ＳＥＬＥＣＴ 1",
            "SELECT\u{200b}1",
            "\"SELECT\" 1",
            "U&\"SELECT\" 1",
            "\\! SELECT",
            "SELECTED",
            "$$SELECT$$",
            "'SELECT'",
            "1 SELECT",
            "SELECT 1\0; COMMIT",
        ],
    },
];

/// What is refused only where it is to read.
const WRITES: [&str; 6] = [
    "INSERT INTO trace (name) VALUES ('a query wrote')",
    "UPDATE item SET amount = 7",
    "WITH gone AS (DELETE FROM item RETURNING id) SELECT id FROM gone",
    "WITH a AS (INSERT INTO trace (name) VALUES ('a query wrote') RETURNING id) SELECT * FROM a",
    "SELECT id FROM item FOR UPDATE",
    "SELECT nextval('trace_id_seq')",
];

/// What is answered, and with what: nothing that is somebody else's.
const ANSWERED: [(&str, &str); 12] = [
    ("SELECT session_user = current_user", "Value::Boolean(true)"),
    (
        "SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = current_user)",
        "0",
    ),
    (
        "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = current_user",
        "0",
    ),
    (
        "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)",
        "0",
    ),
    ("SELECT count(*) FROM pg_roles WHERE rolpassword <> '********'", "0"),
    (
        "SELECT count(*) FROM pg_stat_activity WHERE usename IS DISTINCT FROM current_user AND query NOT IN ('', '<insufficient privilege>')",
        "0",
    ),
    (
        "SELECT count(*) FROM pg_stats WHERE schemaname IN ('bench', 'host')",
        "0",
    ),
    (
        "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('bench', 'host')",
        "0",
    ),
    (
        "SELECT count(*) FROM pg_settings WHERE name IN ('data_directory', 'config_file', 'hba_file')",
        "0",
    ),
    ("SELECT current_setting('search_path')", "\"hostile\""),
    ("SELECT current_setting('default_transaction_read_only')", "on"),
    ("SELECT current_setting('synchronous_commit')", "on"),
];

/// All that must be as it was, as one text: every row but those of the nodes, which tell of time.
const EVERYTHING: [&str; 11] = [
    "host.invocation",
    "host.journal_entry",
    "host.idempotency_key",
    "host.deployment",
    "host.deployment_component",
    "host.data_key",
    "bench.item",
    "bench.purchase",
    "hostile.item",
    "hostile.trace",
    "(SELECT oid, relname, relowner, relacl FROM pg_class WHERE relnamespace IN ('host'::regnamespace, 'bench'::regnamespace, 'hostile'::regnamespace) UNION ALL SELECT setdatabase, 'setting', setrole, NULL FROM pg_db_role_setting WHERE setconfig::text LIKE '%synchronous%')",
];

async fn everything(attacked: &Attacked) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for table in EVERYTHING {
        let rows = format!("SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t");
        all.extend(attacked.audit.texts(&rows).await?);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_leaves_the_modules_schema_or_touches_the_journal() -> Result<()> {
    let attacked = Attacked::start().await?;
    // Somebody has to have something worth stealing, in the tables, in the statistics, in the journal.
    let victim = Neighbour::begin(&attacked.client);
    attacked
        .audit
        .becomes("SELECT least(count(*), 10) FROM bench.purchase", 10)
        .await?;
    victim.noticed_nothing(&attacked).await?;
    attacked.audit.change("ANALYZE").await?;
    attacked.audit.settled().await?;
    let before = everything(&attacked).await?;

    let mut wrong = Vec::new();
    for Refused { what, code, statements } in REFUSED {
        for way in ["query", "execute"] {
            let told = attacked.statements(way, statements).await?;
            for (statement, told) in statements.iter().zip(told) {
                let refused = match &told {
                    Told::Refused { code: found, message } => {
                        // That it would write is found before that it may not.
                        let expected = found == code || (way == "query" && found == READ_ONLY);
                        expected && !message.is_empty()
                    }
                    Told::Rows(_) => false,
                };
                if !refused {
                    wrong.push(format!("{what}: {way} {statement:?}: {told:?} instead of {code}"));
                }
            }
        }
        // In the midst of a transaction, and what the transaction is then good for.
        for statement in *statements {
            let told = attacked
                .statements("transaction", &["UPDATE item SET amount = 9", statement])
                .await?;
            let code_of = |told: &Told| match told {
                Told::Refused { code, .. } => code.clone(),
                Told::Rows(_) => "answered".to_owned(),
            };
            let codes: Vec<String> = told.iter().map(code_of).collect();
            if codes != ["answered", code, "poisoned"] {
                wrong.push(format!(
                    "{what}: in a transaction {statement:?}: {codes:?} instead of {code}"
                ));
            }
        }
    }
    for (statement, told) in WRITES.iter().zip(attacked.statements("query", &WRITES).await?) {
        if !matches!(&told, Told::Refused { code, .. } if code == READ_ONLY) {
            wrong.push(format!("query {statement:?}: {told:?}"));
        }
    }
    let asked = ANSWERED.map(|(statement, _)| statement);
    for way in ["query", "execute"] {
        for ((statement, answer), told) in ANSWERED.iter().zip(attacked.statements(way, &asked).await?) {
            if !matches!(&told, Told::Rows(rows) if rows == &[[answer.to_string()]]) {
                wrong.push(format!("{way} {statement:?}: {told:?} instead of {answer}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    attacked.audit.settled().await?;
    // The statements that were answered, in transactions of their own, are in the journal; nothing else has changed.
    let own = "DELETE FROM host.journal_entry WHERE invocation_id IN (SELECT id FROM host.invocation WHERE component = 'hostile')";
    attacked.audit.change(own).await?;
    attacked
        .audit
        .change("DELETE FROM host.invocation WHERE component = 'hostile'")
        .await?;
    ensure!(everything(&attacked).await? == before, "something was changed");
    attacked.never_panicked()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_entry_is_forged_with_what_a_module_can_know() -> Result<()> {
    let attacked = Attacked::start().await?;
    let order = attacked
        .client
        .post("/bench/order", serde_json::json!({ "item": 1, "quantity": 1 }))
        .await?;
    let victim = crate::attacked::invocation(&order)?;
    attacked.audit.settled().await?;
    // More than a module can know: the node, its hash, another's invocation and where its journal ends.
    let node = attacked
        .audit
        .texts("SELECT id::text FROM host.node")
        .await?
        .pop()
        .context("a node")?;
    let hash = attacked
        .audit
        .texts("SELECT encode(token_hash, 'hex') FROM host.node")
        .await?
        .pop()
        .context("a hash")?;
    let entries = format!("SELECT count(*) FROM host.journal_entry WHERE invocation_id = '{victim}'");
    let next = attacked.audit.count(&entries).await?;
    ensure!(next > 0, "the order is in the journal");

    for token in [hash.as_str(), "", &"00".repeat(32), &"ff".repeat(32)] {
        let append = format!(
            "SELECT host.append('{node}', '\\x{token}', '{victim}', {next}, ARRAY['\\x00'::bytea], 'cancelled')"
        );
        let start = format!(
            "SELECT host.start('{node}', '\\x{token}', gen_random_uuid(), ARRAY['\\x00'::bytea], 'shop', 'f', 1, NULL, NULL, 'running')"
        );
        let claim =
            format!("SELECT host.claim('{node}', '\\x{token}', sha256('a'), sha256('b'), '{victim}', 4102444800000)");
        let forged = [append.as_str(), &start, &claim];
        for told in attacked.statements("execute", &forged).await? {
            ensure!(
                matches!(&told, Told::Refused { code, .. } if code == WRONG_TOKEN),
                "{token}: {told:?}"
            );
        }
    }
    ensure!(
        attacked.audit.count(&entries).await? == next,
        "another's journal has grown"
    );
    ensure!(attacked.audit.count("SELECT count(*) FROM host.invocation").await? == 1);
    ensure!(
        attacked
            .audit
            .count("SELECT count(*) FROM host.idempotency_key")
            .await?
            == 0
    );
    attacked.never_panicked()
}
