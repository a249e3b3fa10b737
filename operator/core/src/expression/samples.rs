//! Tries a checked expression on samples: what the checker overlooks must show when it is loaded, not when a job waits.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use super::place::children;
use super::vars::{ClusterVars, RequestVars, Room, WorkloadVars};
use super::{EvaluationError, Expression, Role};
use crate::cluster::{Effect, Taint};
use crate::labels::Labels;

/// Value of every label of the rich sample: good as a name, an int and a double. It is a label itself too, for
/// expressions that take a label by the value of another.
const VALUE: &str = "1";

/// Evaluates on a rich and on a bare sample.
///
/// An absent label or a short list is the sample's fault, not the expression's; any other error must not happen on both.
pub(super) fn try_on(expression: &Expression) -> Result<(), String> {
    let rich = on_rich(expression);
    let bare = on(
        expression,
        &bare_cluster(&Labels::new()),
        &bare_workload(&Labels::new()),
    );
    match (rich, bare) {
        (_, Err(too_many @ EvaluationError::TooMany(_))) => Err(too_many.to_string()),
        (Err(EvaluationError::Failed(words)), Err(EvaluationError::Failed(_))) => {
            Err(format!("gives no value on any sample: {words}"))
        }
        _ => Ok(()),
    }
}

fn on(
    expression: &Expression,
    cluster: &ClusterVars<'_>,
    workload: &WorkloadVars<'_>,
) -> Result<(), EvaluationError> {
    match expression.role() {
        Role::Filter => expression.holds(cluster, workload).map(drop),
        Role::Score => expression.score(cluster, workload).map(drop),
    }
}

fn on_rich(expression: &Expression) -> Result<(), EvaluationError> {
    let mut words = BTreeSet::from([VALUE.to_owned()]);
    strings(&expression.tree, &mut words);
    let labels: Labels = words.into_iter().map(|word| (word, VALUE.to_owned())).collect();
    let taint = |effect| Taint {
        key: "key".into(),
        value: VALUE.into(),
        effect,
    };
    let taints = [taint(Effect::NoSchedule), taint(Effect::NoExecute)];
    let mut cluster = bare_cluster(&labels);
    cluster.taints = &taints;
    cluster.nodes = 4;
    cluster.allocatable = Room {
        cpu: 64_000,
        memory: 256 << 30,
        accelerators: 8,
    };
    cluster.free = Room {
        cpu: 16_500,
        memory: 64 << 30,
        accelerators: 2,
    };
    cluster.models = vec!["NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"];
    let mut workload = bare_workload(&labels);
    workload.priority = 1;
    workload.replicas = 4;
    workload.resources = RequestVars {
        cpu: 1000,
        memory: 1 << 30,
        accelerators: 1,
        model: "A100",
    };
    on(expression, &cluster, &workload)
}

/// Every string written in the tree: those that are labels are among them.
fn strings(expr: &IdedExpr, found: &mut BTreeSet<String>) {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => {
            found.insert(text.inner().to_owned());
        }
        Expr::Select(select) => {
            found.insert(select.field.clone());
        }
        _ => {}
    }
    for child in children(expr) {
        strings(child, found);
    }
}

pub(super) fn bare_cluster(labels: &Labels) -> ClusterVars<'_> {
    ClusterVars {
        name: "sample",
        manager: "kubernetes",
        labels,
        taints: &[],
        unschedulable: false,
        nodes: 0,
        free: Room::default(),
        allocatable: Room::default(),
        models: Vec::new(),
    }
}

pub(super) fn bare_workload(labels: &Labels) -> WorkloadVars<'_> {
    WorkloadVars {
        kind: "SkyJob",
        namespace: "default",
        name: "sample",
        labels,
        priority: 0,
        replicas: 1,
        gang: true,
        resources: RequestVars::default(),
    }
}
