//! Keeps the templates of a SkyDeployment on the host, as ControllerRevisions that belong to it: what `kubectl sky rollout
//! history` lists and `undo` goes back to. Written when the template changes, and looked at once after a start.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use sky_convert::deployment::{Deployment, parse};
use sky_convert::revision::{self, Kept};
use sky_core::deployment::{Members, Step};
use sky_core::revision::{Change, KEPT, Revision, hash, plan};
use sky_crds::SkyDeployment;

use super::memory::Memory;
use super::{Context, DeploymentError};
use crate::host;

/// Makes the present template the newest revision; those beyond the ones that are kept go.
pub(super) async fn keep(
    context: &Context,
    deployment: &SkyDeployment,
    memory: &mut Memory,
) -> Result<(), DeploymentError> {
    let template = revision::template(deployment);
    let present = hash(&template);
    if memory.revision.as_ref() == Some(&present) {
        return Ok(());
    }
    let failed = |source| DeploymentError::host("revision", deployment, source);
    let (api, kept) = listed(context, deployment).await?;
    let there: Vec<Revision> = kept.iter().map(|one| one.revision.clone()).collect();
    let named = |number: i64| kept.iter().find(|one| one.revision.number == number);
    let wanted = plan(&there, &present, KEPT);
    match wanted.change {
        Change::None => {}
        Change::Create => {
            let object = revision::to_api(deployment, wanted.present, &template);
            match host::within(api.create(&PostParams::default(), &object)).await {
                Ok(_) => {}
                // It is there by now.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Change::Renumber(from) => {
            if let Some(one) = named(from) {
                let patch = Patch::Merge(json!({"revision": wanted.present}));
                let params = PatchParams::default();
                host::within(api.patch(&one.name, &params, &patch))
                    .await
                    .map_err(failed)?;
            }
        }
    }
    for number in wanted.delete {
        if let Some(one) = named(number) {
            match host::within(api.delete(&one.name, &DeleteParams::default())).await {
                Ok(_) => {}
                Err(error) if host::is_gone(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    memory.earlier = kept
        .iter()
        .filter(|one| one.revision.hash != present)
        .map(|one| one.template.clone())
        .collect();
    memory.revision = Some(present);
    Ok(())
}

/// The revisions of `deployment`, and where they are.
async fn listed(
    context: &Context,
    deployment: &SkyDeployment,
) -> Result<(Api<ControllerRevision>, Vec<Kept>), DeploymentError> {
    let uid = deployment.uid().unwrap_or_default();
    let namespace = deployment.namespace().unwrap_or_default();
    let api: Api<ControllerRevision> = Api::namespaced(context.client.clone(), &namespace);
    let of_this = ListParams::default().labels(&revision::selector(&uid));
    let listed = host::within(api.list(&of_this))
        .await
        .map_err(|source| DeploymentError::host("revision", deployment, source))?;
    let kept = listed.items.iter();
    let kept = kept.filter_map(|one| revision::from_api(one, &uid)).collect();
    Ok((api, kept))
}

/// `deployment` with the template that its replicas still have, the newest of those that some have, when one of `steps`
/// may need it. `None` also where that is not kept any more.
pub(super) async fn before(
    context: &Context,
    deployment: &SkyDeployment,
    steps: &[Step],
    members: &Members,
) -> Result<Option<Deployment>, DeploymentError> {
    let needs = |step: &Step| match step {
        Step::Ensure {
            only_scale,
            as_before,
            ..
        } => *only_scale || *as_before,
        Step::Withdraw { .. } => false,
    };
    if !steps.iter().any(needs) {
        return Ok(None);
    }
    let (_, mut kept) = listed(context, deployment).await?;
    kept.sort_by_key(|one| std::cmp::Reverse(one.revision.number));
    let rules = context.rules.read();
    let runs = |wanted: &Deployment| {
        members.shares.iter().any(|(cluster, seen)| {
            let standing = rules.clusters.get(cluster.as_str());
            standing.is_some_and(|one| wanted.hash_on(cluster, &one.labels) == seen.stamp.spec_hash)
        })
    };
    let defaults = context.defaults.now();
    let each = kept.iter().filter_map(|one| {
        let mut object = json!(deployment);
        revision::restore(&mut object, &one.template);
        let restored: SkyDeployment = serde_json::from_value(object).ok()?;
        parse(&restored, &defaults).ok()
    });
    Ok(each.into_iter().find(runs))
}
