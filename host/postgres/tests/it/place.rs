//! Where data directories can be, and whose.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::support::{Serve, client, is_root, leave_a_trace, open_dir, serve, start, text, trace};

#[tokio::test]
async fn a_deep_path_with_odd_characters_gets_a_socket_elsewhere() {
    let parent = open_dir();
    let path = parent.path().join("deep".repeat(40)).join("it's \"$HOME\", `here`");
    let (dir, server) = start(&path).await.unwrap();
    assert!(server.connection().socket_dir.starts_with("/tmp"));
    leave_a_trace(&server.connection().url()).await;
    drop((dir, server));

    let (_dir, adopted) = start(&path).await.unwrap();
    assert!(adopted.is_adopted());
    assert_eq!(trace(adopted.connection()).await, "kept");
    let socket_dir = adopted.connection().socket_dir.clone();
    adopted.stop().await.unwrap();
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn only_the_servers_user_gets_at_the_cluster_and_its_socket() {
    let parent = open_dir();
    let (dir, server) = start(parent.path().join("data")).await.unwrap();
    for private in [
        server.connection().socket_dir.clone(),
        dir.path().join("postgres"),
        dir.path().join("postgres/data"),
    ] {
        assert_eq!(
            fs::metadata(&private).unwrap().mode() & 0o777,
            0o700,
            "{}",
            private.display()
        );
    }
    for private in ["postgres.password", "postgres.log", "lock"] {
        assert_eq!(
            fs::metadata(dir.path().join(private)).unwrap().mode() & 0o777,
            0o600,
            "{private}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_that_only_root_reaches_keeps_its_cluster_elsewhere() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let path = parent.path().join("data");
    let (dir, server) = start(&path).await.unwrap();
    leave_a_trace(&server.connection().url()).await;
    let data = text(server.connection(), "SHOW data_directory").await;
    let pointer = path.join("postgres.location");
    // An ordinary user's server reaches whatever its user reaches.
    assert_eq!(pointer.exists(), is_root());
    assert_eq!(data.starts_with("/var/lib/nexus/"), is_root(), "{data}");
    server.stop().await.unwrap();
    drop(dir);

    let (_dir, server) = start(&path).await.unwrap();
    assert_eq!(trace(server.connection()).await, "kept");
    server.stop().await.unwrap();
    if is_root() {
        fs::remove_dir_all(fs::read_to_string(pointer).unwrap().trim_end()).unwrap();
    }
}

#[tokio::test]
async fn an_ordinary_user_runs_the_server_as_itself() {
    const NOBODY: (u32, u32) = (65534, 65534);
    let parent = open_dir();
    let path = parent.path().join("data");
    // A copy, since the user may not get into the folder the program was built in.
    let program = parent.path().join("serve");
    fs::copy(serve(), &program).unwrap();
    fs::create_dir(&path).unwrap();
    let user = is_root().then_some(NOBODY);
    if let Some((uid, gid)) = user {
        chown(&path, Some(uid), Some(gid)).unwrap();
    }

    let first = Serve::start(&program, [&path], user);
    leave_a_trace(&first.url).await;
    first.kill();
    let mut second = Serve::start(&program, [&path], user);
    let owner = fs::metadata(path.join("postgres/data/postmaster.pid")).unwrap().uid();
    assert_eq!(owner, fs::metadata(&path).unwrap().uid());
    let row = client(&second.url)
        .await
        .query_one("SELECT word FROM trace", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "kept");

    drop(second.process.stdin.take());
    assert!(second.process.wait().unwrap().success());
    assert!(!path.join("postgres/data/postmaster.pid").exists(), "it was stopped");
}
