//! Golden tables of each kind.

use serde_json::json;

use super::*;

fn rendered(kind: Kind, objects: &[Value], wide: bool, namespaces: bool) -> String {
    let now = "2026-01-01T00:10:00Z".parse().unwrap();
    let options = Options {
        wide,
        namespaces,
        now,
    };
    table(kind, objects, options).render()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[test]
fn clusters_show_free_and_allocatable() {
    let objects = [
        json!({
            "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster",
            "metadata": {"name": "mluo-cloud", "creationTimestamp": "2026-01-01T00:09:00Z", "labels": {"a": "b", "c": "d"}},
            "spec": {"manager": "kubernetes", "unschedulable": true},
            "status": {"nodes": 2, "version": "v1.36.0", "free": {"cpu": "31500m", "memory": "63Gi"},
                       "allocatable": {"cpu": "32", "memory": "64Gi"},
                       "conditions": [condition("Ready", "True", "Ready", "fine")]}
        }),
        json!({
            "metadata": {"name": "new", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster",
            "spec": {"manager": "slurm"}, "status": {"observedGeneration": -1}
        }),
    ];
    assert_eq!(
        rendered(Kind::Cluster, &objects, false, false),
        "\
NAME         MANAGER      READY           NODES    CPU(FREE/ALLOC)   MEMORY(FREE/ALLOC)   AGE
mluo-cloud   kubernetes   True,Cordoned   2        31.5/32           63Gi/64Gi            60s
new          slurm        Unknown         <none>   <none>            <none>               10m
"
    );
    let wide = rendered(Kind::Cluster, &objects, true, false);
    assert!(wide.contains("v1.36.0   a=b,c=d   fine"), "{wide}");
}

#[test]
fn jobs_show_why_they_do_not_run() {
    let job = |name: &str, replicas: Value, status: Value| {
        json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob",
            "metadata": {"name": name, "namespace": "dev", "creationTimestamp": "2026-01-01T00:06:40Z"},
            "spec": {"replicas": replicas}, "status": status})
    };
    let objects = [
        job(
            "done",
            json!("2"),
            json!({"phase": "Complete", "totals": {"succeeded": 2}, "summary": "c1:1,c2:1",
                   "conditions": [condition("Complete", "True", "AllSucceeded", ""), condition("Stalled", "False", "x", "")]}),
        ),
        job(
            "waits",
            json!(4),
            json!({"phase": "Queued", "conditions": [condition("Scheduled", "False", "Queued", "0/1 clusters: 1 insufficient cpu")]}),
        ),
        job(
            "pulls",
            json!(1),
            json!({"phase": "Pending", "summary": "c1:1", "totals": {"pending": 1},
                   "clusters": [{"cluster": "c1", "replicas": 1, "pending": 1, "reason": "ImagePullBackOff", "message": "no such image"}]}),
        ),
        job("new", json!(1), json!(null)),
    ];
    assert_eq!(
        rendered(Kind::Job, &objects, false, true),
        "\
NAMESPACE   NAME    PHASE      REPLICAS   CLUSTERS    REASON             AGE
dev         done    Complete   2/2        c1:1,c2:1   <none>             3m20s
dev         waits   Queued     0/4        <none>      Queued             3m20s
dev         pulls   Pending    0/1        c1:1        ImagePullBackOff   3m20s
dev         new     <none>     0/1        <none>      <none>             3m20s
"
    );
    let wide = rendered(Kind::Job, &objects, true, false);
    assert!(wide.contains("0/1 clusters: 1 insufficient cpu"), "{wide}");
}

#[test]
fn policies_deployments_and_namespaces_have_their_rows() {
    let policy = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "FilterPolicy", "metadata": {"name": "p"},
        "spec": {"clusterFilter": {"exclude": ["c1", "c2"]}, "labelsSelector": {"my_app": "testing"}}});
    assert_eq!(
        rendered(Kind::Policy, &[policy], false, false),
        "\
NAME   INCLUDE   EXCLUDE   SELECTOR         AGE
p      *         c1,c2     my_app=testing   <unknown>
"
    );
    let deployment = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment", "metadata": {"name": "d"},
        "spec": {"replicas": 3}, "status": {"readyReplicas": 1, "summary": "c1:3"}});
    assert!(rendered(Kind::Deployment, &[deployment], false, false).contains("1/3     c1:3"));
}

#[test]
fn namespaces_show_where_they_are_and_what_is_still_to_happen() {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": format!("{reason} words"),
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = json!({
        "conditions": [condition("Ready", "True", "InPlace"), condition("Reconciling", "True", "Leaving")],
        "clusters": [{"cluster": "c1", "state": "Created"}, {"cluster": "c2", "state": "Leaving"}], "summary": "c1",
    });
    let namespace = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyNamespace", "metadata": {"name": "n"},
        "spec": {}, "status": status});
    assert_eq!(
        rendered(Kind::Namespace, &[namespace], true, false),
        "\
NAME   READY   CLUSTERS   REASON    AGE         ELSEWHERE    MESSAGE
n      True    c1         Leaving   <unknown>   c2:Leaving   Leaving words
"
    );
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_row() {
    let object = json!({"metadata": {"name": "odd"}, "spec": {"manager": 7}});
    let text = rendered(Kind::Cluster, &[object], true, false);
    assert!(text.contains("odd    <unreadable>   <none>"), "{text}");
}
