//! The Deployment of a SkyDeployment's share: sent by server-side apply, so that fields that are not ours are left alone;
//! and what it says of itself. Nothing foreign is touched.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sky_core::observation::{Counts, Observation, Rollout, Started, Trouble};
use sky_core::ranks::Ranks;
use sky_core::share::{Share, ShareKey, Stamp};

use super::dispatch::TRIES;
use super::errors::classify;
use super::observe::say;
use super::pod::{Phase, Pod};
use super::{namespace, object, stamp};
use crate::{Class, Ensured, MemberError, Scale};

/// Who owns the fields that we apply.
const MANAGER: &str = "sky-operator";

/// Creates the Deployment of `share`, or brings what we say of it back to what is wanted. Its controller writes to it at
/// the same time: what is refused for that is sent anew, to what there is then.
pub(super) async fn ensure(client: &Client, share: &Share) -> Result<Ensured, MemberError> {
    for _ in 0..TRIES {
        if let Some(answer) = apply(client, share).await? {
            return Ok(answer);
        }
    }
    Err(changed(&share.key.object))
}

/// `None`: it was changed, created or deleted meanwhile; look again.
async fn apply(client: &Client, share: &Share) -> Result<Option<Ensured>, MemberError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), &share.key.namespace);
    let present = look(&api, &share.key).await?;
    let mut wanted = object::deployment(share)?;
    let mut params = PatchParams::apply(MANAGER);
    if let Some(present) = &present {
        own(present, &share.stamp)?;
        refuse_rival(client, present, share.replicas).await?;
        // Ours by its stamp: what others have put into our fields goes. Just this object, as it was looked at.
        params = params.force();
        wanted["metadata"]["uid"] = json!(present.uid());
        wanted["metadata"]["resourceVersion"] = json!(present.resource_version());
    }
    let name = &share.key.object;
    let mut applied = api.patch(name, &params, &Patch::Apply(&wanted)).await;
    if let Err(kube::Error::Api(status)) = &applied
        && status.code == 404
        && status.message.contains("namespaces")
    {
        namespace::supply(client, &share.stamp.origin, &share.key.namespace).await?;
        applied = api.patch(name, &params, &Patch::Apply(&wanted)).await;
    }
    answer(applied)
}

/// Changes only the number of replicas of the Deployment that is there.
pub(super) async fn scale(client: &Client, scale: &Scale) -> Result<Ensured, MemberError> {
    for _ in 0..TRIES {
        if let Some(answer) = set_replicas(client, scale).await? {
            return Ok(answer);
        }
    }
    Err(changed(&scale.key.object))
}

async fn set_replicas(client: &Client, scale: &Scale) -> Result<Option<Ensured>, MemberError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), &scale.key.namespace);
    let name = &scale.key.object;
    let Some(present) = look(&api, &scale.key).await? else {
        return Err(changed(name));
    };
    own(&present, &scale.stamp)?;
    refuse_rival(client, &present, scale.replicas).await?;
    let patch = json!({
        "metadata": {"uid": present.uid(), "resourceVersion": present.resource_version()},
        "spec": {"replicas": scale.replicas},
    });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    answer(api.patch(name, &params, &Patch::Merge(patch)).await)
}

fn answer(applied: Result<Deployment, kube::Error>) -> Result<Option<Ensured>, MemberError> {
    match applied {
        Ok(object) => Ok(Some(Ensured::AsWanted(object.metadata.generation.unwrap_or(0)))),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(classify(&error)),
    }
}

async fn look(api: &Api<Deployment>, key: &ShareKey) -> Result<Option<Deployment>, MemberError> {
    api.get_opt(&key.object).await.map_err(|error| classify(&error))
}

fn own(present: &Deployment, wanted: &Stamp) -> Result<(), MemberError> {
    if stamp::read(present).is_some_and(|stamp| stamp.is_of_same_share(wanted)) {
        return Ok(());
    }
    let words = format!(
        "a Deployment {} that is not of this share is there already",
        present.name_any()
    );
    Err(MemberError::new(Class::Conflict, words))
}

fn changed(name: &str) -> MemberError {
    let words = format!("the Deployment {name} was changed or deleted meanwhile");
    MemberError::new(Class::Throttled, words)
}

/// Refuses to change the number of replicas where a HorizontalPodAutoscaler of the member sets it: the two would take
/// turns for ever.
async fn refuse_rival(client: &Client, present: &Deployment, replicas: i64) -> Result<(), MemberError> {
    let now = present.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let scaled_by_others = present.managed_fields().iter().any(|entry| {
        entry.subresource.as_deref() == Some("scale") && entry.manager.as_deref() != Some(MANAGER)
    });
    if i64::from(now) == replicas || !scaled_by_others {
        return Ok(());
    }
    let namespace = present.namespace().unwrap_or_default();
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    let all = match api.list(&ListParams::default()).await {
        Ok(all) => all.items,
        // A member that does not let us look is one where nobody is found.
        Err(kube::Error::Api(status)) if status.code == 403 => Vec::new(),
        Err(error) => return Err(classify(&error)),
    };
    let rival = all.into_iter().find(|scaler| {
        let target = &scaler.spec.scale_target_ref;
        target.kind == "Deployment" && target.name == present.name_any()
    });
    match rival {
        None => Ok(()),
        Some(rival) => {
            let words = format!(
                "the HorizontalPodAutoscaler {} there sets {now} replicas, {replicas} are wanted; delete it, and scale the \
                 SkyDeployment instead",
                rival.name_any()
            );
            Err(MemberError::new(Class::Conflict, words))
        }
    }
}

/// What is kept of a Deployment of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeploymentRow {
    stamp: Stamp,
    instance: String,
    replicas: i64,
    deleting: bool,
    rollout: Rollout,
    failure: Option<Trouble>,
}

/// Keeps what we need of `object`; `None` when its stamp is not readable.
pub(super) fn trim(object: &Deployment) -> Option<DeploymentRow> {
    let stamp = stamp::read(object)?;
    let spec = object.spec.as_ref()?;
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    let count = |count: Option<i32>| i64::from(count.unwrap_or(0));
    let stuck = condition(&status, "Progressing", "False");
    Some(DeploymentRow {
        stamp,
        instance: object.metadata.uid.clone().unwrap_or_default(),
        replicas: i64::from(spec.replicas.unwrap_or(1)),
        deleting: object.metadata.deletion_timestamp.is_some(),
        rollout: Rollout {
            generation,
            current: status.observed_generation.unwrap_or(0) >= generation,
            existing: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            stuck: stuck.filter(|why| why.reason == "ProgressDeadlineExceeded"),
        },
        failure: condition(&status, "ReplicaFailure", "True"),
    })
}

fn condition(status: &DeploymentStatus, kind: &str, value: &str) -> Option<Trouble> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == kind && condition.status == value)?;
    Some(Trouble {
        reason: condition.reason.clone().unwrap_or_else(|| kind.into()),
        message: condition.message.clone().unwrap_or_default(),
    })
}

/// What the share is doing, by its Deployment and its pods.
pub(super) fn observe<'p>(
    key: &ShareKey,
    row: &DeploymentRow,
    pods: impl Iterator<Item = &'p Pod> + Clone,
) -> Observation {
    let number = |which: fn(&Pod) -> bool| {
        i64::try_from(pods.clone().filter(|pod| which(pod)).count()).unwrap_or(i64::MAX)
    };
    let running = number(|pod| pod.phase == Phase::Running && !pod.deleting).min(row.replicas);
    let on_node = number(|pod| pod.takes_room() && pod.node.is_some() && !pod.deleting);
    let started = row.rollout.ready > 0 || pods.clone().any(|pod| pod.started);
    let short = row.rollout.available < row.replicas || row.rollout.updated < row.replicas;
    let trouble = row.failure.clone().or_else(|| say(pods.clone()));
    Observation {
        key: key.clone(),
        stamp: row.stamp.clone(),
        instance: row.instance.clone(),
        replicas: row.replicas,
        counts: Counts {
            pending: row.replicas - running,
            running,
            ..Counts::default()
        },
        settled: if row.deleting {
            row.replicas
        } else {
            on_node.min(row.replicas)
        },
        started: if started { Started::Yes } else { Started::No },
        done: Ranks::default(),
        active: number(Pod::takes_room),
        suspended: false,
        confirm: None,
        tombstone: None,
        deleting: row.deleting,
        end: None,
        trouble: trouble.filter(|_| short),
        rollout: Some(row.rollout.clone()),
    }
}
