//! What a cache makes of events, relists among them.

use super::*;
use serde_json::{Value, json};
use sky_core::observation::Started;

fn node(name: &str, cpu: &str) -> ApiNode {
    let status = json!({
        "allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True"}],
    });
    serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).expect("a Node")
}

fn pod(name: &str, node: Option<&str>, phase: &str, share: Option<&str>) -> LeanPod {
    let labels: Value = share.map_or(json!({}), |share| json!({"skymanager.io/share": share}));
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]);
    let pod = json!({
        "metadata": {"name": name, "namespace": "n", "labels": labels},
        "spec": {"nodeName": node, "containers": containers},
        "status": {"phase": phase},
    });
    serde_json::from_value(pod).expect("a Pod")
}

fn namespace(name: &str, annotations: Value) -> ApiNamespace {
    let metadata = json!({"name": name, "labels": {"skymanager.io/origin": "o"}, "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata})).expect("a Namespace")
}

fn list_namespaces(cache: &mut Cache, all: Vec<ApiNamespace>) {
    cache.hear(Heard::Namespace(Box::new(Event::Init)));
    for each in all {
        cache.hear(Heard::Namespace(Box::new(Event::InitApply(each))));
    }
    cache.hear(Heard::Namespace(Box::new(Event::InitDone)));
}

fn synced(pods: Vec<LeanPod>) -> Cache {
    let mut cache = Cache::default();
    cache.hear(Heard::Node(Box::new(Event::Init)));
    cache.hear(Heard::Node(Box::new(Event::InitApply(node("a", "2")))));
    cache.hear(Heard::Node(Box::new(Event::InitDone)));
    cache.hear(Heard::Job(Box::new(Event::Init)));
    cache.hear(Heard::Job(Box::new(Event::InitDone)));
    cache.list_no_deployments();
    list_namespaces(&mut cache, vec![]);
    assert_eq!(cache.drain(), None, "pods are not listed yet");
    cache.hear(Heard::Pod(Box::new(Event::Init)));
    pods.into_iter()
        .for_each(|pod| cache.hear(Heard::Pod(Box::new(Event::InitApply(pod)))));
    cache.hear(Heard::Pod(Box::new(Event::InitDone)));
    cache
}

fn free_cpu(event: Option<MemberEvent>) -> Option<i64> {
    let items = match event? {
        MemberEvent::Reset(items) | MemberEvent::Changed { upserts: items, .. } => items,
        MemberEvent::Lost(_) => return None,
    };
    items.into_iter().find_map(|item| match item {
        Item::Node(node) => Some(node.free.cpu),
        Item::Share(_) | Item::Namespace(_) => None,
    })
}

#[test]
fn pods_take_room_from_their_node_until_they_end() {
    let mut cache = synced(vec![pod("p", Some("a"), "Running", None)]);
    assert_eq!(free_cpu(cache.drain()), Some(1500));
    cache.hear(Heard::Pod(Box::new(Event::Apply(pod(
        "p",
        Some("a"),
        "Succeeded",
        None,
    )))));
    assert_eq!(free_cpu(cache.drain()), Some(2000));
    assert_eq!(cache.drain(), None);
}

#[test]
fn a_pod_without_node_takes_no_room_yet() {
    let mut cache = synced(vec![pod("p", None, "Pending", Some("s"))]);
    assert_eq!(free_cpu(cache.drain()), Some(2000));
    cache.hear(Heard::Pod(Box::new(Event::Apply(pod(
        "p",
        Some("a"),
        "Pending",
        Some("s"),
    )))));
    assert_eq!(free_cpu(cache.drain()), Some(1500));
}

#[test]
fn a_relist_forgets_what_vanished_in_between() {
    let mut cache = synced(vec![pod("p", Some("a"), "Running", None)]);
    cache.drain();
    cache.hear(Heard::Pod(Box::new(Event::Init)));
    cache.hear(Heard::Pod(Box::new(Event::InitDone)));
    let event = cache.drain();
    assert!(matches!(event, Some(MemberEvent::Reset(_))));
    assert_eq!(free_cpu(event), Some(2000));
}

#[test]
fn a_node_that_goes_is_gone() {
    let mut cache = synced(vec![]);
    cache.drain();
    cache.hear(Heard::Node(Box::new(Event::Delete(node("a", "2")))));
    let gone = vec![ItemKey::Node("a".into())];
    assert_eq!(
        cache.drain(),
        Some(MemberEvent::Changed {
            upserts: vec![],
            gone
        })
    );
}

/// The Job `s` in namespace `n`.
fn job(suspended: bool, generation: i64, status: Value) -> Job {
    let annotations = json!({
        "skymanager.io/kind": "SkyJob", "skymanager.io/namespace": "n", "skymanager.io/name": "j",
        "skymanager.io/run": "", "skymanager.io/share-id": "1-0", "skymanager.io/attempt": "1",
        "skymanager.io/spec-hash": "h",
    });
    let labels = json!({"skymanager.io/origin": "o", "skymanager.io/uid": "u"});
    let metadata = json!({
        "name": "s", "namespace": "n", "uid": "x", "generation": generation,
        "labels": labels, "annotations": annotations,
    });
    let spec = json!({"completions": 1, "suspend": suspended, "template": {}});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("a Job")
}

/// What the Job controller says when it has taken in a suspension and nothing is left.
fn held() -> Value {
    json!({"conditions": [{"type": "Suspended", "status": "True"}]})
}

/// A pod of the Job, on a node or not, whose container is in this state.
fn replica(node: Option<&str>, phase: &str, state: Value) -> LeanPod {
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "s", "uid": "x", "controller": true});
    let labels = json!({"skymanager.io/share": "s", "batch.kubernetes.io/job-completion-index": "0"});
    let statuses = match state {
        Value::Null => json!([]),
        state => json!([{"name": "main", "state": state}]),
    };
    let pod = json!({
        "metadata": {"name": "s-0", "namespace": "n", "labels": labels, "ownerReferences": [owner]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "containerStatuses": statuses},
    });
    serde_json::from_value(pod).expect("a Pod")
}

fn unscheduled() -> LeanPod {
    replica(None, "Pending", Value::Null)
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})
}

impl Cache {
    fn hear_of_job(&mut self, event: Event<Job>) {
        self.hear(Heard::Job(Box::new(event)));
    }

    fn hear_of_pod(&mut self, event: Event<LeanPod>) {
        self.hear(Heard::Pod(Box::new(event)));
    }

    fn list_no_deployments(&mut self) {
        self.hear(Heard::Deployment(Box::new(Event::Init)));
        self.hear(Heard::Deployment(Box::new(Event::InitDone)));
    }

    fn list_pods(&mut self, pods: Vec<LeanPod>) {
        self.hear_of_pod(Event::Init);
        pods.into_iter()
            .for_each(|pod| self.hear_of_pod(Event::InitApply(pod)));
        self.hear_of_pod(Event::InitDone);
    }

    fn list_jobs(&mut self, jobs: Vec<Job>) {
        self.hear_of_job(Event::Init);
        jobs.into_iter()
            .for_each(|job| self.hear_of_job(Event::InitApply(job)));
        self.hear_of_job(Event::InitDone);
        self.list_no_deployments();
    }

    /// What it says of the share now.
    fn seen(&mut self) -> Observation {
        let items = match self.drain().expect("an event") {
            MemberEvent::Reset(items) | MemberEvent::Changed { upserts: items, .. } => items,
            MemberEvent::Lost(trouble) => panic!("{trouble:?}"),
        };
        let share = items.into_iter().find_map(|item| match item {
            Item::Share(share) => Some(share),
            Item::Node(_) | Item::Namespace(_) => None,
        });
        share.expect("the share")
    }
}

/// Listening, with the Job running and its replica as `pod`.
fn listening(pod: LeanPod) -> Cache {
    let mut cache = synced(vec![]);
    cache.hear_of_job(Event::Apply(job(false, 1, json!({}))));
    cache.hear_of_pod(Event::Apply(pod));
    assert_eq!(cache.seen().active, 1);
    cache
}

/// As `listening`, and then suspended: the replica is deleted, and was last as `last`.
fn suspended(pod: LeanPod, last: LeanPod) -> Observation {
    let mut cache = listening(pod);
    cache.hear_of_job(Event::Apply(job(true, 2, json!({}))));
    cache.hear_of_pod(Event::Delete(last));
    cache.hear_of_job(Event::Apply(job(true, 2, held())));
    let seen = cache.seen();
    assert_eq!((seen.suspended, seen.active, seen.settled), (true, 0, 1));
    seen
}

#[test]
fn a_replica_that_was_never_on_a_node_has_not_started() {
    assert_eq!(suspended(unscheduled(), unscheduled()).started, Started::No);
}

#[test]
fn a_start_that_only_the_deletion_tells_of_is_remembered() {
    let last = replica(Some("a"), "Running", running());
    assert_eq!(suspended(unscheduled(), last).started, Started::Yes);
}

#[test]
fn a_start_is_remembered_when_the_replica_is_gone() {
    let failed = replica(
        Some("a"),
        "Failed",
        json!({"terminated": {"exitCode": 143, "startedAt": "2026-01-01T00:00:00Z"}}),
    );
    let ran = replica(Some("a"), "Running", running());
    assert_eq!(suspended(ran, failed).started, Started::Yes);
}

#[test]
fn an_image_that_was_never_pulled_has_not_started_though_its_container_ends() {
    let pulling = replica(
        Some("a"),
        "Pending",
        json!({"waiting": {"reason": "ImagePullBackOff"}}),
    );
    let stand_in =
        json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null}});
    assert_eq!(
        suspended(pulling, replica(Some("a"), "Failed", stand_in)).started,
        Started::No
    );
}

#[test]
fn a_replica_that_goes_without_its_nodes_word_leaves_it_unknown() {
    let waiting = || {
        replica(
            Some("a"),
            "Pending",
            json!({"waiting": {"reason": "ContainerCreating"}}),
        )
    };
    assert_eq!(suspended(waiting(), waiting()).started, Started::Unknown);
}

#[test]
fn an_index_that_succeeded_while_it_was_deleted_stays_done() {
    let ran = replica(Some("a"), "Running", running());
    let succeeded = replica(Some("a"), "Succeeded", json!({"terminated": {"exitCode": 0}}));
    let seen = suspended(ran, succeeded);
    assert_eq!((seen.done.to_string(), seen.counts.succeeded), ("0".into(), 1));
}

#[test]
fn what_is_held_back_is_active_until_its_controller_says_so_and_pods_are_gone() {
    let mut cache = listening(unscheduled());
    cache.hear_of_pod(Event::Delete(unscheduled()));
    cache.hear_of_job(Event::Apply(job(true, 2, json!({}))));
    assert_eq!(cache.seen().active, 1, "its controller may be creating pods");
    let terminating = json!({"conditions": [{"type": "Suspended", "status": "True"}], "terminating": 1});
    cache.hear_of_job(Event::Apply(job(true, 2, terminating)));
    assert_eq!(cache.seen().active, 1, "its controller still counts one");
    cache.hear_of_job(Event::Apply(job(true, 2, held())));
    assert_eq!(cache.seen().active, 0);
}

#[test]
fn a_pending_replica_that_vanished_in_a_relist_leaves_it_unknown() {
    let mut cache = listening(unscheduled());
    cache.list_pods(vec![]);
    assert_eq!(cache.seen().started, Started::Unknown);
    // Another one that starts settles it.
    cache.hear_of_pod(Event::Apply(replica(Some("a"), "Running", running())));
    assert_eq!(cache.seen().started, Started::Yes);
}

#[test]
fn a_relist_that_shows_the_same_replica_changes_nothing() {
    let mut cache = listening(unscheduled());
    cache.list_pods(vec![unscheduled()]);
    assert_eq!(cache.seen().started, Started::No);
}

#[test]
fn a_start_survives_a_relist() {
    let mut cache = listening(replica(Some("a"), "Running", running()));
    cache.list_pods(vec![]);
    assert_eq!(cache.seen().started, Started::Yes);
}

#[test]
fn a_replica_that_vanished_in_a_silence_leaves_it_unknown() {
    let mut cache = listening(unscheduled());
    cache.await_lists();
    cache.list_pods(vec![]);
    assert_eq!(cache.drain(), None, "not everything is listed yet");
    cache.list_jobs(vec![job(true, 2, held())]);
    cache.hear(Heard::Node(Box::new(Event::Init)));
    cache.hear(Heard::Node(Box::new(Event::InitDone)));
    list_namespaces(&mut cache, vec![]);
    assert_eq!(cache.seen().started, Started::Unknown);
}

#[test]
fn replicas_may_have_come_and_gone_in_a_silence_in_which_the_job_was_suspended() {
    let mut cache = synced(vec![]);
    cache.hear_of_job(Event::Apply(job(false, 1, json!({}))));
    assert_eq!(cache.seen().started, Started::No);
    cache.await_lists();
    cache.list_pods(vec![]);
    cache.list_jobs(vec![job(true, 2, held())]);
    cache.hear(Heard::Node(Box::new(Event::Init)));
    cache.hear(Heard::Node(Box::new(Event::InitDone)));
    list_namespaces(&mut cache, vec![]);
    assert_eq!(cache.seen().started, Started::Unknown);
}

#[test]
fn what_was_at_rest_before_a_relist_is_known_as_before() {
    let mut cache = listening(unscheduled());
    cache.hear_of_job(Event::Apply(job(true, 2, json!({}))));
    cache.hear_of_pod(Event::Delete(unscheduled()));
    cache.hear_of_job(Event::Apply(job(true, 2, held())));
    assert_eq!(cache.seen().started, Started::No);
    cache.list_pods(vec![]);
    assert_eq!(cache.seen().started, Started::No);
    // A change of it may have let replicas run.
    cache.hear_of_job(Event::Apply(job(true, 4, held())));
    cache.list_pods(vec![]);
    assert_eq!(cache.seen().started, Started::Unknown);
}

/// What is said of a Job that was there before we listened, and has no pods.
fn first_seen(job: Job) -> Started {
    let mut cache = synced(vec![]);
    cache.list_jobs(vec![job]);
    cache.seen().started
}

#[test]
fn a_job_first_seen_suspended_may_have_run_unless_it_was_created_so() {
    assert_eq!(first_seen(job(true, 1, held())), Started::No);
    assert_eq!(first_seen(job(true, 2, held())), Started::Unknown);
    assert_eq!(first_seen(job(true, 2, json!({"failed": 1}))), Started::Yes);
}

#[test]
fn a_job_first_seen_running_counts_its_replicas_unless_it_was_suspended_before() {
    let started = json!({"startTime": "2026-01-01T00:00:00Z"});
    assert_eq!(first_seen(job(false, 1, started.clone())), Started::No);
    assert_eq!(first_seen(job(false, 2, started.clone())), Started::No);
    assert_eq!(first_seen(job(false, 3, started)), Started::Unknown);
    assert_eq!(first_seen(job(false, 1, json!({"succeeded": 1}))), Started::Yes);
}

#[test]
fn another_job_of_the_name_has_no_past() {
    let mut cache = listening(replica(Some("a"), "Running", running()));
    cache.hear_of_pod(Event::Delete(replica(Some("a"), "Running", running())));
    assert_eq!(cache.seen().started, Started::Yes);
    cache.hear_of_job(Event::Delete(job(false, 1, json!({}))));
    cache.drain();
    let mut another = job(false, 1, json!({}));
    another.metadata.uid = Some("y".into());
    cache.hear_of_job(Event::Apply(another));
    assert_eq!(cache.seen().started, Started::No);
}

#[test]
fn a_replica_that_is_heard_of_before_its_job_is_remembered() {
    let mut cache = synced(vec![]);
    cache.hear_of_pod(Event::Apply(replica(Some("a"), "Running", running())));
    cache.hear_of_pod(Event::Delete(replica(Some("a"), "Running", running())));
    cache.hear_of_job(Event::Apply(job(false, 1, json!({}))));
    assert_eq!(cache.seen().started, Started::Yes);
}

fn at<K: kube::Resource>(version: &str, mut object: K) -> K {
    object.meta_mut().resource_version = Some(version.into());
    object
}

/// A Job that ran a replica and was suspended, of which no pod has been heard yet.
fn ahead_of_its_pods() -> Cache {
    let mut cache = synced(vec![]);
    let terminating = json!({"conditions": [{"type": "Suspended", "status": "True"}], "terminating": 1});
    for job in [
        at("10", job(false, 1, json!({}))),
        at("20", job(false, 1, json!({"active": 1}))),
        at("30", job(true, 2, json!({"active": 1}))),
        at("40", job(true, 2, terminating)),
        at("50", job(true, 2, held())),
    ] {
        cache.hear_of_job(Event::Apply(job));
    }
    cache
}

#[test]
fn a_job_is_not_at_rest_while_pods_that_it_had_are_still_to_be_heard_of() {
    let mut cache = ahead_of_its_pods();
    assert_eq!(cache.seen().active, 1, "one was counted and is not heard of");
    cache.hear_of_pod(Event::Apply(at("15", unscheduled())));
    assert_eq!(cache.seen().active, 1);
    let ran = at("45", replica(Some("a"), "Running", running()));
    cache.hear_of_pod(Event::Delete(ran));
    let seen = cache.seen();
    assert_eq!((seen.active, seen.started), (0, Started::Yes));
}

#[test]
fn pods_that_were_never_heard_of_leave_it_unknown() {
    let mut cache = ahead_of_its_pods();
    assert_eq!(cache.seen().active, 1);
    cache.hear_of_pod(Event::Apply(at("49", pod("p", Some("a"), "Running", None))));
    assert_eq!(free_cpu(cache.drain()), Some(1500), "only the node has changed");
    // Another pod's change tells that everything before it has been told.
    cache.hear_of_pod(Event::Apply(at("60", pod("q", Some("a"), "Running", None))));
    let seen = cache.seen();
    assert_eq!((seen.active, seen.started), (0, Started::Unknown));
    cache.hear_of_job(Event::Apply(at("70", job(true, 2, held()))));
    let seen = cache.seen();
    assert_eq!((seen.active, seen.started), (0, Started::Unknown));
}

#[test]
fn what_was_counted_before_a_relist_and_is_not_listed_leaves_it_unknown() {
    let mut cache = synced(vec![]);
    let running = at("20", job(false, 1, json!({"active": 1})));
    cache.hear_of_job(Event::Apply(running));
    cache.list_pods(vec![at("45", pod("p", Some("a"), "Running", None))]);
    cache.hear_of_job(Event::Apply(at("40", job(true, 2, held()))));
    let seen = cache.seen();
    assert_eq!((seen.active, seen.started), (0, Started::Unknown));
}

#[test]
fn namespaces_are_told_of_with_what_was_marked_on_them() {
    let mut cache = Cache::of_namespaces();
    assert_eq!(cache.drain(), None, "not listed yet");
    list_namespaces(&mut cache, vec![namespace("adopted", json!({}))]);
    let Some(MemberEvent::Reset(items)) = cache.drain() else {
        panic!("no Reset");
    };
    assert!(matches!(&items[..], [Item::Namespace(seen)] if seen.name == "adopted" && !seen.created));
    let marked = json!({"skymanager.io/created-by": "o", "skymanager.io/idle-since": "7"});
    cache.hear(Heard::Namespace(Box::new(Event::Apply(namespace(
        "made", marked,
    )))));
    let another = json!({"skymanager.io/created-by": "p", "skymanager.io/idle-since": "soon"});
    cache.hear(Heard::Namespace(Box::new(Event::Apply(namespace(
        "theirs", another,
    )))));
    cache.hear(Heard::Namespace(Box::new(Event::Delete(namespace(
        "adopted",
        json!({}),
    )))));
    let Some(MemberEvent::Changed { upserts, gone }) = cache.drain() else {
        panic!("no change");
    };
    let told: Vec<_> = upserts
        .iter()
        .filter_map(|item| match item {
            Item::Namespace(seen) => Some((seen.name.as_str(), seen.created, seen.idle_since)),
            _ => None,
        })
        .collect();
    // A mark that cannot be read never grows old.
    assert_eq!(told, [("made", true, Some(7)), ("theirs", false, Some(i64::MAX))]);
    assert_eq!(gone, [ItemKey::Namespace("adopted".into())]);
    assert_eq!(cache.drain(), None);
}
