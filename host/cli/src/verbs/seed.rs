//! `nexus seed`: a small demo through the public interface, as any client could make it. Running it twice makes nothing twice, and one that was
//! cut off in the middle is completed by the next.
//!
//! What is there is looked at and what it lacks is made. A request that was cut off may still be under way after that look: each carries a key of
//! what it makes, which answers it once. Keys are forgotten after a day; by then the look tells.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::up::Ready;

/// For the demo's accounts alone, on a marketplace that holds nothing but the demo.
const PASSWORD: &str = "demo-password";

struct Product {
    category: &'static str,
    name: &'static str,
    description: &'static str,
    tags: &'static [&'static str],
    variants: &'static [Variant],
}

struct Variant {
    attribute: (&'static str, &'static str),
    price: i64,
    weight_grams: i64,
    stock: i64,
}

const PRODUCTS: &[Product] = &[
    Product {
        category: "Kitchen & Dining",
        name: "Enamel coffee pot",
        description: "One litre, for the stove and for the camp fire.",
        tags: &["coffee", "enamel"],
        variants: &[
            Variant {
                attribute: ("Color", "Blue"),
                price: 320_000,
                weight_grams: 900,
                stock: 25,
            },
            Variant {
                attribute: ("Color", "White"),
                price: 310_000,
                weight_grams: 900,
                stock: 40,
            },
        ],
    },
    Product {
        category: "Books & Media",
        name: "Notes on growing chillies",
        description: "Forty varieties, from the seed to the jar.",
        tags: &["garden", "cooking"],
        variants: &[Variant {
            attribute: ("Binding", "Paperback"),
            price: 145_000,
            weight_grams: 350,
            stock: 120,
        }],
    },
    Product {
        category: "Fashion & Clothing",
        name: "Rain jacket",
        description: "Light, taped seams, packs into its own pocket.",
        tags: &["rain", "outdoor"],
        variants: &[
            Variant {
                attribute: ("Size", "M"),
                price: 890_000,
                weight_grams: 420,
                stock: 15,
            },
            Variant {
                attribute: ("Size", "L"),
                price: 890_000,
                weight_grams: 450,
                stock: 18,
            },
        ],
    },
];

/// A client of one marketplace.
struct Api {
    url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    /// Its key had been answered before, with this.
    is_replayed: bool,
    json: Value,
}

/// Fills the marketplace at `ready.url`.
pub(crate) async fn seed(ready: &Ready, json: bool) -> Result<()> {
    let api = Api {
        url: ready.url.clone(),
        http: Client::builder(TokioExecutor::new()).build_http(),
    };
    let progress = if json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(PRODUCTS.len() as u64)
    };
    progress.set_style(ProgressStyle::with_template("seeding {bar:30} {pos}/{len} {msg}")?);
    let seller = account(&api, "demo_seller", "12 Trang Tien, Hoan Kiem, Ha Noi, Vietnam").await?;
    account(
        &api,
        "demo_buyer",
        "8 Nguyen Hue, District 1, Ho Chi Minh City, Vietnam",
    )
    .await?;
    let mine = api
        .call(
            Method::GET,
            "/api/v1/catalog/product-spu?my_products=true&limit=100",
            Some(&seller),
            None,
        )
        .await?;
    let categories = api
        .call(Method::GET, "/api/v1/catalog/category?limit=100", None, None)
        .await?;
    for product in PRODUCTS {
        progress.set_message(product.name);
        complete(&api, &seller, product, &mine, &categories).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let summary =
        json!({ "accounts": ["demo_seller", "demo_buyer"], "password": PASSWORD, "products": PRODUCTS.len() });
    crate::print_line(&if json {
        summary.to_string()
    } else {
        format!(
            "seeded {} products; sign in as demo_seller or demo_buyer with the password {PASSWORD}",
            PRODUCTS.len()
        )
    });
    Ok(())
}

/// Registers the account, or signs in to it, and gives it a contact, unless it has one. The access token.
async fn account(api: &Api, username: &str, address: &str) -> Result<String> {
    let body = json!({ "username": username, "password": PASSWORD, "country": "VN" });
    // Without a key: the name is taken once, and no answer with tokens in it is kept to be given again.
    let registered = api
        .send(
            Method::POST,
            "/api/v1/account/auth/register/basic",
            None,
            Some(&body),
            None,
        )
        .await?;
    let tokens = match registered.status {
        StatusCode::CREATED => registered.json,
        StatusCode::CONFLICT => {
            let body = json!({ "id": username, "password": PASSWORD });
            api.call(Method::POST, "/api/v1/account/auth/login/basic", None, Some(&body))
                .await?
        }
        status => bail!("registering {username}: {status}: {}", registered.json),
    };
    let token = text(&tokens["data"]["access_token"])?;
    let contacts = api
        .call(Method::GET, "/api/v1/account/contact", Some(&token), None)
        .await?;
    if contacts["data"].as_array().is_none_or(Vec::is_empty) {
        let contact =
            json!({ "full_name": username, "phone": "+84912345678", "address": address, "address_type": "Home" });
        let path = "/api/v1/account/contact";
        api.make(&token, path, &contact, "contact", "/api/v1/account/contact/")
            .await?;
    }
    Ok(token)
}

/// Makes what a product lacks: its listing, variants, their stock.
async fn complete(api: &Api, seller: &str, product: &Product, mine: &Value, categories: &Value) -> Result<()> {
    let listed = rows(&mine["data"]).find(|spu| spu["name"] == product.name);
    let spu = match listed {
        Some(spu) => text(&spu["id"])?,
        None => {
            let category = rows(&categories["data"])
                .find(|category| category["name"] == product.category)
                .with_context(|| format!("there is no category {:?}", product.category))?;
            let spu = json!({
                "category_id": category["id"], "name": product.name, "description": product.description,
                "currency": "VND", "is_enabled": true, "tags": product.tags,
            });
            let path = "/api/v1/catalog/product-spu";
            let what = format!("listing {}", product.name);
            api.make(seller, path, &spu, &what, "/api/v1/catalog/product-spu/")
                .await?
        }
    };
    let page = format!("/api/v1/catalog/product-detail?id={spu}");
    let page = api.call(Method::GET, &page, None, None).await?;
    for variant in product.variants {
        let (name, value) = variant.attribute;
        let attributes = json!([{ "name": name, "value": value }]);
        let known = rows(&page["data"]["skus"]).find(|sku| sku["attributes"] == attributes);
        let sku = match known {
            Some(sku) => text(&sku["id"])?,
            None => {
                let sku = json!({
                    "spu_id": spu, "price": variant.price, "combinable": true, "attributes": attributes,
                    "package_details": { "weight_grams": variant.weight_grams },
                });
                let path = "/api/v1/catalog/product-sku";
                let what = format!("variant {name} {value} of {spu}");
                let by_id = "/api/v1/inventory/stock?ref_type=ProductSku&ref_id=";
                api.make(seller, path, &sku, &what, by_id).await?
            }
        };
        // What was bought is not brought in anew.
        if known.is_none_or(|sku| sku["stock"] == 0 && sku["taken"] == 0) {
            let stock = json!({ "ref_id": sku, "ref_type": "ProductSku", "change": variant.stock });
            let path = "/api/v1/inventory/stock/import";
            api.post(seller, path, &stock, &format!("stock of {sku}")).await?;
        }
    }
    Ok(())
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .context("the answer lacks a field the interface promises")
}

impl Api {
    /// Makes something, once for each `what`. Its id.
    ///
    /// As long as a key is remembered it answers for what was deleted since, too, which `by_id` does not find any more: then the next one is made,
    /// under a key of its own.
    async fn make(&self, token: &str, path: &str, body: &Value, what: &str, by_id: &str) -> Result<String> {
        let mut key = what.to_owned();
        loop {
            let made = self.post(token, path, body, &key).await?;
            let id = text(&made.json["data"]["id"])?;
            if !made.is_replayed {
                return Ok(id);
            }
            let there = format!("{by_id}{id}");
            let found = self.send(Method::GET, &there, Some(token), None, None).await?;
            if found.status != StatusCode::NOT_FOUND {
                return Ok(id);
            }
            key = format!("{what} after {id}");
        }
    }

    /// Posts what is done once for each `what`.
    async fn post(&self, token: &str, path: &str, body: &Value, what: &str) -> Result<Answer> {
        let key = format!("\"seed: {what}\"");
        self.send(Method::POST, path, Some(token), Some(body), Some(&key))
            .await?
            .or_error(&format!("POST {path}"))
    }

    /// Sends a request; an answer that is no success is an error that shows it.
    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Value> {
        let described = format!("{method} {path}");
        let answer = self.send(method, path, token, body, None).await?;
        Ok(answer.or_error(&described)?.json)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let response = self.http.request(request.body(Full::new(body))?).await;
        let response = response.with_context(|| format!("the marketplace at {} does not answer", self.url))?;
        let status = response.status();
        let is_replayed = response.headers().contains_key("idempotency-replayed");
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer {
            status,
            is_replayed,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }
}

impl Answer {
    fn or_error(self, described: &str) -> Result<Self> {
        if self.status.is_success() {
            Ok(self)
        } else {
            bail!("{described}: {}: {}", self.status, self.json)
        }
    }
}
