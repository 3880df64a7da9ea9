//! What a newcomer does first: `nexus up --seed` with nothing but a folder, and then again, after whatever end; and the tour of the README.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use component_tests::{ADDRESS, CHECKOUT, Client, Nexus, binary, target_dir, until_ready, workspace};
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
        Self::started(nexus("up", data_dir)?, data_dir, further).await
    }

    /// The same of a command that says whose and where it is.
    async fn started(mut command: Command, data_dir: &'a Path, further: &[&str]) -> Result<Self> {
        let ready_file = data_dir.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let child = command
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

    /// Ends it as Ctrl-C and service managers do; its database server ends with it.
    fn terminate(mut self) -> Result<()> {
        let server = self.data_dir.join("postgres/data/postmaster.pid");
        ensure!(server.exists(), "it serves from a server of its own");
        let pid = Pid::from_raw(self.child.id() as i32).context("a pid")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {}", self.log());
        ensure!(!server.exists(), "PostgreSQL still runs: {}", self.log());
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

/// An account of the demo.
async fn signed_in(client: &Client, username: &str) -> Result<Client> {
    let body = json!({ "id": username, "password": "demo-password" });
    let tokens = client.post("/api/v1/account/auth/login/basic", body).await?;
    Ok(client.signed_in(&tokens.text(200, "access_token")))
}

/// So many units of a variant, to be paid at the door.
fn order_of(sku: &str, quantity: i64) -> Value {
    json!({
        "buy_now": true, "address": ADDRESS, "payment_option": "system-cod",
        "items": [{ "sku_id": sku, "quantity": quantity, "transport_option": "standard" }],
    })
}

/// What a seller offers, by name: each listing with its variants, as its page shows them.
async fn offered(seller: &Client) -> Result<Vec<(String, Value)>> {
    let mine = seller
        .get("/api/v1/catalog/product-spu?my_products=true&limit=100")
        .await?;
    let mut offered = Vec::new();
    for spu in mine.data(200).as_array().context("a list")? {
        let (id, name) = (spu["id"].as_str(), spu["name"].as_str());
        let page = format!("/api/v1/catalog/product-detail?id={}", id.context("an id")?);
        let page = seller.get(&page).await?;
        offered.push((name.context("a name")?.to_owned(), page.data(200)["skus"].clone()));
    }
    offered.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(offered)
}

fn variants(offered: &[(String, Value)]) -> impl Iterator<Item = &Value> {
    offered.iter().filter_map(|(_, skus)| skus.as_array()).flatten()
}

/// What a variant has, and the others of its listing have not.
fn distinction(variant: &Value) -> &str {
    variant["attributes"][0]["value"].as_str().unwrap_or_default()
}

/// The free units of each variant.
fn units(offered: &[(String, Value)]) -> Vec<(&str, i64)> {
    let stock = |variant: &Value| variant["stock"].as_i64().unwrap_or(-1);
    let mut units: Vec<_> = variants(offered)
        .map(|variant| (distinction(variant), stock(variant)))
        .collect();
    units.sort_unstable();
    units
}

/// The id of a variant.
fn id_of<'a>(offered: &'a [(String, Value)], value: &str) -> Result<&'a str> {
    let variant = variants(offered).find(|variant| distinction(variant) == value);
    variant.and_then(|variant| variant["id"].as_str()).context("a variant")
}

/// As much of a product of the demo as its first request makes.
async fn lists_nothing_but(seller: &Client, name: &str) -> Result<String> {
    let categories = seller.get("/api/v1/catalog/category?limit=1").await?;
    let spu = json!({
        "category_id": categories.data(200)[0]["id"], "name": name, "description": "One litre",
        "currency": "VND", "is_enabled": true, "tags": [],
    });
    let spu = seller.post("/api/v1/catalog/product-spu", spu).await?;
    Ok(spu.text(200, "id"))
}

/// What `nexus up` runs in, without what it is built from: the manifest, migrations, components and the program.
fn place_for(user: u32) -> Result<TempDir> {
    let place = TempDir::new()?;
    let components = place.path().join("target/wasm32-wasip2/guest");
    std::fs::create_dir_all(&components)?;
    std::fs::create_dir(place.path().join("data"))?;
    std::fs::copy(binary()?, place.path().join("nexus"))?;
    for component in std::fs::read_dir(target_dir().join("wasm32-wasip2/guest"))? {
        let component = component?.path();
        if component.extension().is_some_and(|extension| extension == "wasm") {
            let name = component.file_name().context("a file has a name")?;
            std::fs::copy(&component, components.join(name))?;
        }
    }
    let mut copy = Command::new("cp");
    copy.arg("-r")
        .args(["spin.toml", "migrations"].map(|part| workspace().join(part)));
    let mut own = Command::new("chown");
    own.arg("-R").arg(format!("{user}:{user}"));
    for command in [copy.arg(place.path()), own.arg(place.path())] {
        let status = command.status()?;
        ensure!(status.success(), "{command:?}: {status}");
    }
    Ok(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_starts_it_too() -> Result<()> {
    /// `nobody`, on Linux.
    const ORDINARY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        // Then all the other tests are an ordinary user's.
        return Ok(());
    }
    let place = place_for(ORDINARY)?;
    let data_dir = place.path().join("data");
    let mut command = Command::new(place.path().join("nexus"));
    command
        .current_dir(place.path())
        .args(["up", "--data-dir"])
        .arg(&data_dir)
        .env("CARGO_TARGET_DIR", place.path().join("target"))
        .env("HOME", place.path())
        .uid(ORDINARY)
        .gid(ORDINARY)
        .stdin(Stdio::null());
    let up = Up::started(command, &data_dir, &["--seed"]).await?;
    ensure!(!up.on_sale("coffee").await?.is_empty());
    let cluster = std::fs::metadata(data_dir.join("postgres/data"))?;
    ensure!(cluster.uid() == ORDINARY, "the database is {}'s", cluster.uid());
    up.terminate()
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
async fn the_doctor_names_what_everybody_may_do_and_no_module_should() -> Result<()> {
    let folder = TempDir::new()?;
    let database = host_postgres::test_support::fresh_database("doctor").await?;
    let further = [
        "--manifest",
        "components/tests/waiting/spin.toml",
        "--database-url",
        database.url(),
    ];
    let migrated = nexus("migrate", folder.path())?.args(further).output()?;
    ensure!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    let schema = || -> Result<Value> {
        let found = examined(folder.path(), &further)?;
        let mut found = found.into_iter();
        found
            .find(|finding| finding["subject"] == "schema")
            .context("the schema is looked at")
    };
    let closed = schema()?;
    ensure!(
        closed["ok"] == true
            && closed["detail"]
                .to_string()
                .contains("closed to what modules must not call"),
        "{closed}"
    );

    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await?;
    let driven = tokio::spawn(connection);
    for right in [
        "EXECUTE ON FUNCTION pg_sleep(double precision)",
        "CREATE ON SCHEMA public",
    ] {
        client.batch_execute(&format!("GRANT {right} TO PUBLIC")).await?;
    }
    drop(client);
    driven.await??;
    let open = schema()?;
    let detail = open["detail"].as_str().unwrap_or_default();
    let named = "PUBLIC may still use pg_sleep(double precision), CREATE on the schema public: start a host, ";
    ensure!(
        open["ok"] == false && detail.starts_with(named) && detail.contains("`REVOKE … FROM PUBLIC`"),
        "{open}"
    );
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
    signed_in(&Client::new(&first.url), "demo_buyer").await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_was_cut_off_is_completed_by_the_next_and_nothing_is_made_twice() -> Result<()> {
    let nexus = Nexus::start().await?;
    let body = json!({ "username": "demo_seller", "password": "demo-password", "country": "VN" });
    let path = "/api/v1/account/auth/register/basic";
    let tokens = nexus.client().post(path, body).await?;
    let seller = nexus.client().signed_in(&tokens.text(201, "access_token"));
    // One was cut off before a variant, another one before the units of its first one.
    lists_nothing_but(&seller, "Enamel coffee pot").await?;
    let jacket = lists_nothing_but(&seller, "Rain jacket").await?;
    let sku = json!({
        "spu_id": jacket, "price": 890_000, "combinable": true,
        "attributes": [{ "name": "Size", "value": "M" }], "package_details": { "weight_grams": 420 },
    });
    seller.post("/api/v1/catalog/product-sku", sku).await?.data(200);

    nexus.run(&["seed"])?;
    let seeded = offered(&seller).await?;
    let names: Vec<_> = seeded.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Enamel coffee pot", "Notes on growing chillies", "Rain jacket"]);
    let whole: [(&str, i64); 5] = [("Blue", 25), ("L", 18), ("M", 15), ("Paperback", 120), ("White", 40)];
    assert_eq!(units(&seeded), whole);

    nexus.run(&["seed"])?;
    assert_eq!(offered(&seller).await?, seeded);
    let contacts = seller.get("/api/v1/account/contact").await?;
    assert_eq!(contacts.data(200).as_array().map(Vec::len), Some(1));

    // What was bought is not lacking. What was deleted is, though the keys that made it are remembered still.
    let buyer = signed_in(&nexus.client(), "demo_buyer").await?;
    let order = order_of(id_of(&seeded, "Blue")?, 25);
    buyer.post(CHECKOUT, order).await?.data(200);
    let white = json!({ "id": id_of(&seeded, "White")? });
    seller
        .delete("/api/v1/catalog/product-sku", Some(white))
        .await?
        .data(200);
    let mine = seller
        .get("/api/v1/catalog/product-spu?my_products=true&search=chillies")
        .await?;
    let book = mine.data(200)[0]["id"].as_str().context("an id")?;
    seller
        .delete(&format!("/api/v1/catalog/product-spu/{book}"), None)
        .await?
        .data(200);
    for _ in 0..2 {
        nexus.run(&["seed"])?;
        let again = offered(&seller).await?;
        assert_eq!(again.len(), 3);
        let but_what_was_bought: [(&str, i64); 5] =
            [("Blue", 0), ("L", 18), ("M", 15), ("Paperback", 120), ("White", 40)];
        assert_eq!(units(&again), but_what_was_bought);
    }
    Ok(())
}

/// The calls of `nexus` in the README's tour, but for the one that starts the host.
fn tour() -> Result<Vec<String>> {
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let (_, tour) = readme.split_once("## Five minutes").context("there is a tour")?;
    let (tour, _) = tour.split_once("\n## ").context("it ends")?;
    let calls = tour.lines().filter_map(|line| line.strip_prefix("cargo nexus "));
    let calls = calls.map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    Ok(calls.filter(|call| !call.starts_with("up ")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_finds_its_checkout_first() -> Result<()> {
    let nexus = Nexus::start().await?;
    nexus.run(&["seed"])?;
    let client = nexus.client();
    let cards = client.get("/api/v1/catalog/product-card?search=coffee").await?;
    let card = cards.data(200)[0]["id"].as_str().context("a card")?;
    let skus = client
        .get(&format!("/api/v1/catalog/product-sku?spu_id={card}"))
        .await?;
    let sku = skus.data(200)[0]["id"].as_str().context("a variant")?;
    let buyer = signed_in(&client, "demo_buyer").await?;
    let answer = buyer.keyed("first").post(CHECKOUT, order_of(sku, 1)).await?;
    answer.data(200);
    let checkout = answer.headers["x-invocation-id"].to_str()?;

    let calls = tour()?;
    let said: Vec<_> = calls.iter().map(|call| call.replace("<its id>", checkout)).collect();
    let mut printed = Vec::new();
    for call in &said {
        let arguments: Vec<_> = call.split_whitespace().collect();
        printed.push((call, nexus.run(&arguments)?));
    }
    let [(_, components), (list, listed), (_, shown)] = &printed[..] else {
        bail!("the tour has other calls than these three: {said:?}");
    };
    ensure!(
        components.lines().any(|line| line.starts_with("order ")),
        "{components}"
    );
    // The first line names the columns.
    let newest = listed.lines().nth(1).context("something is listed")?;
    ensure!(
        list.starts_with("invocations list") && newest.starts_with(checkout),
        "{listed}"
    );
    ensure!(shown.starts_with(checkout), "{shown}");
    Ok(())
}
