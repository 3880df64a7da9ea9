//! A server's life: started, adopted, recovered, stopped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use host_postgres::{Connection, Error, Settings};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Serve, client, leave_a_trace, open_dir, serve, start, start_with, text, trace};

#[tokio::test]
async fn both_drivers_connect_by_the_url_and_the_server_is_durable_and_not_on_tcp() {
    let parent = open_dir();
    let (_dir, server) = start_with(parent.path().join("data"), Settings::default())
        .await
        .unwrap();
    let connection = server.connection();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("shared_buffers", "256MB"),
        ("jit", "off"),
        ("timezone", "UTC"),
    ] {
        assert_eq!(text(connection, &format!("SHOW {setting}")).await, value, "{setting}");
    }

    use sqlx::Connection as _;
    let mut sqlx = sqlx::PgConnection::connect(&connection.url()).await.unwrap();
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut sqlx)
        .await
        .unwrap();
    assert_eq!(database, "nexus");
    drop(sqlx);

    let stranger = Connection {
        password: "guess".to_owned(),
        ..connection.clone()
    };
    let refused = tokio_postgres::connect(&stranger.url(), tokio_postgres::NoTls)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_of_a_killed_process_is_adopted_and_after_a_stop_there_is_a_new_one() {
    let parent = open_dir();
    let path = parent.path().join("data");
    let starter = Serve::start(&serve(), [&path], None);
    leave_a_trace(&starter.url).await;
    starter.kill();

    let (dir, adopted) = start(&path).await.unwrap();
    assert!(adopted.is_adopted());
    assert_eq!(trace(adopted.connection()).await, "kept");
    let pid = adopted.pid();
    adopted.stop().await.unwrap();
    drop(dir);

    let (_dir, server) = start(&path).await.unwrap();
    assert!(!server.is_adopted());
    assert_ne!(server.pid(), pid);
    assert_eq!(trace(server.connection()).await, "kept");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_process_on_the_data_directory_is_told_which_one_has_it() {
    let parent = open_dir();
    let (_dir, server) = start(parent.path().join("data")).await.unwrap();
    let second = Command::new(serve())
        .arg(parent.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let message = String::from_utf8(second.stderr).unwrap();
    assert!(
        message.contains(&format!("in use by process {}", std::process::id())),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_itself_recovers_what_was_committed() {
    let parent = open_dir();
    let path = parent.path().join("data");
    let (dir, server) = start(&path).await.unwrap();
    leave_a_trace(&server.connection().url()).await;
    let killed = server.pid().unwrap();
    kill_process(pid(killed), Signal::KILL).unwrap();
    drop((dir, server));

    let (_dir, server) = start(&path).await.unwrap();
    assert_ne!(server.pid(), Some(killed));
    assert_eq!(trace(server.connection()).await, "kept");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_that_now_belongs_to_another_process_does_not_stop_the_start() {
    let parent = open_dir();
    let path = parent.path().join("data");
    let (dir, server) = start(&path).await.unwrap();
    let pid_file = path.join("postgres/data/postmaster.pid");
    let stale = fs::read_to_string(&pid_file).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&pid_file).unwrap());
    server.stop().await.unwrap();
    drop(dir);

    let mut other = Command::new("sleep");
    let mut other = std::os::unix::process::CommandExt::uid(other.arg("600"), owner)
        .spawn()
        .unwrap();
    let (_, rest) = stale.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", other.id())).unwrap();
    std::os::unix::fs::chown(&pid_file, Some(owner), None).unwrap();

    let (_dir, server) = start(&path).await.unwrap();
    assert!(!server.is_adopted());
    assert_eq!(other.try_wait().unwrap(), None, "the other process is left alone");
    server.stop().await.unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_server_whose_socket_was_removed_is_replaced() {
    let parent = open_dir();
    let path = parent.path().join("data");
    let (dir, server) = start(&path).await.unwrap();
    leave_a_trace(&server.connection().url()).await;
    fs::remove_dir_all(&server.connection().socket_dir).unwrap();
    drop((dir, server));

    let (_dir, server) = start(&path).await.unwrap();
    assert!(!server.is_adopted());
    assert_eq!(trace(server.connection()).await, "kept");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_reported_with_its_file() {
    let parent = open_dir();
    let path = parent.path().join("data");
    let (dir, server) = start(&path).await.unwrap();
    let file = path.join("postgres.password");
    let right = fs::read_to_string(&file).unwrap();
    drop(dir);

    fs::write(&file, "something else\n").unwrap();
    let error = start(&path).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::PasswordRefused { file: named, .. } if named.ends_with("postgres.password")),
        "{error}"
    );
    fs::remove_file(&file).unwrap();
    let error = start(&path).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::PasswordMissing { .. }), "{error}");

    fs::write(&file, right).unwrap();
    let (_dir, adopted) = start(&path).await.unwrap();
    assert!(adopted.is_adopted());
    drop(adopted);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let parent = open_dir();
    let extra = vec![("shared_buffers".to_owned(), "plenty".to_owned())];
    let settings = Settings {
        extra,
        ..Settings::test()
    };
    let error = start_with(parent.path().join("data"), settings)
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, Error::Start { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("invalid value for parameter \"shared_buffers\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_whose_making_was_interrupted_is_made_again() {
    let parent = open_dir();
    let path = parent.path().join("data");
    fs::create_dir_all(path.join("postgres/data.unfinished/base")).unwrap();
    let (_dir, server) = start(&path).await.unwrap();
    assert!(!path.join("postgres/data.unfinished").exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_temporary_server_goes_away_with_its_killed_process() {
    let starter = Serve::start(&serve(), [""; 0], None);
    let setting = client(&starter.url)
        .await
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap();
    let data: String = setting.get(0);
    starter.kill();
    let gone = async {
        while Path::new(&data).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("the server's folder is removed");
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(raw.try_into().unwrap()).unwrap()
}
