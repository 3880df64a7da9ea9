//! Signed webhooks, as those send them who have something to report.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::Method;
use serde_json::Value;
use sha2::Sha256;

use crate::Client;

/// Between two deliveries of a report that was not acknowledged.
const AGAIN: Duration = Duration::from_millis(50);
/// After this a delivery is given up, and the report sent again.
const IMPATIENCE: Duration = Duration::from_secs(5);
/// How long a report is delivered at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A report as it is sent, to be spoiled by a test.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Where it goes.
    pub path: &'static str,
    /// The event's own id.
    pub id: String,
    /// When it was signed, seconds since 1970-01-01 UTC.
    pub signed_s: u64,
    /// What it is signed with.
    pub secret: String,
    /// What it says.
    pub body: Value,
}

impl Notice {
    /// The same, saying something else under a key.
    pub fn saying(&self, key: &str, value: Value) -> Self {
        let mut notice = self.clone();
        notice.body[key] = value;
        notice
    }

    /// Sends it once to a marketplace that listens there; returns the answer's status.
    pub async fn send(&self, url: &str) -> Result<u16> {
        let body = self.body.to_string();
        let signed = mac(&self.secret, &[&self.id, ".", &self.signed_s.to_string(), ".", &body]);
        let client = Client::new(url)
            .with_header("webhook-id", &self.id)
            .with_header("webhook-timestamp", &self.signed_s.to_string())
            .with_header("webhook-signature", &format!("v1,{}", STANDARD.encode(signed)));
        let answer = client
            .send_raw(Method::POST, self.path, Some("application/json"), body.into())
            .await?;
        Ok(answer.status.as_u16())
    }
}

/// Sends a report until it is acknowledged, wherever the marketplace is by then. Each time it is signed anew: one that was signed long ago is not
/// believed.
pub(crate) async fn deliver(url: impl Fn() -> String, notice: impl Fn() -> Result<Notice>) -> Result<()> {
    let mut answers = BTreeMap::<String, u32>::new();
    let delivered = async {
        loop {
            let answer = match tokio::time::timeout(IMPATIENCE, notice()?.send(&url())).await {
                Ok(Ok(200)) => return Ok(()),
                Ok(Ok(status)) => status.to_string(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer".to_owned(),
            };
            *answers.entry(answer).or_default() += 1;
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, delivered).await {
        Ok(delivered) => delivered,
        Err(_) => bail!("the report {} was not acknowledged: {answers:?}", notice()?.id),
    }
}

pub(crate) fn mac(secret: &str, parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length is a key");
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}
