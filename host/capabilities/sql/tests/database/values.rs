//! Every case of `value`, to the server and back.

use host_bindings::nexus::sql::sql::{Error, Uuid, Value};
use host_types::Fault;

use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn every_value_survives_the_server_and_the_record() {
    let database = Database::new().await;
    database
        .admin
        .batch_execute(
            r#"CREATE TYPE "order".state AS ENUM ('open', 'paid');
               CREATE DOMAIN "order".label AS varchar(20) CHECK (value <> '');
               CREATE EXTENSION IF NOT EXISTS citext SCHEMA "order";"#,
        )
        .await
        .unwrap();
    let uuid = Uuid {
        high: 0x0123_4567_89ab_cdef,
        low: u64::MAX,
    };
    let cases = [
        ("text", Value::Null),
        ("boolean", Value::Boolean(true)),
        ("smallint", Value::Int16(-5)),
        ("integer", Value::Int32(i32::MIN)),
        ("bigint", Value::Int64(i64::MAX)),
        ("real", Value::Float32(1.5)),
        ("double precision", Value::Float64(-0.1)),
        ("numeric", Value::Numeric("-12345678901234567890.000012300".into())),
        ("numeric(10,2)", Value::Numeric("0.50".into())),
        ("numeric", Value::Numeric("100000000".into())),
        ("numeric", Value::Numeric("NaN".into())),
        ("text", Value::Text("đồng ✓ '\\".into())),
        ("varchar", Value::Text(String::new())),
        ("state", Value::Text("paid".into())),
        ("label", Value::Text("spring".into())),
        ("citext", Value::Text("Mixed".into())),
        ("bytea", Value::Bytes(vec![0, 255, 7])),
        ("uuid", Value::Uuid(uuid)),
        ("json", Value::Json(r#"{ "a" : [1, null] }"#.into())),
        ("jsonb", Value::Json(r#"{"a": [1, null]}"#.into())),
        ("timestamptz", Value::Timestamp(1_700_000_000_123_456)),
        ("timestamp", Value::Timestamp(-1)),
        ("date", Value::Date(-719_162)),
        ("boolean[]", Value::BooleanArray(vec![true, false])),
        ("integer[]", Value::Int32Array(vec![1, -1])),
        ("smallint[]", Value::Int32Array(vec![1, -1])),
        ("bigint[]", Value::Int64Array(vec![])),
        ("double precision[]", Value::Float64Array(vec![0.5])),
        (
            "text[]",
            Value::TextArray(vec!["a,b".into(), "NULL".into(), String::new()]),
        ),
        ("state[]", Value::TextArray(vec!["open".into(), "paid".into()])),
        ("uuid[]", Value::UuidArray(vec![uuid, Uuid { high: 0, low: 0 }])),
    ];
    let columns: Vec<_> = cases
        .iter()
        .zip(1..)
        .map(|((ty, _), n)| format!("${n}::{ty} AS c{n}"))
        .collect();
    let statement = format!("SELECT {}", columns.join(", "));
    let values: Vec<_> = cases.iter().map(|(_, value)| value.clone()).collect();
    let expected = format!("{values:?}");

    let mut guest = database.guest();
    let rows = guest.query(&statement, &values).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", rows.rows[0]), expected);
    assert_eq!((rows.columns.len(), rows.affected), (cases.len(), 1));
    guest
        .execute("INSERT INTO item (id, amount) VALUES (1, 1)", &[])
        .await
        .unwrap()
        .unwrap();
    let mut again = database.replay(guest.invocation()).await;
    let recorded = again.query(&statement, &values).await.unwrap().unwrap();
    assert_eq!(format!("{recorded:?}"), format!("{rows:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_names_its_position() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let statement = "SELECT $1::text, $2::int";
    let misfit = guest
        .query(statement, &[Value::Text("a".into()), Value::Int64(1 << 40)])
        .await
        .unwrap();
    let Err(Error::InvalidParameter((2, reason))) = misfit else {
        panic!("{misfit:?}")
    };
    assert!(reason.contains("out of range"), "{reason}");
    let missing = guest.query(statement, &[Value::Text("a".into())]).await.unwrap();
    assert!(matches!(missing, Err(Error::InvalidParameter((2, _)))), "{missing:?}");
    let extra = guest.query("SELECT 1", &[Value::Null]).await.unwrap();
    assert!(matches!(extra, Err(Error::InvalidParameter((1, _)))), "{extra:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_a_case_is_refused_with_the_cast() {
    let database = Database::new().await;
    let mut guest = database.guest();
    let Err(Error::Other(error)) = guest.query("SELECT interval '1 day' AS span", &[]).await.unwrap() else {
        panic!("an interval passed")
    };
    assert!(error.message.contains("span::text"), "{}", error.message);
    let cast = guest
        .query("SELECT $1::interval::text", &[Value::Text("36 hours".into())])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(format!("{:?}", cast.rows), r#"[[Value::Text("36:00:00")]]"#);
    let infinite = guest.query("SELECT 'infinity'::timestamptz", &[]).await.unwrap();
    assert!(matches!(infinite, Err(Error::Other(_))), "{infinite:?}");
    let holed = guest.query("SELECT ARRAY[1, NULL]", &[]).await.unwrap();
    assert!(matches!(holed, Err(Error::Other(_))), "{holed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_name_their_constraint() {
    let database = Database::new().await;
    let refused = async |values: &str| {
        let insert = format!("INSERT INTO item (id, amount, parent) VALUES ({values})");
        database.guest().execute(&insert, &[]).await.unwrap().unwrap_err()
    };
    let names = |error: Error| match error {
        Error::ForeignKeyViolation(it) => ("foreign key", it.constraint),
        Error::CheckViolation(it) => ("check", it.constraint),
        Error::NotNullViolation(it) => ("not null", it.constraint),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        names(refused("1, 1, 9").await),
        ("foreign key", "item_parent_fkey".to_owned())
    );
    assert_eq!(
        names(refused("1, 0, NULL").await),
        ("check", "item_amount_positive".to_owned())
    );
    assert_eq!(names(refused("1, NULL, NULL").await).0, "not null");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_an_entry_holds_is_refused_without_reading_it_all() {
    let database = Database::new().await;
    let endless = "SELECT repeat('x', 1000), generate_series(1, 1000000000)";
    let query = database.guest().query(endless, &[]).await.unwrap_err();
    assert!(matches!(query, Fault::LimitExceeded(_)), "{query:?}");
    let execute = database.guest().execute(endless, &[]).await.unwrap_err();
    assert!(matches!(execute, Fault::LimitExceeded(_)), "{execute:?}");
}
