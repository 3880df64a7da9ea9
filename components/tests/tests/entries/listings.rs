//! Putting something on sale and taking it off again: what catalog and inventory write for each other.

use anyhow::{Context, Result, ensure};
use component_tests::{Client, Edited, Person};
use host_testing::{TestApp, TestHost};
use serde_json::{Value, json};

use crate::{PATIENCE, ends_and_fails, nothing_is_held};

const UNITS: i64 = 7;
const SPU: &str = "/api/v1/catalog/product-spu";
const SKU: &str = "/api/v1/catalog/product-sku";

/// A product with two variants, and units of one; the other one is deleted, and then the product. What the seller was told, and what there
/// is of it.
async fn lists(host: &TestHost, seller: &Client, run: &str) -> Result<(Vec<u16>, Vec<String>)> {
    let keyed = |key: &str| seller.at(host.url()).keyed(&format!("{key}-{run}"));
    let post = async |path: &str, body: Value| keyed(path).post_until_answered(path, &body, PATIENCE).await;
    let category = host
        .texts("SELECT id::text FROM catalog.category ORDER BY id LIMIT 1")
        .await?;
    let category = category.first().context("a category")?;
    let spu = json!({
        "category_id": category, "name": format!("Pot {run}"), "description": "One litre", "currency": "VND",
        "is_enabled": true, "tags": ["coffee"],
    });
    let spu = post(SPU, spu).await?;
    let sku = json!({
        "spu_id": spu.json["data"]["id"], "price": 100_000, "combinable": true, "attributes": [],
        "package_details": { "weight_grams": 800 },
    });
    let kept = post(SKU, sku.clone()).await?;
    let other = keyed("other").post_until_answered(SKU, &sku, PATIENCE).await?;
    let units = json!({ "ref_id": kept.json["data"]["id"], "ref_type": "ProductSku", "change": UNITS });
    let imported = post("/api/v1/inventory/stock/import", units).await?;

    let delete = async |path: &str, body: Option<&Value>| {
        keyed(&format!("delete-{path}"))
            .delete_until_answered(path, body, PATIENCE)
            .await
    };
    let variant = json!({ "id": other.json["data"]["id"] });
    let variant = delete(SKU, Some(&variant)).await?;
    let path = format!("{SPU}/{}", spu.json["data"]["id"].as_str().unwrap_or("none"));
    let product = delete(&path, None).await?;
    nothing_is_held(host).await?;
    let left = format!(
        "WITH spu AS (SELECT id, date_deleted FROM catalog.product_spu WHERE name = 'Pot {run}'),
              sku AS (SELECT id, date_deleted FROM catalog.product_sku WHERE spu_id IN (SELECT id FROM spu))
         SELECT 'product, deleted: ' || (date_deleted IS NOT NULL) FROM spu
         UNION ALL SELECT 'variant, deleted: ' || (date_deleted IS NOT NULL) FROM sku
         UNION ALL SELECT 'stock ' || stock || ' ' || taken || ', archived: ' || (date_archived IS NOT NULL) FROM inventory.stock
             WHERE ref_id IN (SELECT id FROM sku)
         ORDER BY 1"
    );
    let statuses = [spu, kept, other, imported, variant, product].map(|answer| answer.status.as_u16());
    Ok((statuses.to_vec(), host.texts(&left).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_on_sale_and_taken_off() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    let seller = Person::sign_up(&Client::new(host.url()), "seller", "VN").await?.client;
    let (statuses, left) = lists(&host, &seller, "first").await?;
    ensure!(statuses == [200; 6], "{statuses:?}");
    let expected = [
        "product, deleted: true",
        "stock 0 0, archived: true",
        "stock 7 0, archived: true",
        "variant, deleted: true",
        "variant, deleted: true",
    ];
    ensure!(left == expected, "{left:#?}");
    let flow = async |host: &TestHost, run: &str| {
        let (statuses, left) = lists(host, &seller, run).await?;
        // Whatever was refused: what was deleted is archived.
        let archived = left.iter().filter(|row| row.ends_with("archived: true")).count();
        let deleted = left.iter().filter(|row| row.starts_with("variant, deleted: true"));
        ensure!(archived == deleted.count(), "{left:#?}");
        Ok((statuses, left))
    };
    ends_and_fails(host, flow, 16).await?;
    Ok(())
}
