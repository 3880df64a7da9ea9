//! Migrations that take away what somebody may still use.

use std::fs;

use host_journal::Append;
use host_journal::{AppendJournal, InvocationStatus};
use host_store::{Error, MigrateOptions};
use host_types::{ComponentId, DeploymentNumber, Digest, InvocationId};
use tempfile::TempDir;

use crate::support::{Fixture, begun, fixture, next_append, node};

const BASE: &str = "
    CREATE TYPE colour AS ENUM ('red', 'green');
    CREATE DOMAIN weight AS integer;
    CREATE TABLE item (
        id bigint PRIMARY KEY, name text, note text, hue colour, heft weight, amount integer,
        CONSTRAINT item_named_once UNIQUE (name)
    );
    CREATE UNIQUE INDEX item_noted ON item (note) WHERE amount > 0;
    CREATE TABLE unnamed_things (id bigint);
    CREATE VIEW dear_items AS SELECT id, name FROM item WHERE amount > 10;
    CREATE FUNCTION doubled(p_amount integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 * 2';";

/// A revision's bytes: between other things, what its statements say. The driver of a module does not care for capitals.
const ORDER: &[u8] = b"\0asm...insert INTO Item (name, note, hue) VALUES ($1, $2, 'green') ON conflict DO NOTHINGSELECT doubled(amount), heft::weight \
    FROM dear_items-- item_named_once";

/// The schema `order` with a module that runs, on which one invocation is open.
struct Shop {
    fixture: Fixture,
    folder: TempDir,
    open: InvocationId,
}

impl Shop {
    async fn open() -> Self {
        let fixture = fixture().await;
        let store = &fixture.store;
        store.provision_module("order").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0001_base.sql"), BASE).unwrap();
        let options = MigrateOptions::default();
        store.migrate_module("order", folder.path(), &options).await.unwrap();
        let (order, cart) = (component("order", ORDER), component("cart", b"SELECT amount FROM item"));
        let deployment = store.register_deployment(&[order, cart], None).await.unwrap();
        assert_eq!(deployment, DeploymentNumber(1), "what `begun` is pinned to");
        let open = begun(store).await;
        Self { fixture, folder, open }
    }

    /// Applies this file, and takes it out of the folder again if it is refused.
    async fn applies(&self, sql: &str, options: &MigrateOptions<'_>) -> Result<(), Error> {
        let store = &self.fixture.store;
        let number = fs::read_dir(self.folder.path()).unwrap().count() + 1;
        let file = self.folder.path().join(format!("{number:04}_next.sql"));
        fs::write(&file, sql).unwrap();
        let outcome = store.migrate_module("order", self.folder.path(), options).await;
        if outcome.is_err() {
            fs::remove_file(file).unwrap();
            // Nothing is left of it.
            store
                .migrate_module("order", self.folder.path(), options)
                .await
                .unwrap();
        }
        outcome
    }

    async fn refused(&self, sql: &str, options: &MigrateOptions<'_>) -> String {
        let error = self.applies(sql, options).await.expect_err(sql);
        assert!(matches!(error, Error::MigrationDropsUsed { .. }), "{sql}: {error:?}");
        error.to_string()
    }

    async fn ends(&self) {
        let store = &self.fixture.store;
        let ended = Append {
            status: Some(InvocationStatus::Completed),
            ..next_append(store, self.open, 1)
        };
        store.append(ended).await.unwrap();
    }
}

fn component(name: &'static str, wasm: &'static [u8]) -> (ComponentId, Digest, &'static [u8]) {
    (name.into(), Digest::of(wasm), wasm)
}

/// The fixture's node has a name of its own, and serves nothing.
fn options() -> MigrateOptions<'static> {
    MigrateOptions {
        node_name: "one",
        ..MigrateOptions::default()
    }
}

#[tokio::test]
async fn what_an_open_invocations_revision_names_is_not_taken_away() {
    let shop = Shop::open().await;
    let removals = [
        ("DROP TABLE item CASCADE", "drops the relation item"),
        ("ALTER TABLE item RENAME TO thing", "drops the relation item"),
        ("ALTER TABLE item DROP COLUMN note", "drops the column item.note"),
        (
            "ALTER TABLE item RENAME COLUMN note TO remark",
            "drops the column item.note",
        ),
        (
            "ALTER TABLE item ALTER COLUMN note TYPE varchar(10)",
            "makes the column item.note a character varying(10) (it was a text)",
        ),
        (
            "ALTER TABLE item ADD COLUMN owner uuid; ALTER TABLE item ALTER COLUMN owner SET NOT NULL",
            "lets no row be inserted without the column item.owner",
        ),
        (
            "ALTER TABLE item ALTER COLUMN note SET NOT NULL",
            "lets no row be inserted without the column item.note",
        ),
        ("DROP VIEW dear_items", "drops the relation dear_items"),
        ("DROP FUNCTION doubled", "drops the function doubled(p_amount integer)"),
        (
            "DROP FUNCTION doubled; CREATE FUNCTION doubled(p_amount integer) RETURNS bigint LANGUAGE sql AS 'SELECT $1 * 2'",
            "makes the function doubled(p_amount integer) a bigint (it was a integer)",
        ),
        ("DROP DOMAIN weight CASCADE", "drops the type weight"),
        (
            "ALTER TYPE colour RENAME VALUE 'green' TO 'lime'",
            "drops the value 'green' of colour",
        ),
        (
            "ALTER TABLE item DROP CONSTRAINT item_named_once",
            "drops the constraint item_named_once of item",
        ),
        (
            "DROP INDEX item_noted",
            "drops the uniqueness of item (note WHERE (amount > 0))",
        ),
    ];
    for (sql, told) in removals {
        let refused = shop.refused(sql, &options()).await;
        assert!(refused.contains(told), "{sql}: {refused}");
        let revision = format!(
            "revision {} of order may use (1 open invocation is pinned to it)",
            Digest::of(ORDER)
        );
        assert!(refused.contains(&revision), "{refused}");
        assert!(
            refused.contains("_next.sql") && refused.contains("nexus migrate --force"),
            "{refused}"
        );
    }
    // The whole file is one: what was added before the refusal is gone with it.
    shop.refused("CREATE TABLE more (id bigint); DROP TABLE item CASCADE", &options())
        .await;
    assert_eq!(
        shop.fixture
            .value("SELECT count(*) FROM pg_tables WHERE tablename = 'more'")
            .await,
        0
    );
}

#[tokio::test]
async fn what_is_added_or_named_by_nobody_is_applied() {
    let shop = Shop::open().await;
    for sql in [
        "CREATE TABLE more (id bigint NOT NULL); ALTER TABLE item ADD COLUMN owner uuid NOT NULL DEFAULT gen_random_uuid();",
        "DROP TABLE unnamed_things;",
        "ALTER TYPE colour ADD VALUE 'blue'; ALTER TABLE more ADD COLUMN name text NOT NULL;",
        "ALTER TYPE colour RENAME VALUE 'red' TO 'scarlet';",
        // Renamed, with a view that has the old name: the way for whoever cannot wait.
        "ALTER TABLE more RENAME TO still_more; CREATE VIEW more AS SELECT * FROM still_more;",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY item_amount ON item (amount);",
    ] {
        shop.applies(sql, &options()).await.expect(sql);
    }
}

#[tokio::test]
async fn it_is_applied_once_nobody_uses_it_any_more() {
    const DROP: &str = "ALTER TABLE item DROP COLUMN note";
    let shop = Shop::open().await;
    shop.refused(DROP, &options()).await;

    // A component that owns another schema may say what it likes; one that nobody knows any more may mean this one.
    let others = ["cart".into()];
    let without_cart = MigrateOptions {
        others: &others,
        ..options()
    };
    shop.refused(DROP, &without_cart).await;

    // It ends; a node that begins others on the same revision lives.
    shop.ends().await;
    let two = node(&shop.fixture.database, "two").await;
    let refused = shop.refused(DROP, &options()).await;
    assert!(refused.contains("two does not say yet what it runs"), "{refused}");
    assert!(two.acknowledge_first(0, DeploymentNumber(1)).await.unwrap());
    let refused = shop.refused(DROP, &options()).await;
    assert!(refused.contains("of order may use (run by two)"), "{refused}");
    let both_name_it = "DROP VIEW dear_items; ALTER TABLE item ALTER COLUMN amount TYPE bigint";
    let refused = shop.refused(both_name_it, &options()).await;
    assert!(refused.contains("of cart") && refused.contains("of order"), "{refused}");
    let refused = shop.refused(both_name_it, &without_cart).await;
    assert!(!refused.contains("of cart"), "{refused}");

    // Under the name of the process that migrates there are predecessors alone, whatever is left of their leases.
    let as_two = MigrateOptions {
        node_name: "two",
        ..without_cart
    };
    let refused = shop.refused(DROP, &as_two).await;
    assert!(refused.contains("one does not say"), "{refused}");
    shop.fixture
        .superuser_executes("UPDATE host.node SET gone_at = now() WHERE name = 'one'")
        .await;
    shop.applies(DROP, &as_two).await.unwrap();
}

#[tokio::test]
async fn an_operator_who_knows_better_is_obeyed() {
    let shop = Shop::open().await;
    let forced = MigrateOptions {
        force: true,
        ..options()
    };
    shop.applies("ALTER TABLE item DROP COLUMN note", &forced)
        .await
        .unwrap();
}

#[tokio::test]
async fn outside_of_a_transaction_nothing_is_taken_away() {
    let shop = Shop::open().await;
    for sql in [
        "-- no-transaction\nDROP TABLE item;",
        "-- no-transaction\nVACUUM; DROP TABLE item;",
        "-- no-transaction\nDROP INDEX CONCURRENTLY item_noted;",
        "-- no-transaction\n",
    ] {
        let error = shop.applies(sql, &options()).await.expect_err(sql);
        assert!(
            matches!(error, Error::MigrationOutsideTransaction { .. }),
            "{sql}: {error:?}"
        );
    }
    shop.applies("-- no-transaction\n-- At leisure.\nVACUUM item", &options())
        .await
        .unwrap();
}
