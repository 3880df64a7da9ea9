//! Components and their revisions, as the admin port tells of them.

use std::collections::BTreeMap;

use host_admin::{
    ActivatedView, Asked, ComponentView, OperateError, RevisionDigest, Source, Timestamp, UploadedView, Uploading,
};
use host_invoker::Activated;
use host_types::{ComponentId, Digest};

use super::{Operator, in_words, refused};

impl Operator {
    pub(super) async fn component_views(&self) -> Result<Vec<ComponentView>, OperateError> {
        // In one: what is shown is one deployment's.
        let deployment = self.deployment()?;
        let standing = self.revisions.standing().await.map_err(refused)?;
        let mut standing: BTreeMap<_, _> = standing.into_iter().collect();
        let views = deployment.revisions().map(|(id, revision)| {
            let granted = &deployment.app().components[id];
            let routes = deployment.app().routes.iter().filter(|route| route.component == *id);
            let standing = standing.remove(id);
            let file = standing.as_ref().map_or(revision, |standing| standing.file);
            let since_ms = standing.as_ref().and_then(|standing| standing.since_ms);
            let back_to = standing.into_iter().flat_map(|standing| standing.back_to);
            ComponentView {
                id: id.clone(),
                description: granted.description.clone(),
                revision: RevisionDigest(revision),
                deployment: deployment.number(),
                schema: granted.schema.as_ref().map(ToString::to_string),
                routes: routes.map(|route| route.pattern.to_string()).collect(),
                source: if revision == file {
                    Source::File
                } else {
                    Source::Operator
                },
                since: since_ms.map_or(self.started, Timestamp::from_unix_ms),
                file: RevisionDigest(file),
                back_to: back_to.map(RevisionDigest).collect(),
            }
        });
        Ok(views.collect())
    }

    pub(super) async fn uploaded(
        &self,
        component: ComponentId,
        uploading: Uploading,
        asked: Asked,
    ) -> Result<UploadedView, OperateError> {
        let Uploading { wasm, activate, .. } = uploading;
        let uploaded = self.revisions.upload(&component, wasm.into()).await.map_err(refused)?;
        let activated = match activate {
            true => Some(self.activated(component.clone(), uploaded.revision, asked).await?),
            false => None,
        };
        Ok(UploadedView {
            component,
            revision: RevisionDigest(uploaded.revision),
            is_new: uploaded.is_new,
            activated,
        })
    }

    pub(super) async fn activated(
        &self,
        component: ComponentId,
        revision: Digest,
        asked: Asked,
    ) -> Result<ActivatedView, OperateError> {
        let asked = in_words(asked);
        let activated = self.revisions.activate(&component, revision, &asked).await;
        Ok(view(component, activated.map_err(refused)?))
    }

    pub(super) async fn rolled_back(
        &self,
        component: ComponentId,
        asked: Asked,
    ) -> Result<ActivatedView, OperateError> {
        let activated = self.revisions.rollback(&component, &in_words(asked)).await;
        Ok(view(component, activated.map_err(refused)?))
    }
}

fn view(component: ComponentId, activated: Activated) -> ActivatedView {
    ActivatedView {
        component,
        revision: RevisionDigest(activated.revision),
        deployment: activated.deployment,
        was_active: activated.was_active,
    }
}
