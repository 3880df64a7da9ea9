//! A seller with stock and a buyer with an address, ready to trade.

use anyhow::Result;
use serde_json::{Value, json};

use crate::Client;

/// An address in the buyer's and the seller's country.
pub const ADDRESS: &str = "8 Nguyen Hue, District 1, Ho Chi Minh City, Vietnam";

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
        let person = Self::sign_up(client, username, "VN").await?;
        let contact =
            json!({ "full_name": username, "phone": "+84912345678", "address": ADDRESS, "address_type": "Home" });
        person.client.post("/api/v1/account/contact", contact).await?.data(200);
        Ok(person)
    }

    /// Registers an account of this name and country, without a contact.
    pub async fn sign_up(client: &Client, username: &str, country: &str) -> Result<Self> {
        let body = json!({ "username": username, "password": "correct-horse", "country": country });
        let tokens = client.post("/api/v1/account/auth/register/basic", body).await?;
        let client = client.signed_in(&tokens.text(201, "access_token"));
        let id = client.get("/api/v1/account/me").await?.text(200, "id");
        Ok(Self { id, client })
    }

    /// Puts a product with one variant on sale, with this many units.
    pub async fn lists(&self, name: &str, currency: &str, units: i64) -> Result<Listing> {
        let categories = self.client.get("/api/v1/catalog/category?limit=1").await?;
        let spu = json!({
            "category_id": categories.data(200)[0]["id"], "name": name, "description": "One litre",
            "currency": currency, "is_enabled": true, "tags": ["coffee"],
        });
        let spu = self
            .client
            .post("/api/v1/catalog/product-spu", spu)
            .await?
            .text(200, "id");
        let sku = json!({
            "spu_id": spu, "price": 100_000, "combinable": true,
            "attributes": [{ "name": "Color", "value": "Blue" }], "package_details": { "weight_grams": 800 },
        });
        let sku = self
            .client
            .post("/api/v1/catalog/product-sku", sku)
            .await?
            .text(200, "id");
        if units > 0 {
            self.imports(&sku, units).await?;
        }
        Ok(Listing { spu, sku })
    }

    /// More units of a variant.
    pub async fn imports(&self, sku: &str, units: i64) -> Result<()> {
        let body = json!({ "ref_id": sku, "ref_type": "ProductSku", "change": units });
        self.client
            .post("/api/v1/inventory/stock/import", body)
            .await?
            .data(200);
        Ok(())
    }

    /// Available and taken units of a variant.
    pub async fn stock_of(&self, sku: &str) -> Result<(i64, i64)> {
        let path = format!("/api/v1/inventory/stock?ref_id={sku}&ref_type=ProductSku");
        let stock = self.client.get(&path).await?;
        let stock = stock.data(200);
        Ok((
            stock["stock"].as_i64().unwrap_or(-1),
            stock["taken"].as_i64().unwrap_or(-1),
        ))
    }

    /// The same account on a host that was started again.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            client: self.client.at(url),
            ..self.clone()
        }
    }
}

/// A product with one variant.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The product.
    pub spu: String,
    /// Its variant.
    pub sku: String,
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
        let Listing { spu, sku } = seller.lists("Enamel pot", "VND", units).await?;
        Ok(Self {
            seller,
            buyer,
            spu,
            sku,
        })
    }

    /// More units.
    pub async fn import(&self, units: i64) -> Result<()> {
        self.seller.imports(&self.sku, units).await
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
        self.seller.stock_of(&self.sku).await
    }

    /// The same shop on a host that was started again.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            seller: self.seller.at(url),
            buyer: self.buyer.at(url),
            ..self.clone()
        }
    }
}
