//! What is printed of a host, that nothing of how clusters are reached is among it, and that simulate reads it.

use super::*;
use crate::fleet::Fleet;
use crate::stage::Stage;

const HOST: &str = r#"
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata:
  name: c1
  uid: u
  labels: {purpose: dev}
  annotations: {skymanager.io/server: "https://secret-server:6443"}
spec:
  manager: slurm
  unschedulable: true
  taints: [{key: dedicated, effect: NoSchedule}]
  slurm: {endpoint: "https://secret-server:6820", userName: secret-user, tokenSecretRef: {name: secret-name}}
status:
  observedGeneration: 3
  conditions:
  - {type: Reachable, status: "False", reason: Unreachable, message: secret-server, lastTransitionTime: "2026-01-01T00:00:00Z"}
  - {type: Ready, status: "False", reason: Unreachable, message: secret-server, lastTransitionTime: "2026-01-01T00:00:00Z"}
  version: v1.36
  nodes: 2
  allocatable: {cpu: "4", memory: 4Gi}
  free: {cpu: "3", memory: 4Gi}
  nodeShapes: [{count: 2, allocatable: {cpu: "2", memory: 2Gi, pods: "10"}, free: {cpu: 1500m, memory: 2Gi, pods: "9"}}]
---
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c2}
spec: {manager: kubernetes, kubernetes: {kubeconfigSecretRef: {name: secret-name}}}
status:
  observedGeneration: 1
  conditions:
  - {type: Reachable, status: "True", reason: Reachable, message: secret-server, lastTransitionTime: "2026-01-01T00:00:00Z"}
---
apiVersion: skymanager.io/v1alpha1
kind: FilterPolicy
metadata: {name: p, namespace: default, annotations: {kubectl.kubernetes.io/last-applied-configuration: secret}}
spec: {clusterFilter: {exclude: [c2]}}
status: {matchedWorkloads: 3}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyNamespace
metadata: {name: shop}
spec: {clusterFilter: {include: [c1]}, annotations: {team: secret}}
"#;

#[tokio::test]
async fn what_is_printed_says_nothing_of_how_clusters_are_reached() {
    let (host, served) = Stage::of(HOST).open();
    let (documents, remarks) = read(&host).await.unwrap();
    drop(host);
    assert_eq!(
        served.await.unwrap(),
        ["GET skyclusters", "GET filterpolicies", "GET skynamespaces"]
    );
    assert!(remarks.is_empty(), "{remarks:?}");
    let text = output::yaml(&documents).unwrap();
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(documents.len(), 4);
    assert_eq!(
        documents[0]["metadata"],
        json!({"name": "c1", "labels": {"purpose": "dev"}})
    );
    assert_eq!(
        documents[2]["spec"],
        json!({"clusterFilter": {"exclude": ["c2"]}})
    );
}

#[tokio::test]
async fn simulate_reads_what_is_printed_and_finds_the_same() {
    let (host, _served) = Stage::of(HOST).open();
    let (documents, _) = read(&host).await.unwrap();
    let kinds = [Kind::Cluster, Kind::Cluster, Kind::Policy, Kind::Namespace];
    let text = output::yaml(&documents).unwrap();
    let read = crate::documents::convert("fleet.yaml", &text).unwrap();
    let (mut live, mut printed) = (Fleet::default(), Fleet::default());
    let stored: Vec<Value> = serde_saphyr::from_multiple(HOST).unwrap();
    for (index, kind) in kinds.into_iter().enumerate() {
        sky_convert::original::check_strictly(&read[index].object).unwrap();
        live.take(kind, &stored[index], "").unwrap();
        printed.take(kind, &read[index].object, "").unwrap();
    }
    let (live, printed) = (live.snapshot([]), printed.snapshot([]));
    assert_eq!(
        (live.policies, live.namespaces),
        (printed.policies, printed.namespaces)
    );
    for (name, cluster) in &live.clusters {
        let other = &printed.clusters[name];
        let nodes =
            |cluster: &sky_core::cluster::Cluster| cluster.room.as_ref().map(|room| room.nodes().clone());
        assert_eq!(nodes(cluster), nodes(other), "{name}");
        assert_eq!((&cluster.labels, &cluster.taints), (&other.labels, &other.taints));
        assert_eq!(
            (cluster.unschedulable, cluster.manager),
            (other.unschedulable, other.manager)
        );
        let ready = |cluster: &sky_core::cluster::Cluster| cluster.health == sky_core::cluster::Health::Ready;
        assert!(!ready(cluster) && !ready(other), "{name}");
    }
}

#[tokio::test]
async fn what_may_not_be_listed_is_told_or_refused() {
    let stage = || Stage::of(HOST).forbid("filterpolicies").forbid("skynamespaces");
    let (host, _served) = stage().open();
    let (documents, remarks) = read(&host).await.unwrap();
    assert_eq!((documents.len(), remarks.len()), (3, 2));
    let (host, _served) = stage().forbid("namespaces/default/filterpolicies").open();
    let error = read(&host).await.unwrap_err().to_string();
    assert!(error.starts_with("you may not list filterpolicies"), "{error}");
    let (host, _served) = Stage::of(HOST).forbid("skyclusters").open();
    assert!(read(&host).await.is_err());
}
