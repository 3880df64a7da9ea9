//! The handler.

mod bindings {
    use spin_sdk::wit_bindgen;

    wit_bindgen::generate!({
        world: "test:caller/caller@0.1.0",
        path: ["../../bench/market/wit", "wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use bindings::bench::market::stock;
use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;

/// `/reserve/<item>/<quantity>` asks the module for so many of the item.
#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    let path = request
        .headers()
        .get("spin-path-info")
        .and_then(|path| path.to_str().ok());
    let numbers: Vec<i64> = path
        .unwrap_or_default()
        .split('/')
        .filter_map(|part| part.parse().ok())
        .collect();
    let (status, text) = match numbers.as_slice() {
        [item, quantity] => match stock::reserve(*item, *quantity) {
            Ok(reservation) => (200, format!("reservation {reservation}")),
            Err(reason) => (409, reason),
        },
        _ => (404, String::new()),
    };
    Ok(Response::builder().status(status).body(text)?)
}
