//! Revisions that cannot be, by name. Nothing of one is kept.

use anyhow::{Context, Result, ensure};
use component_tests::{Answer, Audit, Guests, Nexus, guest, other_build};
use serde_json::json;

use crate::world::uploaded;

struct Refused<'a> {
    status: u16,
    code: &'a str,
    /// What the detail holds.
    says: &'a [&'a str],
}

fn is_refused(answer: &Answer, refused: &Refused<'_>) -> Result<()> {
    let detail = answer.json["detail"].as_str().unwrap_or_default();
    ensure!(
        answer.status == refused.status && answer.json["code"] == refused.code,
        "{} {}",
        answer.status,
        answer.json
    );
    for part in refused.says {
        ensure!(detail.contains(part), "{part:?} is not in {detail:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_fit_is_refused_before_anything_is_kept() -> Result<()> {
    let nexus = Nexus::start().await?;
    let guests = Guests::built()?;
    let audit = Audit::open(nexus.database_url()).await?;
    let kept = "SELECT (SELECT count(*) FROM host.revision) + (SELECT count(*) FROM host.deployment_component)";
    let before = audit.count(kept).await?;
    let bytes = |component: &str| std::fs::read(guests.path(component));

    let garbage = uploaded(&nexus, "/v1/components/order/revisions", b"\0asm, or not".to_vec()).await?;
    let says = &["these bytes do not run in the place of order"];
    is_refused(
        &garbage,
        &Refused {
            status: 422,
            code: "invalid",
            says,
        },
    )?;
    // What others import of the inventory is not there.
    let other = uploaded(
        &nexus,
        "/v1/components/inventory/revisions?activate=true",
        bytes("catalog")?,
    )
    .await?;
    let says = &["do not run in the place of inventory"];
    is_refused(
        &other,
        &Refused {
            status: 422,
            code: "invalid",
            says,
        },
    )?;
    // It answers no HTTP, and its component has routes.
    let leaf = std::fs::read(guest("guest-bench-leaf")?)?;
    let routeless = uploaded(&nexus, "/v1/components/account/revisions", leaf).await?;
    let says = &["do not run in the place of account"];
    is_refused(
        &routeless,
        &Refused {
            status: 422,
            code: "invalid",
            says,
        },
    )?;
    // A journaled component cannot become one that is not.
    let stock = std::fs::read(guest("guest-wasi-http")?)?;
    let stock = uploaded(&nexus, "/v1/components/geocode-local/revisions", stock).await?;
    is_refused(
        &stock,
        &Refused {
            status: 422,
            code: "invalid",
            says: &["do not run in the place of geocode-local"],
        },
    )?;
    let unknown = uploaded(&nexus, "/v1/components/odrer/revisions", bytes("order")?).await?;
    let says = &["there is no component odrer; there are account"];
    is_refused(
        &unknown,
        &Refused {
            status: 404,
            code: "unknown-component",
            says,
        },
    )?;
    let large = uploaded(&nexus, "/v1/components/order/revisions", vec![0; (64 << 20) + 1]).await?;
    is_refused(
        &large,
        &Refused {
            status: 413,
            code: "body",
            says: &["67108864"],
        },
    )?;
    assert_eq!(audit.count(kept).await?, before, "nothing of them is kept");

    let admin = nexus.admin();
    let components = admin.get("/v1/components").await?.json;
    let digest = |component: &str| {
        let found = components["components"].as_array().and_then(|components| {
            let mut components = components.iter();
            components.find(|shown| shown["id"] == component)
        });
        found.map(|shown| shown["revision"].clone()).unwrap_or_default()
    };
    let activate = |component: &'static str, digest: serde_json::Value| {
        let path = format!("/v1/components/{component}/activate");
        let admin = admin.clone();
        async move { admin.post(&path, json!({ "digest": digest })).await }
    };
    let unknown = activate("order", "00".repeat(32).into()).await?;
    let says = &["there is no revision 0000", "nexus deploy order FILE"];
    is_refused(
        &unknown,
        &Refused {
            status: 404,
            code: "unknown-revision",
            says,
        },
    )?;
    let foreign = activate("inventory", digest("order")).await?;
    let says = &["is no revision of inventory, but of order"];
    is_refused(
        &foreign,
        &Refused {
            status: 404,
            code: "unknown-revision",
            says,
        },
    )?;
    let mistyped = activate("order", "latest".into()).await?;
    is_refused(
        &mistyped,
        &Refused {
            status: 400,
            code: "parameter",
            says: &["64 hex digits"],
        },
    )?;
    let same = activate("order", digest("order")).await?;
    ensure!(same.status == 200 && same.json["was_active"] == true, "{}", same.json);
    assert_eq!(audit.count("SELECT count(*) FROM host.activation").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_whose_sql_the_database_cannot_prepare_is_refused_with_the_statements() -> Result<()> {
    let nexus = Nexus::start().await?;
    let guests = Guests::built()?;
    let audit = Audit::open(nexus.database_url()).await?;
    let kept = "SELECT (SELECT count(*) FROM host.revision) + (SELECT count(*) FROM host.deployment_component)";
    let before = audit.count(kept).await?;
    let upload = |wasm| uploaded(&nexus, "/v1/components/catalog/revisions?activate=true", wasm);

    let built = std::fs::read(guests.path("catalog"))?;
    let ahead = other_build(built.clone(), "WHERE p.slug = $1", "WHERE p.snug = $1")?;
    let says = &[
        "do not run in the place of catalog: 1 of its ",
        "migrate first",
        "components/catalog/src/store/spu.rs:",
        "column p.snug does not exist (SQLSTATE 42703)",
        "at character ",
    ];
    is_refused(
        &upload(ahead).await?,
        &Refused {
            status: 422,
            code: "invalid",
            says,
        },
    )?;
    // The first record has a version that nobody writes.
    let name = b"nexus:sql\x01";
    let section = built.windows(name.len()).position(|window| window == name);
    let mut garbled = built;
    garbled[section.context("it has the section")? + name.len() - 1] = 7;
    is_refused(
        &upload(garbled).await?,
        &Refused {
            status: 422,
            code: "invalid",
            says: &["section nexus:sql at byte ", "a record of version 7"],
        },
    )?;
    assert_eq!(audit.count(kept).await?, before, "nothing of them is kept");
    Ok(())
}
