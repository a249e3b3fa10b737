//! Scenarios as text: clusters and a workload in, a report out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::cluster::{Health, Manager, Node, Taint};
use crate::labels::{Expression, Labels, Operator, Selector};
use crate::resources::Resources;
use crate::room::Room;
use crate::workload::{Kind, Needs, Policy, PolicyRule, Preference};

const GIB: i64 = 1 << 30;

fn labels(text: &str) -> Labels {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// `cluster("c1", "purpose=dev", &[2000, 1000])`: a node for each number of free millicores.
fn cluster(name: &str, text: &str, nodes: &[i64]) -> Cluster {
    let nodes = nodes.iter().enumerate().map(|(index, &cpu)| Node {
        name: format!("{name}-{index}"),
        ready: true,
        allocatable: Resources::new(2000, 4 * GIB),
        free: Resources::new(cpu, 4 * GIB),
        pods: 110,
        free_pods: 110,
        ..Node::default()
    });
    let mut labels = labels(text);
    labels.insert("skymanager.io/cluster-name".into(), name.into());
    Cluster {
        name: name.into(),
        manager: Manager::Kubernetes,
        slurm: None,
        labels: labels.into(),
        taints: vec![],
        unschedulable: false,
        leaving: false,
        health: Health::Ready,
        room: Some(Arc::new(Room::new(Arc::new(nodes.map(Arc::new).collect())))),
    }
}

fn job(replicas: i64, cpu: i64) -> Workload {
    Workload {
        replicas,
        needs: Arc::new(Needs {
            resources: Resources::new(cpu, GIB / 8),
            ..Needs::default()
        }),
        ..Workload::new(Kind::SkyJob, "default", "job")
    }
}

fn check(clusters: &[Cluster], workload: &Workload, expect: &str) {
    check_with(clusters, &[], workload, expect);
}

fn check_with(clusters: &[Cluster], policies: &[Policy], workload: &Workload, expect: &str) {
    let snapshot = Snapshot {
        clusters: clusters
            .iter()
            .map(|cluster| (cluster.name.clone(), cluster.clone()))
            .collect(),
        policies: BTreeMap::from([("default".to_owned(), policies.to_vec())]),
        ..Snapshot::default()
    };
    let mut report = String::new();
    let _ = match Scheduler::default().decide(workload, &snapshot).outcome {
        Outcome::Placed(parts) => {
            let parts: Vec<String> = parts
                .iter()
                .map(|(name, count)| format!("{name}:{count}"))
                .collect();
            write!(report, "placed {}", parts.join(","))
        }
        Outcome::Queued(message) => write!(report, "queued: {message}"),
        Outcome::TooLarge(message) => write!(report, "too large: {message}"),
    };
    assert_eq!(report, expect);
}

#[test]
fn the_cluster_with_most_left_is_taken() {
    check(
        &[cluster("a", "", &[1000]), cluster("b", "", &[2000])],
        &job(1, 1000),
        "placed b:1",
    );
}

#[test]
fn equal_clusters_are_taken_by_name() {
    check(
        &[cluster("b", "", &[2000]), cluster("a", "", &[2000])],
        &job(1, 1000),
        "placed a:1",
    );
}

#[test]
fn four_replicas_spread_over_two_clusters_of_two_cpus() {
    let clusters = [
        cluster("a", "", &[2000]),
        cluster("b", "", &[2000]),
        cluster("c", "", &[2000]),
    ];
    check(&clusters, &job(4, 1000), "placed a:2,b:2");
}

#[test]
fn a_gang_waits_for_all_of_its_replicas() {
    let clusters = [cluster("a", "", &[1000]), cluster("b", "", &[1000])];
    check(&clusters, &job(3, 1000), "queued: 2 of 3 replicas fit (a:1,b:1)");
}

#[test]
fn without_gang_what_fits_is_placed() {
    let clusters = [cluster("a", "", &[1000]), cluster("b", "", &[1000])];
    check(
        &clusters,
        &Workload {
            gang: false,
            ..job(3, 1000)
        },
        "placed a:1,b:1",
    );
}

#[test]
fn halves_on_two_nodes_do_not_hold_a_whole_replica() {
    check(
        &[cluster("a", "", &[500, 500])],
        &job(1, 1000),
        "queued: 0/1 clusters: 1 insufficient cpu",
    );
}

#[test]
fn reasons_are_counted() {
    let mut cordoned = cluster("c", "", &[2000]);
    cordoned.unschedulable = true;
    let mut silent = cluster("d", "", &[2000]);
    silent.health = Health::NotReady {
        reason: "Unreachable".into(),
        message: "no answer".into(),
    };
    let clusters = [cluster("a", "", &[0]), cluster("b", "", &[500]), cordoned, silent];
    let expect = "queued: 0/4 clusters: 2 insufficient cpu, 1 cordoned, 1 not ready";
    check(&clusters, &job(1, 1000), expect);
}

#[test]
fn no_cluster_at_all_is_a_queue_not_an_error() {
    check(&[], &job(1, 1000), "queued: no clusters are registered");
}

#[test]
fn what_no_empty_cluster_would_hold_is_too_large() {
    let expect = "too large: even if empty, the allowed clusters would hold 0 of 1 replicas; \
                  0/1 clusters: 1 insufficient cpu";
    check(&[cluster("a", "", &[2000])], &job(1, 3000), expect);
}

#[test]
fn a_cluster_that_has_not_reported_keeps_a_large_job_queued() {
    let mut unreported = cluster("b", "", &[]);
    unreported.room = None;
    let expect = "queued: 0/2 clusters: 1 insufficient cpu, 1 not reported yet";
    check(&[cluster("a", "", &[2000]), unreported], &job(1, 3000), expect);
}

#[test]
fn a_silent_cluster_that_is_not_allowed_keeps_nothing_queued() {
    // It has not said what it has.
    let mut silent = cluster("b", "", &[2000]);
    silent.room = None;
    silent.health = Health::NotReady {
        reason: "Unreachable".into(),
        message: "no answer".into(),
    };
    let clusters = [cluster("a", "purpose=dev", &[2000]), silent];
    let dev = Selector {
        labels: labels("purpose=dev"),
        expressions: vec![],
    };
    let filtered = Workload {
        filters: vec![dev],
        ..job(1, 3000)
    };
    let expect = "too large: even if empty, the allowed clusters would hold 0 of 1 replicas; \
                  0/2 clusters: 1 insufficient cpu, 1 not ready";
    check(&clusters, &filtered, expect);
    let waits = "queued: 0/2 clusters: 1 insufficient cpu, 1 not ready";
    check(&clusters, &job(1, 3000), waits);
}

#[test]
fn filters_are_an_allow_list_of_alternatives() {
    let any = |text: &str| Selector {
        labels: labels(text),
        expressions: vec![],
    };
    let clusters = [
        cluster("a", "purpose=prod", &[2000]),
        cluster("b", "purpose=dev", &[1000]),
        cluster("c", "", &[2000]),
    ];
    let filtered = Workload {
        filters: vec![any("purpose=dev"), any("purpose=staging")],
        ..job(1, 1000)
    };
    check(&clusters, &filtered, "placed b:1");
    let nowhere = Workload {
        filters: vec![any("purpose=test")],
        ..job(1, 1000)
    };
    check(
        &clusters,
        &nowhere,
        "queued: 0/3 clusters: 3 not matched by placement.filters",
    );
}

/// The original text's `my-job`: filters for dev outside eu and staging outside eu and ap, three preferences.
fn my_job() -> Workload {
    let not_in = |values: &[&str]| Expression {
        key: "location".into(),
        operator: Operator::NotIn(values.iter().map(|&value| value.to_owned()).collect()),
    };
    let selector = |text: &str, expressions| Selector {
        labels: labels(text),
        expressions,
    };
    let na = Expression {
        key: "location".into(),
        operator: Operator::In(vec!["na".into()]),
    };
    Workload {
        filters: vec![
            selector("purpose=dev", vec![not_in(&["eu"])]),
            selector("purpose=staging", vec![not_in(&["eu", "ap"])]),
        ],
        preferences: vec![
            Preference {
                selector: selector("sky-cluster-name=mycluster-dev-1", vec![]),
                weight: 100,
            },
            Preference {
                selector: selector("purpose=dev", vec![na]),
                weight: 50,
            },
            Preference {
                selector: selector("purpose=dev", vec![]),
                weight: 25,
            },
        ],
        ..job(1, 1000)
    }
}

#[test]
fn preferences_are_tiers_that_fall_through_when_full() {
    let fleet = |dev1: i64, na: i64, us: i64| {
        [
            cluster(
                "dev-1",
                "purpose=dev location=us sky-cluster-name=mycluster-dev-1",
                &[dev1],
            ),
            cluster("dev-na", "purpose=dev location=na", &[na]),
            cluster("dev-us", "purpose=dev location=us", &[us]),
            cluster("staging-us", "purpose=staging location=us", &[2000]),
            cluster("dev-eu", "purpose=dev location=eu", &[2000]),
            cluster("staging-ap", "purpose=staging location=ap", &[2000]),
        ]
    };
    check(&fleet(1000, 2000, 2000), &my_job(), "placed dev-1:1");
    check(&fleet(0, 1000, 2000), &my_job(), "placed dev-na:1");
    check(&fleet(0, 0, 1000), &my_job(), "placed dev-us:1");
    check(&fleet(0, 0, 0), &my_job(), "placed staging-us:1");
}

#[test]
fn a_policy_keeps_matching_workloads_off_a_cluster() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let policy = Policy {
        namespace: "default".into(),
        name: "remove-mluo-cloud".into(),
        selector: Selector {
            labels: labels("my_app=testing"),
            expressions: vec![],
        },
        rule: PolicyRule::Clusters {
            include: names(&["mluo-onprem", "mluo-cloud", "cloud-2"]),
            exclude: names(&["mluo-cloud"]),
            selector: None,
        },
    };
    let clusters = [
        cluster("mluo-cloud", "", &[2000]),
        cluster("mluo-onprem", "", &[1000]),
    ];
    let governed = Workload {
        labels: labels("my_app=testing"),
        ..job(1, 1000)
    };
    check_with(
        &clusters,
        std::slice::from_ref(&policy),
        &governed,
        "placed mluo-onprem:1",
    );
    check_with(&clusters, &[policy], &job(1, 1000), "placed mluo-cloud:1");
}

#[test]
fn a_cluster_taint_needs_a_toleration() {
    let mut tainted = cluster("a", "", &[2000]);
    tainted.taints = vec![Taint {
        key: "gpu".into(),
        value: String::new(),
        effect: crate::cluster::Effect::NoSchedule,
    }];
    check(
        &[tainted.clone()],
        &job(1, 1000),
        "queued: 0/1 clusters: 1 tainted gpu",
    );
    let tolerant = Workload {
        tolerations: vec![crate::cluster::Toleration {
            key: Some("gpu".into()),
            value: None,
            effect: None,
        }],
        ..job(1, 1000)
    };
    check(&[tainted], &tolerant, "placed a:1");
}

#[test]
fn reserved_room_is_not_given_twice() {
    let mut snapshot = Snapshot::default();
    snapshot.clusters.insert("a".into(), cluster("a", "", &[2000]));
    let first = job(2, 1000);
    assert!(matches!(
        Scheduler::default().decide(&first, &snapshot).outcome,
        Outcome::Placed(_)
    ));
    snapshot.reserve("a", &first.needs, 2);
    assert!(matches!(
        Scheduler::default().decide(&job(1, 1000), &snapshot).outcome,
        Outcome::Queued(_)
    ));
}
