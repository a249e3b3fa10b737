//! How long a decision takes, and how that grows with clusters, nodes and replicas: `cargo bench -p sky-core`.
//!
//! Criterion measures and compares with the run before; the table at the end holds it against the budget. On a machine
//! that does other things, the least sample says most. A pattern runs a part: `cargo bench -p sky-core -- warm-1/1000x`.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use sky_core::cluster::{Cluster, Health, Manager, Node, Nodes};
use sky_core::decision::Outcome;
use sky_core::labels::{Expression, Labels, Operator, Selector};
use sky_core::resources::Resources;
use sky_core::room::Room;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{
    Kind, Needs, Part, PartOf, Policy, PolicyRule, Preference, Spread, Strategy, Workload,
};

const CLUSTERS: [usize; 4] = [10, 100, 1_000, 5_000];
const NODES: [usize; 3] = [10, 100, 1_000];
const REPLICAS: [i64; 3] = [1, 100, 10_000];

const GIB: i64 = 1 << 30;
/// Lists of nodes that clusters share: five million nodes are these few in memory.
const LISTS: usize = 8;

/// A warm decision may take this long, and so much more for each cluster, whatever the nodes.
const BUDGET: Duration = Duration::from_micros(20);
const BUDGET_PER_CLUSTER: Duration = Duration::from_nanos(200);

/// What one decision took.
struct Row {
    what: String,
    clusters: usize,
    nodes: usize,
    least: Duration,
    median: Duration,
}

fn node(index: usize) -> Arc<Node> {
    let resources = Resources::new(16_000, 64 * GIB);
    let taken = i64::try_from(index % 7).unwrap_or(0);
    Arc::new(Node {
        name: format!("n{index}"),
        ready: true,
        free: Resources::new(16_000 - 1_000 * taken, (64 - 4 * taken) * GIB),
        capacity: resources.clone(),
        allocatable: resources,
        pods: 110,
        free_pods: 100,
        ..Node::default()
    })
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let each = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    each.collect()
}

fn snapshot(clusters: usize, nodes: usize) -> Snapshot {
    let all: Vec<Arc<Node>> = (0..nodes + LISTS).map(node).collect();
    let lists: Vec<Nodes> = (0..LISTS)
        .map(|from| Arc::new(all[from..from + nodes].to_vec()))
        .collect();
    let each = (0..clusters).map(|index| {
        let name: Arc<str> = format!("cluster-{index:05}").into();
        let labels = labels(&[
            ("location", ["eu", "na", "ap"][index % 3]),
            ("purpose", ["dev", "staging", "prod", "test"][index % 4]),
            ("skymanager.io/cluster-name", &name),
            ("skymanager.io/manager", "kubernetes"),
        ]);
        let cluster = Cluster {
            name: name.clone(),
            manager: Manager::Kubernetes,
            slurm: None,
            labels: labels.into(),
            taints: Vec::new(),
            unschedulable: false,
            leaving: false,
            health: Health::Ready,
            room: Some(Arc::new(Room::new(lists[index % LISTS].clone()))),
        };
        (name, cluster)
    });
    let policy = Policy {
        namespace: "governed".into(),
        name: "no-ap".into(),
        selector: Selector::default(),
        rule: PolicyRule::Clusters {
            include: Vec::new(),
            exclude: vec!["cluster-00007".into()],
            selector: Some(expecting("location", Operator::NotIn(vec!["ap".into()]))),
        },
    };
    Snapshot {
        clusters: each.collect(),
        policies: BTreeMap::from([("governed".to_owned(), vec![policy])]),
        namespaces: BTreeMap::new(),
    }
}

fn expecting(key: &str, operator: Operator) -> Selector {
    Selector {
        labels: Labels::new(),
        expressions: vec![Expression {
            key: key.to_owned(),
            operator,
        }],
    }
}

/// A SkyJob like any other of its size: equal needs, but not the same in memory.
fn job(replicas: i64, cpu: i64) -> Workload {
    Workload {
        replicas,
        gang: false,
        needs: Arc::new(Needs {
            resources: Resources::new(cpu, GIB),
            ..Needs::default()
        }),
        ..Workload::new(Kind::SkyJob, "default", "job")
    }
}

/// A job spread in equal numbers, or in proportion.
fn spread(strategy: Strategy) -> Workload {
    Workload {
        spread: Spread {
            strategy,
            ..Spread::default()
        },
        ..job(10_000, 1_000)
    }
}

/// A job with two filters, two preferences and a policy.
fn ruled(replicas: i64) -> Workload {
    let prefer = |key: &str, value: &str, weight| Preference {
        selector: expecting(key, Operator::In(vec![value.to_owned()])),
        weight,
    };
    Workload {
        namespace: "governed".into(),
        filters: vec![
            expecting("purpose", Operator::In(vec!["dev".into(), "test".into()])),
            expecting("purpose", Operator::In(vec!["staging".into()])),
        ],
        preferences: vec![prefer("location", "eu", 50), prefer("purpose", "dev", 25)],
        ..job(replicas, 1_000)
    }
}

/// The clusters and nodes of a snapshot that is made when something is measured on it.
struct Fleet<'f> {
    clusters: usize,
    nodes: usize,
    snapshot: LazyCell<Snapshot, Box<dyn FnOnce() -> Snapshot + 'f>>,
}

struct Bench {
    criterion: Criterion,
    rows: Vec<Row>,
}

impl Bench {
    /// `prepare` makes the snapshot of a sample and the job of each decision; only `decide` is timed.
    fn measure<S>(
        &mut self,
        fleet: &Fleet<'_>,
        what: &str,
        mut prepare: impl FnMut() -> S,
        mut decide: impl FnMut(&mut S) -> Duration,
    ) {
        let (mut least, mut samples) = (Duration::MAX, Vec::new());
        let id = BenchmarkId::new(
            what.replace(' ', "-"),
            format!("{}x{}", fleet.clusters, fleet.nodes),
        );
        self.criterion.bench_with_input(id, &(), |bencher, ()| {
            bencher.iter_custom(|times| {
                let mut all = Duration::ZERO;
                let mut subject = prepare();
                for _ in 0..times {
                    let took = decide(&mut subject);
                    least = least.min(took);
                    all += took;
                }
                samples.push(all / u32::try_from(times).unwrap_or(u32::MAX).max(1));
                all
            });
        });
        samples.sort_unstable();
        if let Some(&median) = samples.get(samples.len() / 2) {
            self.rows.push(Row {
                what: what.to_owned(),
                clusters: fleet.clusters,
                nodes: fleet.nodes,
                least,
                median,
            });
        }
    }

    /// Decides jobs like `job` by turns, warm: every cluster has answered for this shape before, for another job.
    fn warm(&mut self, fleet: &Fleet<'_>, what: &str, job: &Workload) {
        let scheduler = Scheduler::default();
        let alike = [(); 2].map(|()| Workload {
            needs: Arc::new((*job.needs).clone()),
            ..job.clone()
        });
        let mut turns = alike.iter().cycle();
        let prepare = || {
            let _ = scheduler.decide(job, &fleet.snapshot);
        };
        self.measure(fleet, what, prepare, |()| {
            let job = turns.next().unwrap_or(job);
            timed(|| scheduler.decide(job, &fleet.snapshot))
        });
    }

    /// Decides shapes that no cluster was asked for before.
    fn cold(&mut self, fleet: &Fleet<'_>, what: &str, replicas: i64, from_cpu: i64) {
        let scheduler = Scheduler::default();
        let mut cpu = from_cpu;
        let prepare = || LazyCell::force(&fleet.snapshot);
        self.measure(fleet, what, prepare, |snapshot| {
            cpu += 1;
            let unseen = job(replicas, cpu);
            timed(|| scheduler.decide(&unseen, snapshot))
        });
    }

    /// Decides one job after the other and reserves what each gets, as a round does.
    fn round(&mut self, fleet: &Fleet<'_>, what: &str, job: &Workload) {
        let scheduler = Scheduler::default();
        self.measure(
            fleet,
            what,
            || fleet.snapshot.clone(),
            |snapshot| {
                let reserve = || {
                    if let Outcome::Placed(parts) = scheduler.decide(job, snapshot).outcome {
                        for (cluster, count) in &parts {
                            snapshot.reserve(cluster, &job.needs, *count);
                        }
                    }
                };
                timed(reserve)
            },
        );
    }

    fn all(&mut self, clusters: usize, nodes: usize) {
        let fleet = Fleet {
            clusters,
            nodes,
            snapshot: LazyCell::new(Box::new(move || snapshot(clusters, nodes))),
        };
        for replicas in REPLICAS {
            self.warm(&fleet, &format!("warm {replicas}"), &job(replicas, 1_000));
        }
        self.warm(&fleet, "warm ruled", &ruled(100));
        self.warm(&fleet, "warm even", &spread(Strategy::Even));
        let part = |location: &str, weight| Part {
            of: PartOf::Selector(expecting("location", Operator::In(vec![location.to_owned()]))),
            weight,
        };
        let parts = vec![part("eu", 3), part("na", 2), part("ap", 1)];
        self.warm(&fleet, "warm weighted", &spread(Strategy::Weighted(parts)));
        self.warm(&fleet, "warm refused", &job(1, 1_000_000));
        self.cold(&fleet, "cold", 100, 1_000);
        self.cold(&fleet, "cold refused", 1, 1_000_000);
        self.round(&fleet, "round", &job(100, 1_000));
    }
}

/// Runs it and drops what comes of it.
fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(run());
    start.elapsed()
}

/// The least time of a decision and the middle sample in µs, the least by cluster in ns, decisions per second, the growth against the fleet
/// with fewest nodes, and of warm ones how much of the budget they take.
fn table(rows: &mut [Row]) -> String {
    let mut text = format!(
        "{:<14} {:>8} {:>6} {:>12} {:>12} {:>12} {:>12} {:>8} {:>8}\n",
        "decision",
        "clusters",
        "nodes",
        "least us",
        "median us",
        "ns/cluster",
        "per second",
        "growth",
        "budget"
    );
    rows.sort_by(|a, b| (&a.what, a.clusters, a.nodes).cmp(&(&b.what, b.clusters, b.nodes)));
    for of_fleet in rows.chunk_by(|a, b| (&a.what, a.clusters) == (&b.what, b.clusters)) {
        for row in of_fleet {
            let (least, count) = (
                row.least.as_secs_f64(),
                f64::from(u32::try_from(row.clusters).unwrap_or(u32::MAX)),
            );
            let budget = BUDGET.as_secs_f64() + BUDGET_PER_CLUSTER.as_secs_f64() * count;
            let of_budget = if row.what.starts_with("warm") {
                format!("{:.0}%", 100.0 * least / budget)
            } else {
                "-".to_owned()
            };
            let _ = writeln!(
                text,
                "{:<14} {:>8} {:>6} {:>12.2} {:>12.2} {:>12.1} {:>12.0} {:>8.2} {of_budget:>8}",
                row.what,
                row.clusters,
                row.nodes,
                least * 1e6,
                row.median.as_secs_f64() * 1e6,
                least * 1e9 / count,
                1.0 / least,
                least / of_fleet[0].least.as_secs_f64(),
            );
        }
    }
    text
}

fn main() {
    let mut bench = Bench {
        criterion: Criterion::default()
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800))
            .without_plots()
            .configure_from_args(),
        rows: Vec::new(),
    };
    for clusters in CLUSTERS {
        for nodes in NODES {
            bench.all(clusters, nodes);
        }
    }
    bench.criterion.final_summary();
    println!("\n{}", table(&mut bench.rows));
}
