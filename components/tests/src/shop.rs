//! A seller with stock and a buyer with an address, ready to trade.

use anyhow::Result;
use serde_json::{Value, json};

use crate::Client;

/// An address in the buyer's and the seller's country.
const ADDRESS: &str = "8 Nguyen Hue, District 1, Ho Chi Minh City, Vietnam";

/// An account that is signed in and has a default contact.
#[derive(Clone)]
pub struct Person {
    /// Its account id.
    pub id: String,
    /// Its client.
    pub client: Client,
}

impl Person {
    /// Registers an account of this name, with a contact.
    pub async fn register(client: &Client, username: &str) -> Result<Self> {
        let body = json!({ "username": username, "password": "correct-horse", "country": "VN" });
        let tokens = client.post("/api/v1/account/auth/register/basic", body).await?;
        let token = tokens.data(201)["access_token"].as_str().unwrap_or_default().to_owned();
        let client = client.signed_in(&token);
        let me = client.get("/api/v1/account/me").await?;
        let id = me.data(200)["id"].as_str().unwrap_or_default().to_owned();
        let contact = json!({ "full_name": username, "phone": "+84912345678", "address": ADDRESS, "address_type": "Home" });
        client.post("/api/v1/account/contact", contact).await?.data(200);
        Ok(Self { id, client })
    }

    /// The same account on a host that was started again.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { client: self.client.at(url), ..self.clone() }
    }
}

/// A product on sale.
#[derive(Clone)]
pub struct Shop {
    /// Who sells it.
    pub seller: Person,
    /// Who wants it.
    pub buyer: Person,
    /// The listing.
    pub spu: String,
    /// Its variant.
    pub sku: String,
}

impl Shop {
    /// A seller, a buyer, and one variant with this many units.
    pub async fn open(client: &Client, units: i64) -> Result<Self> {
        let seller = Person::register(client, "seller").await?;
        let buyer = Person::register(client, "buyer").await?;
        let categories = client.get("/api/v1/catalog/category?limit=1").await?;
        let spu = json!({
            "category_id": categories.data(200)[0]["id"], "name": "Enamel pot", "description": "One litre",
            "currency": "VND", "is_enabled": true, "tags": ["coffee"],
        });
        let spu = seller.client.post("/api/v1/catalog/product-spu", spu).await?;
        let spu = text(&spu.data(200)["id"]);
        let sku = json!({
            "spu_id": spu, "price": 100_000, "combinable": true,
            "attributes": [{ "name": "Color", "value": "Blue" }], "package_details": { "weight_grams": 800 },
        });
        let sku = seller.client.post("/api/v1/catalog/product-sku", sku).await?;
        let sku = text(&sku.data(200)["id"]);
        let shop = Self { seller, buyer, spu, sku };
        if units > 0 {
            shop.import(units).await?;
        }
        Ok(shop)
    }

    /// More units.
    pub async fn import(&self, units: i64) -> Result<()> {
        let body = json!({ "ref_id": self.sku, "ref_type": "ProductSku", "change": units });
        self.seller.client.post("/api/v1/inventory/stock/import", body).await?.data(200);
        Ok(())
    }

    /// The body of a checkout of `quantity` units, paid at the door.
    pub fn checkout(&self, quantity: i64) -> Value {
        json!({
            "buy_now": true, "address": ADDRESS, "payment_option": "system-cod",
            "items": [{ "sku_id": self.sku, "quantity": quantity, "transport_option": "standard" }],
        })
    }

    /// Available and taken units.
    pub async fn stock(&self) -> Result<(i64, i64)> {
        let path = format!("/api/v1/inventory/stock?ref_id={}&ref_type=ProductSku", self.sku);
        let stock = self.seller.client.get(&path).await?;
        let stock = stock.data(200);
        Ok((stock["stock"].as_i64().unwrap_or(-1), stock["taken"].as_i64().unwrap_or(-1)))
    }

    /// The same shop on a host that was started again.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { seller: self.seller.at(url), buyer: self.buyer.at(url), ..self.clone() }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
