//! What is said of one workload on a host, as text: what is listed for it, and what is said when that is forbidden.

use serde_json::Value;

use super::*;
use crate::stage::Stage;

/// Seconds of 2026-01-01T00:10:00Z.
const NOW: i64 = 1_767_226_200;

const HOST: &str = r#"
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c1}
spec: {manager: kubernetes}
status: {allocatable: {cpu: "4", memory: 8Gi}, free: {cpu: 1500m}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c2}
spec: {manager: kubernetes, unschedulable: true}
status: {allocatable: {cpu: "1", memory: 8Gi}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c3, labels: {region: us}}
spec: {manager: kubernetes}
status: {allocatable: {cpu: "64", memory: 256Gi}}
---
apiVersion: skymanager.io/v1alpha1
kind: FilterPolicy
metadata: {name: eu-only, namespace: default}
spec: {clusterFilter: {exclude: [c3]}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyJob
metadata: {name: urgent, namespace: other, creationTimestamp: "2026-01-01T00:09:00Z"}
spec: {priority: 10, replicas: 7}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyJob
metadata: {name: big, namespace: default, generation: 1, creationTimestamp: "2026-01-01T00:05:50Z"}
spec: {replicas: 2, resources: {cpu: 2}}
status:
  observedGeneration: 1
  conditions:
  - {type: Scheduled, status: "False", reason: Queued, lastTransitionTime: "2026-01-01T00:05:50Z",
     message: "0/3 clusters: 1 cordoned, 1 excluded by FilterPolicy eu-only, 1 insufficient cpu"}
  diagnosis:
  - {cluster: c1, reason: InsufficientCapacity, message: insufficient cpu}
  - {cluster: c2, reason: Cordoned, message: cordoned}
  - {cluster: c3, reason: FilterPolicy, message: excluded by FilterPolicy eu-only}
  evictions:
  - {cluster: c1, replicas: 2, reason: PendingTimeout, message: no replica started, time: "2026-01-01T00:06:00Z", attempt: 1}
  coolDowns:
  - {cluster: c9, until: "2026-01-01T00:14:10Z", count: 1}
"#;

/// A job of this spec and status, with the conditions of these types and messages.
fn job(name: &str, spec: &str, status: &str, conditions: &[(&str, &str, &str, &str)]) -> String {
    let conditions: Vec<String> = conditions
        .iter()
        .map(|(kind, status, reason, message)| {
            format!(
                "{{type: {kind}, status: \"{status}\", reason: {reason}, message: \"{message}\", \
                 lastTransitionTime: \"2026-01-01T00:00:00Z\"}}"
            )
        })
        .collect();
    format!(
        "{{apiVersion: skymanager.io/v1alpha1, kind: SkyJob, metadata: {{name: {name}, namespace: default, \
         generation: 1}}, spec: {spec}, status: {{observedGeneration: 1, conditions: [{}], {status}}}}}",
        conditions.join(", ")
    )
}

async fn ask(stage: Stage, kind: Kind, name: &str) -> (Report, Vec<String>) {
    let (host, served) = stage.open();
    let report = report(
        &host,
        kind,
        name,
        &Configured::default(),
        Timestamp::from_second(NOW).unwrap(),
    )
    .await;
    drop(host);
    (report.unwrap(), served.await.unwrap())
}

async fn text(stage: Stage, name: &str) -> String {
    show::text(&ask(stage, Kind::Job, name).await.0, false)
}

#[tokio::test]
async fn a_job_that_waits_is_explained_cluster_by_cluster() {
    let (report, calls) = ask(Stage::of(HOST), Kind::Job, "big").await;
    assert_eq!(
        calls,
        [
            "GET namespaces/default/skyjobs/big",
            "GET skyclusters",
            "GET namespaces/default/filterpolicies",
            "GET skynamespaces/default",
            "GET skyjobs",
            "GET skydeployments",
        ]
    );
    assert_eq!(
        show::text(&report, false),
        "\
SkyJob default/big: Waiting, 2 of 2 replicas wait for a place, created 4m10s ago: 0/3 clusters: 1 cordoned, 1 excluded by FilterPolicy eu-only, 1 insufficient cpu

CLUSTER   FEASIBLE   FIT   WEIGHT   SCORE   REPLICAS   REASON
c1        no         0     0        0       0          insufficient cpu
c2        no         0     0        0       0          cordoned
c3        no         0     0        0       0          excluded by FilterPolicy eu-only

Queue:      2 of 2; ahead: SkyJob other/urgent (priority 10, 7 replicas)
Evicted:    4m ago from c1, 2 replicas, attempt 1: PendingTimeout: no replica started
Cool-down:  c9 is tried again in 4m10s (evictions: 1)
Next try:   at once when something changes that can help; c9 again in 4m10s
Advice:     ask for less cpu, or add room: one replica asks for cpu 2, the roomiest node has cpu 1500m (c1) (a SkyJob takes another spec only with a new spec.runId)
"
    );
}

#[tokio::test]
async fn json_has_the_clusters_as_simulate_gives_them() {
    let report = serde_json::to_value(ask(Stage::of(HOST), Kind::Job, "big").await.0).unwrap();
    assert_eq!(report["state"], "Waiting");
    assert_eq!(report["source"], "snapshot");
    assert_eq!(report["queue"]["position"], 2);
    assert_eq!(report["queue"]["ahead"][0]["name"], "urgent");
    assert_eq!(report["coolDowns"][0]["seconds"], 250);
    let c3 = &report["clusters"][2];
    assert_eq!(
        (&c3["cluster"], &c3["feasible"]),
        (&Value::from("c3"), &Value::from(false))
    );
    assert_eq!(c3["reasons"][0], "FilterPolicy: excluded by FilterPolicy eu-only");
}

#[tokio::test]
async fn who_may_read_the_job_alone_is_told_what_its_status_says() {
    for path in ["skyclusters", "namespaces/default/filterpolicies"] {
        let text = text(Stage::of(HOST).forbid(path), "big").await;
        assert!(
            text.contains("note: you may not list ") && text.contains("SkyJob's own status"),
            "{text}"
        );
        assert!(
            text.contains("c1        no         ?     ?        ?       0          insufficient cpu"),
            "{text}"
        );
        assert!(text.contains("excluded by FilterPolicy eu-only"), "{text}");
        assert!(
            text.contains("Next try:") && !text.contains("Queue:") && !text.contains("Advice:"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_queue_that_is_seen_in_part_says_so() {
    let text = text(Stage::of(HOST).forbid("skyjobs"), "big").await;
    assert!(
        text.contains("note: you may not list skyjobs of other namespaces than default"),
        "{text}"
    );
    assert!(text.contains("Queue:      1 of 1; nothing is ahead"), "{text}");
}

#[tokio::test]
async fn what_the_operator_found_otherwise_is_told_too() {
    let told = [("Scheduled", "False", "Queued", "0/3 clusters: 3 on fire")];
    let text = text(Stage::of(&job("a", "{resources: {cpu: 2}}", "", &told)), "a").await;
    assert!(
        text.contains("note: at its last look the operator found: 0/3 clusters: 3 on fire"),
        "{text}"
    );
    assert!(
        text.contains("no clusters are registered") && text.contains("kubectl sky join"),
        "{text}"
    );
}

#[tokio::test]
async fn a_placed_job_shows_its_shares_and_what_keeps_them_from_running() {
    let status = "placement: {revision: 2, shares: [{id: 2-0, cluster: c1, replicas: 2, ranks: 0-1, attempt: 2, \
                  bindTime: \"2026-01-01T00:08:20Z\"}]}, clusters: [{cluster: c1, replicas: 2, pending: 2, \
                  reason: ImagePullBackOff, message: no such image}]";
    let placed = job("a", "{replicas: 2}", status, &[]);
    let (report, calls) = ask(Stage::of(&placed), Kind::Job, "a").await;
    assert_eq!(
        calls,
        ["GET namespaces/default/skyjobs/a"],
        "nothing else needs to be seen"
    );
    assert_eq!(
        show::text(&report, false),
        "\
SkyJob default/a: Placed, placed on c1:2 (revision 2)

PLACED   REPLICAS   ATTEMPT   SINCE   PENDING   RUNNING   SUCCEEDED   FAILED   UNKNOWN   REASON             MESSAGE
c1       2          2         100s    2         0         0           0        0         ImagePullBackOff   no such image

Next try:   elsewhere in 8m20s, when no replica on c1 starts before
Advice:     c1 cannot get the image: check spec.image, and spec.imagePullSecrets where the registry asks for them
"
    );
}

#[tokio::test]
async fn ranks_that_were_evicted_are_explained_beside_those_that_run() {
    let status = "placement: {revision: 1, shares: [{id: 1-0, cluster: c1, replicas: 1, ranks: \"0\", attempt: 1}], \
                  unplaced: [{ranks: \"1\", attempt: 1}]}, clusters: [{cluster: c1, replicas: 1, running: 1}]";
    let text = text(
        Stage::of(&format!("{HOST}---\n{}", job("a", "{replicas: 2}", status, &[]))),
        "a",
    )
    .await;
    assert!(
        text.contains("Waiting, 1 of 2 replicas wait for a place: they would fit now, on c1:1"),
        "{text}"
    );
    assert!(text.contains("PLACED") && text.contains("CLUSTER"), "{text}");
    assert!(
        text.contains("Advice:     none: it fits by what the clusters' status shows"),
        "{text}"
    );
}

#[tokio::test]
async fn what_waits_for_no_place_says_what_it_is() {
    let ended = |kind, message| [(kind, "True", "Told", message)];
    for (document, first) in [
        (
            job("a", "{}", "", &ended("Complete", "1 of 1 replicas succeeded")),
            "Complete, 1 of 1 replicas succeeded",
        ),
        (
            job("a", "{}", "", &ended("Failed", "exit code 1")),
            "Failed, Told: exit code 1",
        ),
        (
            job("a", "{suspend: true}", "", &[]),
            "Suspended, spec.suspend is true",
        ),
        (
            job("a", "{resources: {cpu: 1, cpus: 1}}", "", &[]),
            "Refused, InvalidSpec: spec.resources: cpu and cpus are the same resource; give one of them",
        ),
        (
            job("a", "{runId: b}", "runs: [{runId: x, outcome: Running}]", &[]),
            "NewRun, run \"b\" starts when nothing of run \"x\" is left on any member",
        ),
        (
            job("a", "{}", "", &ended("Reconciling", "waiting for c1")).replace(
                "name: a,",
                "name: a, deletionTimestamp: \"2026-01-01T00:00:00Z\",",
            ),
            "Deleting, waiting for c1",
        ),
    ] {
        let text = text(Stage::of(&document), "a").await;
        let expected = format!("SkyJob default/a: {first}\n");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[tokio::test]
async fn a_deployment_is_explained_as_a_job_is() {
    let web = "{apiVersion: skymanager.io/v1alpha1, kind: SkyDeployment, metadata: {name: web, namespace: default}, \
               spec: {replicas: 9}}";
    let (report, _) = ask(Stage::of(&format!("{HOST}---\n{web}")), Kind::Deployment, "web").await;
    let text = show::text(&report, true);
    assert!(
        text.starts_with("SkyDeployment default/web: Waiting, 9 of 9 replicas"),
        "{text}"
    );
    assert!(text.contains("Stickiness=0x4"), "{text}");
}

#[tokio::test]
async fn nothing_is_advised_where_the_nodes_labels_cannot_be_seen() {
    let spec = "{template: {spec: {containers: [{name: c}], nodeSelector: {disk: ssd}}}}";
    let text = text(Stage::of(&format!("{HOST}---\n{}", job("a", spec, "", &[]))), "a").await;
    assert!(
        text.contains("note: SkyJob default/a asks for nodes by labels that no SkyCluster shows (disk)"),
        "{text}"
    );
    assert!(!text.contains("Advice:"), "{text}");
}

#[test]
fn workloads_are_named_as_kubectl_names_them() {
    let of = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        target(&words).map_err(|error| error.to_string())
    };
    for line in ["job/a", "skyjob/a", "a", "jobs a", "skyjob.skymanager.io/a"] {
        assert_eq!(of(line), Ok((Kind::Job, "a".to_owned())), "{line}");
    }
    assert_eq!(of("deploy/a"), Ok((Kind::Deployment, "a".to_owned())));
    assert!(of("cluster/a").unwrap_err().contains("\"cluster\" is neither"));
    assert!(of("pod a").unwrap_err().contains("\"pod\" is neither"));
    assert!(of("job/").unwrap_err().contains("name of a workload"));
}
