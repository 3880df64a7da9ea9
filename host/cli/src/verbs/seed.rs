//! `nexus seed`: a small demo through the public interface, as any client could make it. Running it twice makes nothing twice.

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
    let known: Vec<&str> = mine["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|spu| spu["name"].as_str())
        .collect();
    let categories = api
        .call(Method::GET, "/api/v1/catalog/category?limit=100", None, None)
        .await?;
    for product in PRODUCTS {
        progress.set_message(product.name);
        if !known.contains(&product.name) {
            list(&api, &seller, product, &categories).await?;
        }
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

/// Registers the account with a contact, or signs in to it. The access token.
async fn account(api: &Api, username: &str, address: &str) -> Result<String> {
    let body = json!({ "username": username, "password": PASSWORD, "country": "VN" });
    let tokens = match api
        .send(Method::POST, "/api/v1/account/auth/register/basic", None, Some(&body))
        .await?
    {
        (StatusCode::CREATED, tokens) => tokens,
        (StatusCode::CONFLICT, _) => {
            let body = json!({ "id": username, "password": PASSWORD });
            api.call(Method::POST, "/api/v1/account/auth/login/basic", None, Some(&body))
                .await?
        }
        (status, answer) => bail!("registering {username}: {status}: {answer}"),
    };
    let token = text(&tokens["data"]["access_token"])?;
    let contacts = api
        .call(Method::GET, "/api/v1/account/contact", Some(&token), None)
        .await?;
    if contacts["data"].as_array().is_none_or(Vec::is_empty) {
        let contact =
            json!({ "full_name": username, "phone": "+84912345678", "address": address, "address_type": "Home" });
        api.call(Method::POST, "/api/v1/account/contact", Some(&token), Some(&contact))
            .await?;
    }
    Ok(token)
}

async fn list(api: &Api, seller: &str, product: &Product, categories: &Value) -> Result<()> {
    let category = categories["data"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|category| category["name"] == product.category)
        .with_context(|| format!("there is no category {:?}", product.category))?;
    let spu = json!({
        "category_id": category["id"], "name": product.name, "description": product.description,
        "currency": "VND", "is_enabled": true, "tags": product.tags,
    });
    let spu = api
        .call(Method::POST, "/api/v1/catalog/product-spu", Some(seller), Some(&spu))
        .await?;
    for variant in product.variants {
        let sku = json!({
            "spu_id": spu["data"]["id"], "price": variant.price, "combinable": true,
            "attributes": [{ "name": variant.attribute.0, "value": variant.attribute.1 }],
            "package_details": { "weight_grams": variant.weight_grams },
        });
        let sku = api
            .call(Method::POST, "/api/v1/catalog/product-sku", Some(seller), Some(&sku))
            .await?;
        let stock = json!({ "ref_id": sku["data"]["id"], "ref_type": "ProductSku", "change": variant.stock });
        api.call(
            Method::POST,
            "/api/v1/inventory/stock/import",
            Some(seller),
            Some(&stock),
        )
        .await?;
    }
    Ok(())
}

fn text(value: &Value) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .context("the answer lacks a field the interface promises")
}

impl Api {
    /// Sends a request; an answer that is no success is an error that shows it.
    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Value> {
        let described = format!("{method} {path}");
        let (status, answer) = self.send(method, path, token, body).await?;
        if !status.is_success() {
            bail!("{described}: {status}: {answer}");
        }
        Ok(answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
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
        let answer = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&answer).unwrap_or(Value::Null)))
    }
}
