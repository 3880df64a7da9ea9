//! The handler.

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{FullBody, Request, Response, Result};
use spin_sdk::http_service;
use spin_sdk::pg::{Connection, Error, ParameterValue};

/// `/execute/<address>` and `/query/<address>` run the statement in the body. Its parameters, where it has some, are a cup, three times.
#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>> {
    let path = request
        .headers()
        .get("spin-path-info")
        .and_then(|path| path.to_str().ok());
    let path: Vec<String> = path.unwrap_or_default().split('/').skip(1).map(str::to_owned).collect();
    let statement = request.into_body().bytes().await?;
    let statement = String::from_utf8_lossy(&statement).into_owned();
    let parameters = match statement.contains("$1") {
        true => vec![ParameterValue::Str("cup".to_owned()), ParameterValue::Int32(3)],
        false => Vec::new(),
    };
    let told = match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["execute", address] => execute(address, statement, parameters).await,
        ["query", address] => query(address, statement, parameters).await,
        _ => Ok("nothing is there".to_owned()),
    };
    let (status, text) = match told {
        Ok(text) => (200, text),
        Err(error) => (400, format!("{error:?}")),
    };
    Ok(Response::builder().status(status).body(FullBody::new(text.into()))?)
}

async fn execute(
    address: &str,
    statement: String,
    parameters: Vec<ParameterValue>,
) -> std::result::Result<String, Error> {
    let connection = Connection::open(address).await?;
    Ok(connection.execute(statement, parameters).await?.to_string())
}

async fn query(
    address: &str,
    statement: String,
    parameters: Vec<ParameterValue>,
) -> std::result::Result<String, Error> {
    let connection = Connection::open(address).await?;
    let mut result = connection.query(statement, parameters).await?;
    let mut rows = Vec::new();
    while let Some(row) = result.next().await {
        rows.push(format!(
            "{:?} {:?}",
            row.get::<String>("name"),
            row.get::<i32>("quantity")
        ));
    }
    result.result().await?;
    Ok(rows.join(", "))
}
