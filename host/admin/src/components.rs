//! Revisions of components: uploaded, activated, taken back.

use bytes::Bytes;
use host_types::{ComponentId, DeploymentNumber};
use serde::{Deserialize, Serialize};

use crate::problem::Refusal;
use crate::view::RevisionDigest;
use crate::{Timestamp, query};

/// Who chose what is active of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It is the file that the host was started with.
    File,
    /// An operator activated it in the place of that file.
    Operator,
}

/// A component, and which revision of it answers new invocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentView {
    /// Its name in the manifest.
    pub id: ComponentId,
    /// What the manifest says about it; may be empty.
    pub description: String,
    /// The revision of the current deployment.
    pub revision: RevisionDigest,
    /// The current deployment.
    pub deployment: DeploymentNumber,
    /// The database schema it owns.
    pub schema: Option<String>,
    /// Its HTTP routes, as the manifest writes them.
    pub routes: Vec<String>,
    /// Who chose the revision.
    pub source: Source,
    /// Since when it is chosen: when an operator said so, or this host was started.
    pub since: Timestamp,
    /// The file that the host was started with.
    pub file: RevisionDigest,
    /// What rollbacks would go back to, one after the other.
    pub back_to: Vec<RevisionDigest>,
}

/// All components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentsView {
    /// By name.
    pub components: Vec<ComponentView>,
}

/// The parameters of `POST /v1/components/{id}/revisions` and its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploading {
    /// A component in WebAssembly's binary format.
    pub wasm: Bytes,
    /// Activate it as well.
    pub activate: bool,
    /// Why, for the audit log.
    pub reason: String,
}

impl Uploading {
    /// Reads the parameters.
    pub(crate) fn new(query: &str) -> Result<Self, Refusal> {
        let mut uploading = Self::default();
        for (name, value) in query::pairs(query)? {
            match (name.as_str(), value.as_str()) {
                (_, "") => {}
                ("activate", value) => uploading.activate = query::flag(&name, value)?,
                ("reason", _) => uploading.reason = value,
                _ => {
                    let detail = "is unknown; there are activate and reason".to_owned();
                    return Err(Refusal::Parameter { name, detail });
                }
            }
        }
        Ok(uploading)
    }

    /// The query string, without the question mark.
    pub(crate) fn query(&self) -> String {
        let pairs = [("activate", self.activate.to_string()), ("reason", self.reason.clone())];
        serde_urlencoded::to_string(pairs).expect("pairs of texts have a form encoding")
    }
}

/// The body of `POST /v1/components/{id}/activate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activating {
    /// The revision.
    pub digest: RevisionDigest,
    /// Why, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// The body of `POST /v1/components/{id}/rollback`; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollingBack {
    /// Why, for the audit log.
    pub reason: String,
}

/// A revision that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedView {
    /// Of this component.
    pub component: ComponentId,
    /// Which.
    pub revision: RevisionDigest,
    /// The component had no such revision before.
    pub is_new: bool,
    /// What came of its activation, if that was asked for.
    pub activated: Option<ActivatedView>,
}

/// A revision that is active on all live nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedView {
    /// Of this component.
    pub component: ComponentId,
    /// Which.
    pub revision: RevisionDigest,
    /// The deployment of new invocations on the host that was asked.
    pub deployment: DeploymentNumber,
    /// It was active before it was asked for.
    pub was_active: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_understood_or_refused() {
        let uploading = Uploading {
            wasm: Bytes::new(),
            activate: true,
            reason: "faster & safer".into(),
        };
        assert_eq!(Uploading::new(&uploading.query()).ok(), Some(uploading));
        assert_eq!(Uploading::new("").ok(), Some(Uploading::default()));
        for wrong in ["activate=perhaps", "digest=1", "activated=true"] {
            assert!(Uploading::new(wrong).is_err(), "{wrong}");
        }
    }
}
