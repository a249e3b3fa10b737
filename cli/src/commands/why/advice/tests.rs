//! What is advised in each situation: a fleet, rules and a workload in, the line out. Each line must be true.

use serde_json::{Value, json};

use super::*;
use sky_core::schedule::Scheduler;

use crate::fleet::Fleet;
use crate::kinds;

/// Room of cluster c1, unless a situation says otherwise.
fn roomy() -> Value {
    json!({"allocatable": {"cpu": "4", "memory": "8Gi"}})
}

/// Cluster c1 with `spec` and `status` on top of a manager and room, and labels.
fn cluster(name: &str, labels: Value, spec: Value, status: Value) -> Value {
    let mut object = json!({"kind": "SkyCluster", "metadata": {"name": name, "labels": labels},
        "spec": {"manager": "kubernetes"}, "status": status});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

fn policy(filter: Value) -> Value {
    json!({"kind": "FilterPolicy", "metadata": {"name": "p", "namespace": "default"}, "spec": {"clusterFilter": filter}})
}

/// The advice for a SkyJob of this spec and status among these objects, at second 100.
fn advice(objects: &[Value], spec: Value, status: Value) -> String {
    let mut fleet = Fleet::default();
    for object in objects {
        let kind = kinds::Kind::of_object(object["kind"].as_str().unwrap()).unwrap();
        fleet.take(kind, object, "default").unwrap();
    }
    let job = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": spec, "status": status});
    let subject = Subject::read(kinds::Kind::Job, &job, "").unwrap();
    let (workload, snapshot, scheduler) = (
        subject.asked(100).unwrap(),
        fleet.snapshot([]),
        Scheduler::default(),
    );
    let decision = scheduler.decide(&workload, &snapshot);
    let situation = Situation {
        workload: &workload,
        snapshot: &snapshot,
        decision: &decision,
        scheduler: &scheduler,
        now: 100,
    };
    waiting(&situation)
}

fn check(objects: &[Value], spec: Value, expect: &str) {
    let line = advice(objects, spec.clone(), json!({}));
    let line = line.replace(" (a SkyJob takes another spec only with a new spec.runId)", "");
    assert_eq!(line, expect, "{spec}");
}

const NONE: fn() -> Value = || json!({});

#[test]
fn without_clusters_one_is_to_be_joined() {
    check(
        &[],
        NONE(),
        "no cluster is registered; join one: kubectl sky join NAME --from-context CONTEXT",
    );
}

#[test]
fn what_is_short_is_named_with_the_closest_node() {
    let busy = json!({"nodeShapes": [
        {"count": 2, "allocatable": {"cpu": "4", "memory": "8Gi"}, "free": {"cpu": "500m"}},
        {"count": 1, "allocatable": {"cpu": "4", "memory": "8Gi"}, "free": {"cpu": "1500m", "memory": "1Gi"}},
    ]});
    let c1 = cluster("c1", NONE(), NONE(), busy.clone());
    check(
        std::slice::from_ref(&c1),
        json!({"resources": {"cpu": 2}}),
        "ask for less cpu, or add room: one replica asks for cpu 2, the roomiest node has cpu 1500m (c1)",
    );
    check(
        std::slice::from_ref(&c1),
        json!({"resources": {"cpu": 2, "memory": "3Gi"}}),
        "ask for less cpu and memory, or add room: one replica asks for cpu 2 and memory 3Gi, the roomiest node has \
         cpu 1500m and memory 1Gi (c1)",
    );
    let full = json!({"nodeShapes": [{"count": 1, "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "9"}, "free": {"pods": "0"}}]});
    check(
        &[cluster("c1", NONE(), NONE(), full)],
        NONE(),
        "the roomiest node has no room for another pod (c1): wait until one ends, or add room",
    );
    let cordoned = cluster("c2", NONE(), json!({"unschedulable": true}), roomy());
    check(
        &[c1, cordoned],
        json!({"resources": {"cpu": 2}}),
        "ask for less cpu, or add room: one replica asks for cpu 2, the roomiest node has cpu 1500m (c1); or uncordon \
         c2, which has room",
    );
}

#[test]
fn what_can_never_fit_is_told_by_the_largest_node() {
    let c1 = [cluster("c1", NONE(), NONE(), roomy())];
    check(
        &c1,
        json!({"resources": {"cpu": 16}}),
        "ask for less cpu, or add a larger node: one replica asks for cpu 16, the largest node gives cpu 4 (c1)",
    );
    check(
        &c1,
        json!({"replicas": 9}),
        "the clusters it may use would hold 4 of 9 replicas if they were empty: ask for fewer, set spec.gang: false to \
         start with what fits, or add nodes",
    );
    check(
        &c1,
        json!({"resources": {"A100": 1}}),
        "no node with accelerator A100: the clusters it may use have no accelerators; add nodes that have",
    );
}

#[test]
fn a_part_that_fits_and_spread_limits_are_told() {
    let half = json!({"allocatable": {"cpu": "4", "memory": "8Gi"}, "free": {"cpu": "2"}});
    let two = [
        cluster("c1", NONE(), NONE(), half.clone()),
        cluster("c2", NONE(), NONE(), half),
    ];
    check(
        &two,
        json!({"replicas": 6}),
        "there is room for 4 of 6 replicas: it starts when 2 more fit; or ask for fewer, or set spec.gang: false to \
         start with 4",
    );
    check(
        &two,
        json!({"replicas": 4, "placement": {"spread": {"maxClusters": 1}}}),
        "raise spec.placement.spread.maxClusters: more clusters together have room for it",
    );
    let c1 = [cluster("c1", NONE(), NONE(), roomy())];
    check(
        &c1,
        json!({"replicas": 2, "placement": {"spread": {"minClusters": 2}}}),
        "lower spec.placement.spread.minClusters: fewer than 2 clusters have room for it",
    );
}

#[test]
fn taints_and_cordons_are_told_with_the_remedy() {
    let taints = json!({"taints": [{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}, {"key": "slow", "effect": "NoExecute"}]});
    check(
        &[cluster("c1", NONE(), taints, roomy())],
        NONE(),
        "c1 is tainted: add to spec.placement.tolerations {key: dedicated, value: ml, effect: NoSchedule}, \
         {key: slow, operator: Exists, effect: NoExecute}; but for that, c1 would take it",
    );
    check(
        &[cluster("c1", NONE(), json!({"unschedulable": true}), roomy())],
        NONE(),
        "c1 is cordoned; to open it: kubectl patch skycluster c1 --type merge -p '{\"spec\":{\"unschedulable\":false}}'; \
         but for that, c1 would take it",
    );
}

#[test]
fn a_policy_is_named_with_what_it_allows() {
    let c1 = cluster("c1", NONE(), NONE(), roomy());
    let cases = [
        (json!({"exclude": ["c1"]}), "excludes c1"),
        (json!({"include": ["eu-1", "eu-2"]}), "allows only eu-1, eu-2"),
        (
            json!({"include": ["eu-1"], "clusterSelector": {"matchLabels": {"region": "eu"}}}),
            "allows only eu-1 and clusters with region=eu",
        ),
    ];
    for (filter, says) in cases {
        let expect = format!("FilterPolicy p in namespace default {says}; but for that, c1 would take it");
        check(&[c1.clone(), policy(filter)], NONE(), &expect);
    }
    let namespace = json!({"kind": "SkyNamespace", "metadata": {"name": "default"}, "spec": {"clusterFilter": {"include": ["c9"]}}});
    check(
        &[c1, namespace],
        NONE(),
        "SkyNamespace default allows only c9; but for that, c1 would take it",
    );
}

#[test]
fn the_closest_cluster_is_told_by_the_label_that_differs() {
    let clusters = [
        cluster("c1", json!({"purpose": "dev", "location": "eu"}), NONE(), roomy()),
        cluster("c2", json!({"purpose": "prod"}), NONE(), roomy()),
    ];
    let not_eu = json!({"key": "location", "operator": "NotIn", "values": ["eu"]});
    let filters = json!([{"matchLabels": {"purpose": "test", "tier": "a"}},
        {"matchLabels": {"purpose": "dev"}, "matchExpressions": [not_eu]}]);
    check(
        &clusters,
        json!({"placement": {"filters": filters}}),
        "no cluster has the labels that placement.filters asks for; c1 is closest to filters[1]: its label location is \
         eu (wanted: none of eu); but for that, c1 would take it",
    );
}

#[test]
fn what_is_not_ready_is_told_in_the_clusters_own_words() {
    let silent = json!({"allocatable": {"cpu": "4", "memory": "8Gi"}, "conditions": [{"type": "Ready", "status": "False",
        "reason": "Unreachable", "message": "no answer", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    check(
        &[cluster("c1", NONE(), NONE(), silent)],
        NONE(),
        "c1 is not ready (Unreachable: no answer): kubectl describe skycluster c1; but for that, c1 would take it",
    );
    check(
        &[cluster("c1", NONE(), NONE(), NONE())],
        NONE(),
        "c1 has not reported its nodes yet, and is tried as soon as it has",
    );
}

#[test]
fn a_cool_down_that_ends_needs_nothing() {
    let status = json!({"coolDowns": [{"cluster": "c1", "until": "1970-01-01T00:05:50Z", "count": 1}]});
    let line = advice(&[cluster("c1", NONE(), NONE(), roomy())], NONE(), status);
    assert_eq!(line, "none: c1 has room and is tried again in 4m10s");
}

#[test]
fn node_demands_that_no_node_meets_are_told() {
    let tainted = json!({"nodeShapes": [{"count": 1, "allocatable": {"cpu": "4", "memory": "8Gi"},
        "taints": [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]}]});
    check(
        &[cluster("c1", NONE(), NONE(), tainted)],
        NONE(),
        "the nodes of c1 are tainted gpu=a:NoSchedule: tolerate that in spec.template.spec.tolerations",
    );
    let template =
        json!({"spec": {"containers": [{"name": "c"}], "nodeSelector": {"kubernetes.io/arch": "arm64"}}});
    check(
        &[cluster("c1", NONE(), NONE(), roomy())],
        json!({"template": template}),
        "c1 has no node with the labels asked for: change nodeSelector or node affinity in spec.template, or label nodes",
    );
}
