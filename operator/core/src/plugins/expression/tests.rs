//! What the scheduler makes of expressions, errors among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::cluster::{Health, Node};
use crate::decision::{Decision, Outcome};
use crate::expression::Role;
use crate::plugin::Enabled;
use crate::plugins;
use crate::schedule::Scheduler;
use crate::snapshot::Snapshot;
use crate::workload::{Kind, Needs};

fn node(cpu: i64, gpus: i64) -> Node {
    let mut resources = Resources::new(cpu, 1 << 30);
    resources.extended.insert("nvidia.com/gpu".into(), gpus);
    Node {
        name: "n".into(),
        ready: true,
        accelerator: (gpus > 0).then(|| "Tesla-T4".into()),
        allocatable: resources.clone(),
        free: resources,
        pods: 10,
        free_pods: 10,
        ..Node::default()
    }
}

fn cluster(name: &str, nodes: Vec<Node>, labels: &[(&str, &str)]) -> Cluster {
    Cluster {
        name: name.into(),
        manager: Manager::Kubernetes,
        slurm: None,
        labels: Arc::new(
            labels
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        ),
        taints: vec![],
        unschedulable: false,
        leaving: false,
        health: Health::Ready,
        room: Some(Arc::new(ClusterRoom::new(Arc::new(
            nodes.into_iter().map(Arc::new).collect(),
        )))),
    }
}

fn workload() -> Workload {
    Workload {
        needs: Arc::new(Needs {
            resources: Resources::new(100, 0),
            ..Needs::default()
        }),
        ..Workload::new(Kind::SkyJob, "default", "w")
    }
}

fn plugin(filter: Option<&str>, score: Option<&str>, message: Option<&str>) -> Arc<ExpressionPlugin> {
    let compile = |role, text: Option<&str>| text.map(|text| Expression::compile(role, text).unwrap());
    Arc::new(ExpressionPlugin::new(
        "mine".into(),
        compile(Role::Filter, filter),
        compile(Role::Score, score),
        message.map(str::to_owned),
    ))
}

fn decide(plugin: Arc<ExpressionPlugin>, weight: i64) -> Decision {
    let clusters = [
        cluster("a", vec![node(2000, 0)], &[("tier", "1")]),
        cluster("b", vec![node(1000, 1), node(1000, 3)], &[]),
    ];
    let snapshot = Snapshot {
        clusters: clusters
            .into_iter()
            .map(|cluster| (cluster.name.clone(), cluster))
            .collect::<BTreeMap<_, _>>(),
        ..Snapshot::default()
    };
    let mut plugins = plugins::builtin();
    plugins.push(Enabled { plugin, weight });
    Scheduler::new(plugins).decide(&workload(), &snapshot)
}

fn placed_on(decision: &Decision) -> &str {
    match &decision.outcome {
        Outcome::Placed(shares) => &shares[0].0,
        other => panic!("{other:?}"),
    }
}

fn refusal(decision: &Decision, index: usize) -> &str {
    decision.verdicts[index]
        .refusal
        .as_ref()
        .map_or("", |(_, refusal)| refusal.message.as_str())
}

#[test]
fn a_filter_refuses_by_its_own_words() {
    let decision = decide(plugin(Some("cluster.free.accelerators == 4"), None, None), 0);
    assert_eq!(placed_on(&decision), "b");
    assert_eq!(refusal(&decision, 0), "refused by expression mine");
    let decision = decide(
        plugin(Some(r#""tier" in cluster.labels"#), None, Some("without a tier")),
        0,
    );
    assert_eq!(refusal(&decision, 1), "without a tier");
}

#[test]
fn a_filter_that_fails_refuses_and_is_counted() {
    let plugin = plugin(Some(r#"cluster.labels["tier"] == "1""#), None, None);
    let decision = decide(plugin.clone(), 0);
    assert_eq!(
        refusal(&decision, 1),
        r#"expression mine failed: label "tier" is absent; ask for it first with `in`"#
    );
    assert_eq!(plugin.errors(), 1);
}

#[test]
fn a_score_decides_by_its_weight() {
    let by_models = || plugin(None, Some("size(cluster.models) * 50"), None);
    assert_eq!(placed_on(&decide(by_models(), 10)), "b");
    assert_eq!(placed_on(&decide(by_models(), 0)), "a");
}

#[test]
fn a_score_that_fails_is_0_counted_once_and_noted() {
    let plugin = plugin(None, Some(r#"int(cluster.labels["tier"])"#), None);
    let decision = decide(plugin.clone(), 1);
    let notes = |index: usize| {
        let points = decision.verdicts[index].scores.iter();
        points
            .filter_map(|points| points.note.clone())
            .collect::<Vec<_>>()
    };
    assert!(notes(0).is_empty());
    let words = r#"expression mine failed: label "tier" is absent; ask for it first with `in`"#;
    assert_eq!(notes(1), [words.into()]);
    assert_eq!(plugin.errors(), 1);
}
