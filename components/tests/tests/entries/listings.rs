//! Putting something on sale: what catalog and inventory write for each other.

use anyhow::{Context, Result};
use component_tests::{Client, Edited, Person};
use host_testing::{TestApp, TestHost};
use serde_json::{Value, json};

use crate::{PATIENCE, ends_and_fails, nothing_is_held};

const UNITS: i64 = 7;

/// A product with a variant, and units of it. What the seller was told, and what there is of it.
async fn lists(host: &TestHost, seller: &Client, run: &str) -> Result<(Vec<u16>, Vec<String>)> {
    let post = async |path: &str, body: Value| {
        let client = seller.at(host.url()).keyed(&format!("{path}-{run}"));
        client.post_until_answered(path, &body, PATIENCE).await
    };
    let category = host
        .texts("SELECT id::text FROM catalog.category ORDER BY id LIMIT 1")
        .await?;
    let category = category.first().context("a category")?;
    let spu = json!({
        "category_id": category, "name": format!("Pot {run}"), "description": "One litre", "currency": "VND",
        "is_enabled": true, "tags": ["coffee"],
    });
    let spu = post("/api/v1/catalog/product-spu", spu).await?;
    let sku = json!({
        "spu_id": spu.json["data"]["id"], "price": 100_000, "combinable": true, "attributes": [],
        "package_details": { "weight_grams": 800 },
    });
    let sku = post("/api/v1/catalog/product-sku", sku).await?;
    let units = json!({ "ref_id": sku.json["data"]["id"], "ref_type": "ProductSku", "change": UNITS });
    let imported = post("/api/v1/inventory/stock/import", units).await?;
    nothing_is_held(host).await?;
    let left = format!(
        "WITH sku AS (SELECT sku.id FROM catalog.product_sku sku JOIN catalog.product_spu spu ON spu.id = spu_id
                      WHERE name = 'Pot {run}')
         SELECT 'variant' FROM sku
         UNION ALL SELECT 'stock ' || stock || ' ' || taken FROM inventory.stock WHERE ref_id IN (SELECT id FROM sku)
         ORDER BY 1"
    );
    let statuses = [spu, sku, imported].map(|answer| answer.status.as_u16());
    Ok((statuses.to_vec(), host.texts(&left).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_on_sale() -> Result<()> {
    let application = Edited::marketplace(str::to_owned)?;
    let host = TestHost::start(&TestApp::load(&application.manifest())?).await?;
    let seller = Person::sign_up(&Client::new(host.url()), "seller", "VN").await?.client;
    let flow = async |host: &TestHost, run: &str| lists(host, &seller, run).await;
    ends_and_fails(host, flow, 7).await?;
    Ok(())
}
