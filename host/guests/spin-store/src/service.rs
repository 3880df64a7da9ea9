//! The handler.

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{FullBody, Method, Request, Response, Result};
use spin_sdk::key_value::{Error, Store};
use spin_sdk::{http_service, variables};

/// `/pairs/<store>/<key>` is a pair, `/pairs/<store>` the keys, `/variables/<name>` a variable. What went wrong is told as it is.
#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>> {
    let path = request
        .headers()
        .get("spin-path-info")
        .and_then(|path| path.to_str().ok());
    let path: Vec<String> = path.unwrap_or_default().split('/').skip(1).map(str::to_owned).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let told = match path.as_slice() {
        ["variables", name] => variables::get(name).await.map_err(|error| format!("{error:?}")),
        ["pairs", store] => keys(store).await.map_err(|error| format!("{error:?}")),
        ["pairs", store, key] => {
            let method = request.method().clone();
            let value = request.into_body().bytes().await?;
            pair(&method, store, key, &value)
                .await
                .map_err(|error| format!("{error:?}"))
        }
        _ => Err("nothing is there".to_owned()),
    };
    let (status, text) = match told {
        Ok(text) => (200, text),
        Err(text) => (400, text),
    };
    Ok(Response::builder().status(status).body(FullBody::new(text.into()))?)
}

async fn keys(store: &str) -> std::result::Result<String, Error> {
    let mut keys = Store::open(store).await?.get_keys().await.collect().await?;
    keys.sort();
    Ok(keys.join(" "))
}

async fn pair(method: &Method, store: &str, key: &str, value: &[u8]) -> std::result::Result<String, Error> {
    let store = Store::open(store).await?;
    match *method {
        Method::PUT => store.set(key, value).await?,
        Method::DELETE => store.delete(key).await?,
        Method::HEAD => return Ok(store.exists(key).await?.to_string()),
        _ => {
            let value = store.get(key).await?;
            return Ok(value.map_or("none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()));
        }
    }
    Ok("done".to_owned())
}
