//! A pod, as far as we read it: what it asks for, where it is, and what keeps it from running.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::Object;
use serde::Deserialize;
use sky_core::observation::{Started, Trouble};
use sky_core::quantity;
use sky_core::resources::{self, CPU, ContainerRequest, MEMORY, Resources};
use sky_core::workload::Kind;

/// A pod of which only the fields below are parsed and kept.
pub(super) type LeanPod = Object<PodSpec, PodStatus>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    node_name: Option<String>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    resources: Requests,
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Requests {
    requests: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Words>,
    running: Option<serde::de::IgnoredAny>,
    terminated: Option<Words>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Words {
    reason: Option<String>,
    message: Option<String>,
    exit_code: Option<i64>,
    started_at: Option<String>,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// The node it is bound to.
    pub(super) node: Option<String>,
    /// What it asks of that node.
    pub(super) requests: Resources,
    /// Where it is in its life.
    pub(super) phase: Phase,
    /// Whether a container of it has ever started.
    pub(super) started: bool,
    /// Whether its node said how its containers ended.
    pub(super) ended_by_node: bool,
    /// Whether its node refused it before it ran anything.
    pub(super) turned_away: bool,
    /// What keeps it from running, or made it fail.
    pub(super) trouble: Option<Trouble>,
    /// Completion index within its Job.
    pub(super) index: Option<i64>,
    /// Being deleted.
    pub(super) deleting: bool,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Pod {
    /// Whether it has ever started, if this is its last state and it is gone now.
    ///
    /// A pod that was never given to a node has not, nor one that its node turned away. On a node, the kubelet starts containers and tells about it
    /// afterwards; before it lets a deleted pod go, it stops what runs and writes into the pod how each container ended.
    /// A pod that went without those words was removed by force or with its node: nobody knows what ran.
    pub(super) fn had_started(&self) -> Started {
        let is_explained = self.ended_by_node || self.turned_away;
        match (self.started, &self.node) {
            (true, _) => Started::Yes,
            (false, Some(_)) if !is_explained => Started::Unknown,
            (false, _) => Started::No,
        }
    }

    /// Whether it has ever started, if this is what was last heard of it, but not its last state.
    pub(super) fn may_have_started(&self) -> Started {
        if self.takes_room() && !self.started {
            Started::Unknown
        } else {
            self.had_started()
        }
    }

    /// Whether it takes room on its node.
    pub(super) fn takes_room(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Running)
    }
}

/// Uid of the Job that owns the pod.
pub(super) fn owner(pod: &LeanPod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners
        .find(|owner| owner.kind == "Job")
        .map(|owner| owner.uid.as_str())
}

/// The kind of workload that the pod is of, by what owns it.
pub(super) fn of(pod: &LeanPod) -> Kind {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if owners.any(|owner| owner.kind == "ReplicaSet") {
        Kind::SkyDeployment
    } else {
        Kind::SkyJob
    }
}

/// Keeps what we need of `pod`.
pub(super) fn trim(pod: &LeanPod) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let phase = match status.phase.as_deref() {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Pending,
    };
    let index = pod
        .labels()
        .get("batch.kubernetes.io/job-completion-index")
        .and_then(|text| text.parse().ok());
    Pod {
        node: pod.spec.node_name.clone(),
        requests: requests(&pod.spec),
        phase,
        started: matches!(phase, Phase::Running | Phase::Succeeded) || started(&status),
        ended_by_node: matches!(phase, Phase::Succeeded | Phase::Failed)
            && containers(&status).any(|container| container.state.terminated.is_some()),
        turned_away: phase == Phase::Failed && turned_away(&status),
        trouble: trouble(phase, &status),
        index,
        deleting: pod.metadata.deletion_timestamp.is_some(),
    }
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
}

fn started(status: &PodStatus) -> bool {
    containers(status).any(|container| {
        let ended = container.state.terminated.as_ref();
        container.state.running.is_some()
            || ended.is_some_and(|ended| !is_stand_in(container, ended))
            || container.last_state.running.is_some()
            || container.last_state.terminated.is_some()
    })
}

/// Whether a kubelet refused the pod at its door: for want of room (`OutOfcpu`), or because the node is not what the pod
/// asks for. Its status is then written whole, with these first words and without a container. (Kubernetes 1.36,
/// `rejectPod`.) What has run before the kubelet started anew and refused it has been seen to run; see `Past`.
fn turned_away(status: &PodStatus) -> bool {
    let message = status.message.as_deref().unwrap_or_default();
    message.starts_with("Pod was rejected: ") && containers(status).next().is_none()
}

/// Whether `ended` stands for a container that never was. When a pod is deleted while it pulls an image, say, its kubelet
/// ends the containers that it could not find with this reason: without an id, and without a time of start. One that used
/// to run and was lost keeps its id, or has a last state. (Kubernetes 1.36, `TerminatePod` and `convertToAPIContainerStatuses`.)
fn is_stand_in(container: &ContainerStatus, ended: &Words) -> bool {
    ended.reason.as_deref() == Some("ContainerStatusUnknown")
        && ended.started_at.is_none()
        && container.container_id.as_deref().unwrap_or_default().is_empty()
}

fn requests(spec: &PodSpec) -> Resources {
    let of = |containers: &[Container]| -> Vec<ContainerRequest> {
        let each = containers.iter().map(|container| ContainerRequest {
            resources: amounts(&container.resources.requests),
            sidecar: container.restart_policy.as_deref() == Some("Always"),
        });
        each.collect()
    };
    resources::of_pod(
        &of(&spec.containers),
        &of(&spec.init_containers),
        &amounts(&spec.overhead),
    )
}

/// Quantities of the API as integers. The API server has checked them; what is still unreadable counts as nothing.
pub(super) fn amounts(quantities: &BTreeMap<String, String>) -> Resources {
    let mut amounts = Resources::default();
    for (name, quantity) in quantities {
        match name.as_str() {
            CPU => amounts.cpu = quantity::milli(quantity).unwrap_or(0),
            MEMORY => amounts.memory = quantity::units(quantity).unwrap_or(0),
            "pods" => {}
            _ => {
                amounts
                    .extended
                    .insert(name.clone(), quantity::units(quantity).unwrap_or(0));
            }
        }
    }
    amounts
}

/// In the order of what helps most: not schedulable, then a container's waiting reason, then how it ended.
fn trouble(phase: Phase, status: &PodStatus) -> Option<Trouble> {
    if phase == Phase::Succeeded {
        return None;
    }
    let unschedulable = status.conditions.iter().find(|condition| {
        condition.r#type == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unschedulable {
        return Some(words("Unschedulable", condition.message.as_deref()));
    }
    let waiting = containers(status)
        .filter_map(|container| container.state.waiting.as_ref())
        .find(|waiting| {
            // Every container waits like this for a moment.
            !matches!(
                waiting.reason.as_deref(),
                None | Some("ContainerCreating" | "PodInitializing")
            )
        });
    if let Some(waiting) = waiting {
        return Some(words(
            waiting.reason.as_deref().unwrap_or("Waiting"),
            waiting.message.as_deref(),
        ));
    }
    if phase != Phase::Failed {
        return None;
    }
    let ended = containers(status).filter_map(|container| container.state.terminated.as_ref());
    let ended = ended.into_iter().find(|ended| ended.exit_code != Some(0));
    Some(match ended {
        Some(ended) => {
            let code = ended
                .exit_code
                .map_or_else(String::new, |code| format!("exit code {code}"));
            let more = ended.message.as_deref().filter(|message| !message.is_empty());
            let message = more.map_or(code.clone(), |message| format!("{code}: {message}"));
            words(ended.reason.as_deref().unwrap_or("Error"), Some(&message))
        }
        None => words(
            status.reason.as_deref().unwrap_or("PodFailed"),
            status.message.as_deref(),
        ),
    })
}

fn words(reason: &str, message: Option<&str>) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        message: message.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value, status: Value) -> Pod {
        let metadata = json!({"name": "p", "labels": {"batch.kubernetes.io/job-completion-index": "2"}});
        let pod: LeanPod =
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status}))
                .expect("a pod of the API");
        trim(&pod)
    }

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn the_largest_init_container_counts_when_it_asks_for_more() {
        let spec =
            json!({"containers": [container("1"), container("500m")], "initContainers": [container("2")]});
        assert_eq!(pod(spec, json!({})).requests.cpu, 2000);
    }

    #[test]
    fn a_sidecar_counts_beside_the_containers_and_overhead_on_top() {
        let sidecar =
            json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}});
        let spec =
            json!({"containers": [container("1")], "initContainers": [sidecar], "overhead": {"cpu": "10m"}});
        assert_eq!(pod(spec, json!({})).requests.cpu, 1260);
    }

    #[test]
    fn an_unschedulable_pod_speaks_with_the_schedulers_words() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"});
        let seen = pod(
            json!({"containers": []}),
            json!({"phase": "Pending", "conditions": [condition]}),
        );
        assert_eq!(seen.trouble, Some(words("Unschedulable", Some("0/1 nodes"))));
        assert!(!seen.started);
    }

    #[test]
    fn a_failed_pod_says_how_its_container_ended() {
        let ended = json!({"name": "c", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
        let seen = pod(
            json!({"containers": []}),
            json!({"phase": "Failed", "containerStatuses": [ended]}),
        );
        assert_eq!(seen.trouble, Some(words("OOMKilled", Some("exit code 137"))));
        assert!(seen.started);
        assert_eq!(seen.index, Some(2));
    }

    /// A pod on a node whose only container has this status.
    fn ended(phase: &str, container: Value) -> Pod {
        let spec = json!({"nodeName": "a", "containers": []});
        pod(spec, json!({"phase": phase, "containerStatuses": [container]}))
    }

    #[test]
    fn a_container_that_its_kubelet_never_found_has_not_started() {
        let unknown = json!({"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null});
        let seen = ended("Failed", json!({"state": {"terminated": unknown}}));
        assert_eq!(seen.had_started(), Started::No);
        // One that ran before, was created at least, or has a time of start is another matter.
        let lost = json!({"state": {"terminated": unknown}, "lastState": {"terminated": unknown}});
        assert_eq!(ended("Failed", lost).had_started(), Started::Yes);
        let created = json!({"state": {"terminated": unknown}, "containerID": "containerd://1"});
        assert_eq!(ended("Failed", created).had_started(), Started::Yes);
        let at = json!({"reason": "ContainerStatusUnknown", "startedAt": "2026-01-01T00:00:00Z"});
        assert_eq!(
            ended("Failed", json!({"state": {"terminated": at}})).had_started(),
            Started::Yes
        );
    }

    #[test]
    fn a_pod_that_goes_without_its_nodes_last_words_may_have_started() {
        let waiting = json!({"state": {"waiting": {"reason": "ContainerCreating"}}});
        assert_eq!(
            ended("Pending", waiting.clone()).had_started(),
            Started::Unknown,
            "by force"
        );
        assert_eq!(ended("Failed", waiting).had_started(), Started::Unknown, "PodGC");
        let spec = json!({"containers": []});
        assert_eq!(
            pod(spec, json!({"phase": "Pending"})).had_started(),
            Started::No,
            "on no node"
        );
    }

    #[test]
    fn what_became_of_a_pending_pod_that_vanished_is_not_known() {
        let spec = json!({"containers": []});
        let pending = pod(spec.clone(), json!({"phase": "Pending"}));
        assert_eq!(pending.may_have_started(), Started::Unknown);
        assert_eq!(
            pod(spec, json!({"phase": "Failed"})).may_have_started(),
            Started::No
        );
    }

    #[test]
    fn a_pod_that_its_node_turned_away_has_not_started() {
        let message = "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 1000, capacity: 2000";
        let rejected = json!({"phase": "Failed", "reason": "OutOfcpu", "message": message});
        let spec = json!({"nodeName": "a", "containers": []});
        let seen = pod(spec.clone(), rejected.clone());
        assert!(seen.turned_away);
        assert_eq!(seen.had_started(), Started::No);
        assert_eq!(seen.trouble, Some(words("OutOfcpu", Some(message))));
        // One that has containers was let in.
        let mut ran = rejected;
        ran["containerStatuses"] =
            json!([{"state": {"terminated": {"exitCode": 137, "startedAt": "2026-01-01T00:00:00Z"}}}]);
        assert_eq!(pod(spec.clone(), ran).had_started(), Started::Yes);
        // Nor is it a rejection when a pod is failed by somebody else.
        let lost = json!({"phase": "Failed", "reason": "NodeLost", "message": "node is gone"});
        assert_eq!(pod(spec, lost).had_started(), Started::Unknown);
    }

    #[test]
    fn a_container_being_created_is_no_trouble() {
        let waiting = json!({"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}});
        let seen = pod(
            json!({"containers": []}),
            json!({"phase": "Pending", "containerStatuses": [waiting]}),
        );
        assert_eq!(seen.trouble, None);
    }
}
