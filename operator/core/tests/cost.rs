//! What a decision costs does not grow with the nodes of a cluster that has answered for the shape before. Compares
//! times of the same minute and never one with a limit: the machine may be slow, and busy.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sky_core::cluster::{Cluster, Health, Manager, Node, Nodes};
use sky_core::decision::Outcome;
use sky_core::labels::Labels;
use sky_core::resources::Resources;
use sky_core::room::Room;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Kind, Needs, Workload};

const GIB: i64 = 1 << 30;
const CLUSTERS: usize = 50;
/// Decisions of each kind in one comparison, by turns; the quickest of them is what counts.
const TURNS: usize = 40;
/// Comparisons before it is believed that the cost grows.
const TRIES: usize = 10;

fn snapshot(nodes: usize) -> Snapshot {
    let node = |index: usize| Node {
        name: format!("n{index}"),
        ready: true,
        allocatable: Resources::new(4_000, 16 * GIB),
        free: Resources::new(4_000, 16 * GIB),
        pods: 110,
        free_pods: 110,
        ..Node::default()
    };
    let nodes: Nodes = Arc::new((0..nodes).map(node).map(Arc::new).collect());
    let each = (0..CLUSTERS).map(|index| {
        let name: Arc<str> = format!("c{index:02}").into();
        let cluster = Cluster {
            name: name.clone(),
            manager: Manager::Kubernetes,
            slurm: None,
            labels: Labels::new().into(),
            taints: Vec::new(),
            unschedulable: false,
            leaving: false,
            health: Health::Ready,
            room: Some(Arc::new(Room::new(nodes.clone()))),
        };
        (name, cluster)
    });
    Snapshot {
        clusters: each.collect(),
        ..Snapshot::default()
    }
}

fn job(cpu: i64) -> Workload {
    Workload {
        replicas: 30,
        needs: Arc::new(Needs {
            resources: Resources::new(cpu, GIB),
            ..Needs::default()
        }),
        ..Workload::new(Kind::SkyJob, "default", "job")
    }
}

fn time(scheduler: &Scheduler, workload: &Workload, snapshot: &Snapshot) -> Duration {
    let start = Instant::now();
    black_box(scheduler.decide(black_box(workload), snapshot));
    start.elapsed()
}

/// Compares decisions on many nodes with those on few until one comparison is below twice; answers the last ratio.
fn growth(workload: &Workload) -> f64 {
    let scheduler = Scheduler::default();
    let (few, many) = (snapshot(10), snapshot(1_000));
    let mut ratio = f64::INFINITY;
    for _ in 0..TRIES {
        let (mut of_few, mut of_many) = (Duration::MAX, Duration::MAX);
        // The first turn makes them warm.
        for turn in 0..=TURNS {
            let (one, other) = (
                time(&scheduler, workload, &few),
                time(&scheduler, workload, &many),
            );
            if turn > 0 {
                of_few = of_few.min(one);
                of_many = of_many.min(other);
            }
        }
        ratio = of_many.as_secs_f64() / of_few.as_secs_f64();
        if ratio < 2.0 {
            break;
        }
    }
    ratio
}

#[test]
fn a_warm_placement_does_not_cost_more_with_more_nodes() {
    let placed = job(1_000);
    let outcome = Scheduler::default().decide(&placed, &snapshot(10)).outcome;
    assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
    let ratio = growth(&placed);
    assert!(ratio < 2.0, "{ratio:.1} times for 100 times the nodes");
}

#[test]
fn a_warm_refusal_does_not_cost_more_with_more_nodes() {
    let large = job(5_000);
    let outcome = Scheduler::default().decide(&large, &snapshot(10)).outcome;
    assert!(matches!(outcome, Outcome::TooLarge(_)), "{outcome:?}");
    let ratio = growth(&large);
    assert!(ratio < 2.0, "{ratio:.1} times for 100 times the nodes");
}
