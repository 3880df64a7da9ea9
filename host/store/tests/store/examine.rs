//! Who looks at a database changes nothing in it.

use host_postgres::test_support::fresh_database;
use host_store::{Examined, Store, examine};
use sqlx::{Connection, PgConnection};

use crate::support::options;

/// Everything that says who may do what.
const RIGHTS: &str =
    "SELECT coalesce((SELECT string_agg(datacl::text, ' ') FROM pg_database WHERE datname = current_database()), '')
    || (SELECT string_agg(nspname || coalesce(nspacl::text, ''), ' ' ORDER BY nspname) FROM pg_namespace)
    || (SELECT string_agg(proname || coalesce(proacl::text, ''), ' ' ORDER BY oid) FROM pg_proc)";

#[tokio::test]
async fn a_look_says_what_is_open_and_leaves_it_so() {
    let database = fresh_database("examine").await.unwrap();
    let mut session = PgConnection::connect(database.url()).await.unwrap();
    let rights = async |session: &mut PgConnection| -> Option<String> {
        sqlx::query_scalar(RIGHTS).fetch_one(session).await.unwrap()
    };
    let before = rights(&mut session).await;
    let fresh = examine(database.url()).await.unwrap();
    assert!(!fresh.is_migrated);
    assert_eq!(rights(&mut session).await, before);

    let store = Store::connect(database.url(), options()).await.unwrap();
    store.migrate_host().await.unwrap();
    store.close().await;
    let closed = Examined {
        is_migrated: true,
        open: Vec::new(),
    };
    assert_eq!(examine(database.url()).await.unwrap(), closed);

    sqlx::query("GRANT EXECUTE ON FUNCTION pg_sleep(double precision) TO PUBLIC")
        .execute(&mut session)
        .await
        .unwrap();
    for _ in 0..2 {
        let open = examine(database.url()).await.unwrap().open;
        assert_eq!(
            open,
            ["pg_sleep(double precision)"],
            "it is still open at the second look"
        );
    }
}
