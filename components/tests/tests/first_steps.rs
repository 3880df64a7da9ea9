//! What a newcomer does first: `nexus up --seed` with nothing but a folder, and then again, after whatever end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component_tests::{Client, binary, target_dir, until_ready, workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long what is seeded may take to be on sale.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what another process does.
const LOOK: Duration = Duration::from_millis(20);

/// A host on a database of its own. Dropping it leaves nothing behind.
struct Up<'a> {
    child: Child,
    data_dir: &'a Path,
    url: String,
}

impl<'a> Up<'a> {
    async fn start(data_dir: &'a Path, further: &[&str]) -> Result<Self> {
        let ready_file = data_dir.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let child = nexus("up", data_dir)?
            .args(["--no-build", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--ready-file")
            .arg(&ready_file)
            .args(further)
            // Said for other servers: the private one has a socket of this machine.
            .env("PGSSLMODE", "require")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(data_dir.join("nexus.log"))?)
            .spawn()?;
        let mut up = Self {
            child,
            data_dir,
            url: String::new(),
        };
        let ready = until_ready(&mut up.child, &ready_file, &data_dir.join("nexus.log")).await?;
        up.url = ready["url"].as_str().context("a url")?.to_owned();
        Ok(up)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.join("nexus.log")).unwrap_or_default()
    }

    /// The names of what is on sale under this word, once there is something.
    async fn on_sale(&self, word: &str) -> Result<Vec<String>> {
        let client = Client::new(&self.url);
        let path = format!("/api/v1/catalog/product-card?search={word}");
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let cards = client.get(&path).await?;
                let cards = cards.data(200).as_array().cloned().unwrap_or_default();
                if !cards.is_empty() {
                    return Ok(cards.iter().map(|card| card["name"].to_string()).collect());
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        found.await.context("nothing is on sale")?
    }

    /// Ends it as Ctrl-C and service managers do.
    fn terminate(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a pid")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {}", self.log());
        Ok(())
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nexus(verb: &str, data_dir: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .current_dir(workspace())
        .args([verb, "--data-dir"])
        .arg(data_dir)
        .env("CARGO_TARGET_DIR", target_dir())
        .stdin(Stdio::null());
    Ok(command)
}

/// What `nexus doctor` finds: sound, unless one of it is not.
fn examined(data_dir: &Path, further: &[&str]) -> Result<Vec<Value>> {
    let output = nexus("doctor", data_dir)?.arg("--json").args(further).output()?;
    let text = String::from_utf8(output.stdout)?;
    let found: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let sound = found.iter().all(|finding| finding["ok"] == true);
    ensure!(output.status.success() == sound, "{}: {found:?}", output.status);
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_only_looks() -> Result<()> {
    let folder = TempDir::new()?;
    let data_dir = folder.path().join("none");
    let database = host_postgres::test_support::fresh_database("doctor").await?;
    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await?;
    let driven = tokio::spawn(connection);
    let may_make = "SELECT has_database_privilege('public', current_database(), 'TEMPORARY')";
    let before: bool = client.query_one(may_make, &[]).await?.get(0);
    ensure!(before, "of a fresh database PUBLIC may make temporary tables");

    let found = examined(&data_dir, &["--database-url", database.url()])?;
    let schema = found.iter().find(|finding| finding["subject"] == "schema");
    let schema = schema.context("the schema is looked at")?;
    ensure!(
        schema["ok"] == true && schema["detail"].to_string().contains("not migrated yet"),
        "{schema}"
    );
    let after: bool = client.query_one(may_make, &[]).await?.get(0);
    ensure!(after, "and so they may afterwards");
    let unclear = format!("{}#?sslmode=require", database.url());
    let found = examined(&data_dir, &["--database-url", &unclear])?;
    let said = found.iter().find(|finding| finding["subject"] == "database");
    let said = said.context("the URL is looked at")?;
    ensure!(
        said["ok"] == false && said["detail"].to_string().contains("write %23"),
        "{said}"
    );
    ensure!(!data_dir.exists(), "no key and no folder was made");
    drop(client);
    driven.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_sells_a_demo_and_whatever_ends_it_the_next_one_does_too() -> Result<()> {
    let folder = TempDir::new()?;
    // Root's database server runs as somebody else, who has to reach it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let data_dir = folder.path();

    let first = Up::start(data_dir, &["--seed"]).await?;
    let on_sale = first.on_sale("coffee").await?;
    let body = json!({ "id": "demo_buyer", "password": "demo-password" });
    let signed_in = Client::new(&first.url)
        .post("/api/v1/account/auth/login/basic", body)
        .await?;
    signed_in.data(200);
    let said = nexus("components", data_dir)?.arg("--json").output()?;
    let said = String::from_utf8(said.stdout)?;
    for component in ["account", "catalog", "inventory", "order", "common", "payment-cod"] {
        ensure!(said.contains(&format!("\"{component}\"")), "{said}");
    }
    let found = examined(data_dir, &[])?;
    ensure!(
        found.iter().all(|finding| finding["ok"] == true) && found.len() >= 4,
        "{found:?}"
    );
    let data = found
        .iter()
        .find(|finding| finding["subject"] == "data")
        .context("it is looked at")?;
    ensure!(
        data["detail"]
            .to_string()
            .contains(&format!("pid {}", first.child.id())),
        "{data}"
    );
    let found = examined(data_dir, &["--manifest", "no-such.toml"])?;
    ensure!(
        found.iter().any(|finding| finding["subject"] == "application"
            && finding["ok"] == false
            && finding["detail"].to_string().contains("no-such.toml")),
        "{found:?}"
    );
    first.terminate()?;

    // Seeding again makes nothing twice.
    let second = Up::start(data_dir, &["--seed"]).await?;
    ensure!(second.on_sale("coffee").await? == on_sale);
    // Killed; its database server goes on, and the next start takes it over.
    drop(second);
    let third = Up::start(data_dir, &[]).await?;
    ensure!(third.on_sale("coffee").await? == on_sale);
    third.terminate()
}
