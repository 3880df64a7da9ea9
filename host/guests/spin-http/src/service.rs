//! The handler.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use spin_sdk::http::body::{IncomingBodyExt, stream};
use spin_sdk::http::{BoxBody, EmptyBody, FullBody, Request, Response, Result, StatusCode, box_body, get};
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::wit_future;
use spin_sdk::{http_service, time};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(3600);

#[http_service]
async fn handle(request: Request) -> Result<Response<BoxBody>> {
    let told = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    match told("spin-path-info").as_str() {
        "/told" => text(format!(
            "{} {} {} {}",
            request.method(),
            request.uri(),
            told("spin-component-route"),
            told("authorization")
        )),
        "/echo" => Ok(Response::new(box_body(request.into_body()))),
        "/upper" => upper(request),
        "/length" => {
            let body = request.into_body().bytes().await?;
            text(body.len().to_string())
        }
        "/fetch" => fetch(request).await,
        "/stuck" => stuck(),
        "/broken" => broken(),
        "/late" => {
            time::sleep(LONG).await;
            text("late".to_owned())
        }
        "/panic" => panic!("asked to"),
        "/loop" => loop {
            std::hint::black_box(());
        },
        "/grow" => {
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "/hoard" => loop {
            let fields = types::Fields::from_list(&[("x-long".to_owned(), vec![b'a'; 40 << 10])]);
            std::mem::forget(fields);
        },
        "/names" => names(),
        "/environment" => text(std::env::var("GREETING").unwrap_or_default()),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn text(text: String) -> Result<Response<BoxBody>> {
    println!("answering with {} bytes", text.len());
    Ok(Response::new(box_body(FullBody::new(Bytes::from(text)))))
}

/// What a request may be called, and what is longer than that.
fn names() -> Result<Response<BoxBody>> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = types::Request::new(types::Fields::new(), None, trailers, None);
    let told = |length: usize| {
        let long = "a".repeat(length);
        let method = types::Method::Other(long.clone());
        let told = [
            request.set_method(&method),
            request.set_authority(Some(&long)),
            request.set_path_with_query(Some(&format!("/{long}"))),
        ];
        told.map(|told| told.is_ok())
    };
    text(format!("{:?} {:?}", told(1 << 10), told(32 << 10)))
}

fn status(status: StatusCode) -> Result<Response<BoxBody>> {
    Ok(Response::builder().status(status).body(box_body(EmptyBody::new()))?)
}

/// Each part of the body goes back as soon as it is there.
fn upper(request: Request) -> Result<Response<BoxBody>> {
    let (mut parts, body) = stream::<Bytes>();
    spin_sdk::wasip3::spawn(async move {
        let mut read = request.into_body().stream();
        while let Some(Ok(part)) = read.next().await {
            if parts.send(part.to_ascii_uppercase().into()).await.is_err() {
                break;
            }
        }
    });
    Ok(Response::new(box_body(body)))
}

/// Asks the address in the body, and says what came of it.
async fn fetch(request: Request) -> Result<Response<BoxBody>> {
    let address = request.into_body().bytes().await?;
    let address = String::from_utf8_lossy(&address).into_owned();
    match get(&address).await {
        Ok(response) => {
            let status = response.status();
            let body = response.into_body().bytes().await?;
            text(format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body)))
        }
        Err(error) => text(format!("{error:?}")),
    }
}

/// One part, and then nothing for long.
fn stuck() -> Result<Response<BoxBody>> {
    let (mut parts, body) = stream::<Bytes>();
    spin_sdk::wasip3::spawn(async move {
        let _ = parts.send(Bytes::from_static(b"part")).await;
        time::sleep(LONG).await;
        drop(parts);
    });
    Ok(Response::new(box_body(body)))
}

/// One part, and then a panic.
fn broken() -> Result<Response<BoxBody>> {
    let (mut parts, body) = stream::<Bytes>();
    spin_sdk::wasip3::spawn(async move {
        let _ = parts.send(Bytes::from_static(b"part")).await;
        time::sleep(Duration::from_millis(20)).await;
        panic!("in the middle");
    });
    Ok(Response::new(box_body(body)))
}
