//! The application of `host/guests/outbound` in a real host, and the servers it may or may not reach.

use std::path::PathBuf;

use anyhow::Result;
use component_tests::{Answer, Nexus, NexusOptions, guest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer::Peer;

/// The application's folder: its manifest beside the component's bytes.
pub(crate) struct Application {
    folder: TempDir,
}

const MANIFEST: &str = include_str!("../../../../host/guests/outbound/spin.toml");

impl Application {
    /// With the manifest as it is but for `change`.
    pub(crate) fn new(change: impl FnOnce(&str) -> String) -> Result<Self> {
        let folder = TempDir::new()?;
        std::fs::copy(guest("guest-outbound")?, folder.path().join("guest_outbound.wasm"))?;
        std::fs::write(folder.path().join("spin.toml"), change(MANIFEST))?;
        Ok(Self { folder })
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }
}

/// The host, and whom its component knows.
pub(crate) struct World {
    pub(crate) nexus: Nexus,
    /// Granted; a request in doubt is reported.
    pub(crate) reported: Peer,
    /// Granted; a request in doubt is repeated under its key.
    pub(crate) repeated: Peer,
    /// Its port is granted on every host.
    pub(crate) anywhere: Peer,
    /// Not granted.
    pub(crate) ungranted: Peer,
    _application: Application,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let application = Application::new(str::to_owned)?;
        let (reported, repeated) = (Peer::start().await?, Peer::start().await?);
        let (anywhere, ungranted) = (Peer::start().await?, Peer::start().await?);
        let options = options(&reported, &repeated, &anywhere, &[]);
        let nexus = Nexus::start_application(&application.manifest(), options).await?;
        Ok(Self {
            nexus,
            reported,
            repeated,
            anywhere,
            ungranted,
            _application: application,
        })
    }

    /// How a host of this application is started, with further environment variables.
    pub(crate) fn options(&self, further: &[(&str, String)]) -> NexusOptions {
        options(&self.reported, &self.repeated, &self.anywhere, further)
    }

    pub(crate) async fn restart(&mut self, further: &[(&str, String)]) -> Result<()> {
        let options = self.options(further);
        self.nexus.restart(options).await
    }

    /// What came of a request that the component was asked to send.
    pub(crate) async fn send(&self, component: &str, body: Value) -> Result<Answer> {
        self.nexus.client().post(&format!("/{component}/send"), body).await
    }
}

pub(crate) fn options(reported: &Peer, repeated: &Peer, anywhere: &Peer, further: &[(&str, String)]) -> NexusOptions {
    let variables = [
        ("SPIN_VARIABLE_REPORTED", reported.address.to_string()),
        ("SPIN_VARIABLE_REPEATED", repeated.address.to_string()),
        ("SPIN_VARIABLE_ANY_PORT", anywhere.address.port().to_string()),
    ];
    NexusOptions::with(variables.iter().chain(further))
}

/// Asks for a POST of this body.
pub(crate) fn post(authority: impl ToString, path: &str, body: &str) -> Value {
    json!({ "method": "POST", "authority": authority.to_string(), "path": path, "body": body })
}

/// Asks for a GET.
pub(crate) fn get(authority: impl ToString, path: &str) -> Value {
    json!({ "method": "GET", "authority": authority.to_string(), "path": path, "body": "" })
}

/// The error of its interface that the component was told.
#[track_caller]
pub(crate) fn error(answer: &Answer) -> String {
    let told = &answer.data(200)["error"];
    told.as_str()
        .unwrap_or_else(|| panic!("no error: {}", answer.json))
        .to_owned()
}
